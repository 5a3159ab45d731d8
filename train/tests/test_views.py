import numpy as np
import torch
import torch.nn.functional as F

from segfuse_train import pictures, views

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def test_the_identity_is_the_view_that_the_program_shows(camvid):
    picture = pictures.read(f"camvid:{camvid}")[0]
    view = views.look(picture, IDENTITY, 64, 128)
    shown = F.interpolate(picture.image[None].float() / 255, (64, 128), mode="bilinear", align_corners=False)[0]
    assert (view.image - shown).abs().max() < 1e-5


def test_image_and_label_stay_together_in_any_view(camvid):
    picture = pictures.read(f"camvid:{camvid}")[0]
    random = np.random.default_rng(4)
    agreeing = 0
    for _ in range(20):
        view = views.look(picture, views.random_affine(random, 96, 160, (96, 160)), 96, 160)
        small = F.avg_pool2d(view.image[None], 2)[0]
        red = (small[0] > 0.55) & (small[1] < 0.3)
        car = view.label == 8
        agreeing += ((red & car).sum() / (red | car).sum().clamp(min=1)).item() > 0.8
    assert agreeing >= 17


def test_a_moved_view_is_the_first_one_carried_along_its_motion(camvid):
    picture = pictures.read(f"camvid:{camvid}")[3]
    random = np.random.default_rng(2)
    affine, motion = views.random_affine(random, 96, 160, (96, 160)), views.random_motion(random)
    first = views.look(picture, affine, 96, 160).image
    later = views.look(picture, views.after(affine, motion), 96, 160).image
    grid = views.affine_motion(motion, 96, 160)[None]
    carried = F.grid_sample(first[None], grid, align_corners=False)[0]
    inside = (grid[0].abs() < 0.95).all(-1)
    apart = lambda image: (image - later).abs().mean(0)[inside].mean()
    assert apart(carried) < 0.35 * apart(first)


def test_true_motion_follows_the_flow_through_any_view():
    flow = torch.zeros(24, 40, 2)
    flow[..., 0] = 0.1
    flow[0, 0] = float("nan")
    identity = views.true_motion(flow, IDENTITY, 24, 40)
    cell = identity[12, 20] - views.affine_motion(IDENTITY, 24, 40)[12, 20]
    assert torch.allclose(cell, torch.tensor([0.1, 0.0]), atol=1e-6)
    assert (identity[0, 0] == 2).all()
    mirrored = np.array([[-0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    cell = views.true_motion(flow, mirrored, 24, 40)[12, 20] - views.affine_motion(IDENTITY, 24, 40)[12, 20]
    assert torch.allclose(cell, torch.tensor([-0.2, 0.0]), atol=1e-6)


def test_light_keeps_an_image_an_image(camvid):
    image = pictures.read(f"camvid:{camvid}")[0].image.float() / 255
    random = np.random.default_rng(5)
    for _ in range(60):
        lit = views.expose(image, views.random_light(random), random)
        assert lit.shape == image.shape and lit.isfinite().all() and 0 <= lit.min() and lit.max() <= 1


def test_a_view_of_a_drive_stays_within_its_picture():
    random = np.random.default_rng(1)
    for _ in range(200):
        grid = F.affine_grid(torch.from_numpy(views.near_affine(random)).float()[None], [1, 1, 8, 8], False)
        assert grid.abs().max() < 1.15


def test_half_of_the_views_are_mirrored():
    random = np.random.default_rng(1)
    for drawn in (lambda: views.random_affine(random, 96, 160, (96, 160)), lambda: views.near_affine(random)):
        mirrored = [np.linalg.det(drawn()[:, :2]) < 0 for _ in range(200)]
        assert 70 < sum(mirrored) < 130
