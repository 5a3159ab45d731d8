import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segfuse_train import drives, pictures, views
from segfuse_train.batches import Source
from segfuse_train.drives import Thing


def source_of(camvid, layout="camvid"):
    folder = camvid if layout == "camvid" else camvid / "image"
    return Source(pictures.read(f"{layout}:{folder}"), 1.0, torch.ones(19), layout == "video")


@pytest.mark.parametrize("layout", ["camvid", "video"])
def test_a_drive_depends_on_its_randomness_alone_and_its_motion_is_finite(camvid, layout):
    source = source_of(camvid, layout)
    for seed in range(4):
        first, again = (drives.draw(source, 192, 320, np.random.default_rng(seed)) for _ in range(2))
        assert torch.equal(first.later, again.later) and torch.equal(first.motion, again.motion)
        assert first.earlier.shape == first.later.shape == (3, 192, 320)
        assert first.motion.shape == (24, 40, 2) and first.motion.isfinite().all()


def test_frames_of_a_video_follow_each_other(camvid):
    source = source_of(camvid, "video")
    for place, picture in enumerate(source.pictures):
        picture.image[:] = 10 * place
    for seed in range(10):
        frames = drives.filmed(source, 192, 320, np.random.default_rng(seed))
        means = [round(frame.mean().item() * 255 / 10) for frame in frames]
        assert means == list(range(means[0], means[0] + len(frames))) and 2 <= len(frames) <= 6
        assert [frame.shape[1] for frame in frames[1:-1]] == [96] * (len(frames) - 2)


def test_a_part_of_a_motion_applied_as_often_is_the_motion():
    motion = views.random_motion(np.random.default_rng(3))
    third = drives.part_of(motion, 1 / 3)
    assert np.allclose(views.after(third, views.after(third, third)), motion)


def test_the_estimated_motion_follows_a_texture_over_several_steps():
    random = np.random.default_rng(1)
    texture = torch.from_numpy(random.random((1, 3, 24, 40), dtype=np.float32))
    broad = F.interpolate(texture, (192, 384), mode="bicubic")[0].clamp(0, 1)
    steps = [broad[:, :, 16 + 4 * step : 336 + 4 * step] for step in range(4)]
    small = [F.avg_pool2d(step, 2) for step in steps[1:-1]]
    motion = drives.estimated([steps[0], *small, steps[-1]], random)
    moved = (motion - views.affine_motion(np.eye(2, 3), 24, 40))[4:-4, 6:-6]
    expected = torch.tensor([12 / 320 * 2, 0.0])
    assert (moved - expected).abs().mean() < 0.1 * expected[0], moved.mean((0, 1))


def test_things_are_cut_by_their_label_and_move_from_frame_to_frame(camvid):
    picture = pictures.read(f"camvid:{camvid}")[2]
    view = views.look(picture, np.eye(2, 3), 96, 160)
    movers = drives.moving_rows(picture)
    cars, moves = 0, 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        thing = Thing.cut(view, movers, random)
        red = thing.look[:, thing.alpha[0] > 0.5].mean(1)
        cars += bool(red[0] > 0.6 and red[1] < 0.3)
        frames = [torch.full((3, 96, 160), -1.0), torch.full((3, 48, 80), -1.0), torch.full((3, 96, 160), -1.0)]
        thing.put(frames, random)
        places = [torch.nonzero(frame[0] > -0.5).float().mean(0) * 96 / frame.shape[1] for frame in frames]
        if all(place.isfinite().all() for place in places):
            first, middle, last = places
            moves += bool((first - last).abs().max() > 1)
            assert (middle - (first + last) / 2).abs().max() < 12
    assert cars >= 5 and moves >= 10
