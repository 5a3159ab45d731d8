import numpy as np
import pytest
import torch

from segfuse_train import correct, pictures, views
from segfuse_train.batches import Source, class_weights
from segfuse_train.correct import CorrectionRun, draw, put
from segfuse_train.export import export
from segfuse_train.network import Correction, Network
from segfuse_train.shipped import load_folder
from segfuse_train.train import load_start

RECIPE = {"size": "tiny", "rows": 96, "cols": 160}


def sources_of(camvid):
    found = pictures.read(f"camvid:{camvid}")
    return [Source(found, 1.0, class_weights(found))]


def test_a_correction_begins_with_changing_nothing():
    features, image = torch.rand(1, 48, 12, 20), torch.rand(1, 3, 96, 160)
    assert torch.equal(Correction(48).eval()(features, image), features)


def test_a_step_draws_the_same_pairs_again_and_another_step_others(camvid):
    sources = sources_of(camvid)
    first, again, other = (draw(sources, (2, 96, 160), 1, step) for step in (3, 3, 4))
    assert torch.equal(first.earlier, again.earlier) and torch.equal(first.motion, again.motion)
    assert not torch.equal(first.earlier, other.earlier)
    assert first.motion.shape == (2, 12, 20, 2) and first.motion.isfinite().all()


def test_a_thing_that_the_motion_knows_of_is_carried_to_where_it_went():
    known = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        thing, earlier, later = torch.ones(3, 192, 320), torch.zeros(3, 192, 320), torch.zeros(3, 192, 320)
        motion = views.affine_motion(np.eye(2, 3), 24, 40).clone()
        still = motion.clone()
        put(thing, earlier, later, motion, random)
        moved = (motion != still).any(-1)
        if not moved.any():
            continue
        known += 1
        fetched = torch.nn.functional.grid_sample(earlier[None], motion[None], align_corners=False)[0, 0]
        assert fetched[moved].mean() > 0.9
    assert 8 <= known < 20


def test_the_correction_learns_and_goes_on_where_it_was(camvid, tmp_path, monkeypatch):
    monkeypatch.setattr(correct, "SAVE_EVERY", 4)
    torch.manual_seed(4)
    network = Network("tiny")
    run = CorrectionRun(tmp_path, network, RECIPE, 8, 1)
    run.steps = 4
    run.train(sources_of(camvid), 2)
    assert CorrectionRun(tmp_path, Network("tiny"), RECIPE, 8, 1).step == 4
    network, rows, cols = load_start(tmp_path / "network.pt")
    assert (rows, cols) == (96, 160) and network.correction is not None
    with pytest.raises(SystemExit, match="another size"):
        CorrectionRun(tmp_path, Network("small"), RECIPE, 8, 1)


def test_a_correction_is_exported_and_read_back(tmp_path):
    torch.manual_seed(5)
    network = Network("tiny", corrects=True).eval()
    torch.nn.init.normal_(network.correction.mix[-1].weight, std=0.1)
    export(network, "tried", 96, 160, tmp_path)
    again, _, _ = load_folder(tmp_path)
    features, image = torch.rand(1, 48, 12, 20), torch.rand(1, 3, 96, 160)
    with torch.no_grad():
        expected, found = network.correction(features, image), again.eval().correction(features, image)
    assert (expected - features).abs().max() > 0.05
    assert torch.allclose(expected, found, atol=2e-3)
