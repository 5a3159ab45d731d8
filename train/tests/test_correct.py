import copy
import os
import shutil
import signal
import sys

import numpy as np
import pytest
import torch

from segfuse_train import correct, pictures, views
from segfuse_train.__main__ import main
from segfuse_train.batches import Source, class_weights
from segfuse_train.correct import CorrectionRun, draw_pairs, residual, shown_at
from segfuse_train.export import export
from segfuse_train.network import Correction, Network
from segfuse_train.shipped import load_folder
from segfuse_train.train import Recipe, Run, load_start

# Features, image and residual.
SEEN = torch.rand(1, 48, 12, 20), torch.rand(1, 3, 96, 160), torch.rand(1, 1, 24, 40)
RECIPE = {"size": "tiny", "rows": 96, "cols": 160}


def sources_of(camvid):
    found = pictures.read(f"camvid:{camvid}")
    return [Source(found, 1.0, class_weights(found))]


def test_a_correction_begins_with_changing_nothing():
    assert torch.equal(Correction(48).eval()(*SEEN), SEEN[0])


def test_pairs_are_drawn_the_same_again_and_others_from_another_seed(camvid):
    torch.manual_seed(4)
    network, sources = Network("tiny").eval(), sources_of(camvid)
    first, again, other = (draw_pairs(network, sources, 3, (96, 160), seed) for seed in (1, 1, 2))
    assert torch.equal(first.carried, again.carried) and torch.equal(first.residual, again.residual)
    assert not torch.equal(first.glance, other.glance)
    assert first.fresh.shape == first.carried.shape == (3, 48, 12, 20) and len(first) == 3
    assert first.glance.shape == (3, 3, 48, 80) and first.residual.shape == (3, 1, 24, 40)
    assert all(part.isfinite().all() for part in vars(first).values())


def test_every_pair_is_shown_once_before_any_is_shown_again():
    twice = [shown_at(step, 3, 12, 1) for step in range(8)]
    for time in (twice[:4], twice[4:]):
        assert sorted(pair for step in time for pair in step) == list(range(12))
    assert twice[:4] != twice[4:]
    assert shown_at(5, 8, 4, 1) == shown_at(5, 4, 4, 1)


def test_the_residual_is_nothing_where_the_motion_is_right_and_the_difference_where_it_is_not():
    earlier = torch.zeros(1, 3, 96, 160)
    earlier[..., 80:] = 2.0
    later = torch.zeros(1, 3, 96, 160)
    later[..., 64:] = 2.0
    cell = 2 / 20
    moved = views.affine_motion(np.array([[1.0, 0.0, 2 * cell], [0.0, 1.0, 0.0]]), 12, 20)[None]
    still = views.affine_motion(np.eye(2, 3), 12, 20)[None]
    assert residual(earlier, later, moved).abs().max() < 1e-4
    left = residual(earlier, later, still)[0, 0]
    assert torch.allclose(left[:, 16:20], torch.tensor(2.0)) and left[:, :16].max() < 1e-4 > left[:, 20:].max()


def test_the_correction_learns_and_goes_on_where_it_was(camvid, tmp_path, monkeypatch):
    monkeypatch.setattr(correct, "SAVE_EVERY", 4)
    torch.manual_seed(4)
    network = Network("tiny")
    run = CorrectionRun(tmp_path, network, RECIPE, 8, 1)
    run.steps = 4
    run.train(sources_of(camvid), 6, 2)
    assert CorrectionRun(tmp_path, copy.deepcopy(network), RECIPE, 8, 1).step == 4
    network, rows, cols = load_start(tmp_path / "network.pt")
    assert (rows, cols) == (96, 160) and network.correction is not None
    # Of the same size, but with other weights.
    with pytest.raises(SystemExit, match="another network"):
        CorrectionRun(tmp_path, Network("tiny"), RECIPE, 8, 1)


def test_a_correction_that_ctrl_c_stops_goes_on_after_its_last_step(camvid, tmp_path, monkeypatch):
    torch.manual_seed(4)
    network = Network("tiny")
    run = CorrectionRun(tmp_path, network, RECIPE, 8, 1)
    monkeypatch.setattr(run, "rate", lambda: os.kill(os.getpid(), signal.SIGINT) or 1e-3)
    with pytest.raises(SystemExit) as ended:
        run.train(sources_of(camvid), 2, 1)
    assert ended.value.code == 130 and not (tmp_path / "network.pt").exists()
    assert CorrectionRun(tmp_path, copy.deepcopy(network), RECIPE, 8, 1).step == 1


def test_a_video_of_one_frame_is_refused(camvid, tmp_path, monkeypatch):
    Run(tmp_path / "start", Recipe(size="tiny", rows=96, cols=160), torch.device("cpu")).finish([])
    (tmp_path / "video").mkdir()
    shutil.copy(next((camvid / "image").iterdir()), tmp_path / "video")
    arguments = ["correct", "--network", tmp_path / "start/network.pt", "--out", tmp_path / "out"]
    arguments += ["--hold-out", "0", "--pictures", f"video:{tmp_path / 'video'}"]
    monkeypatch.setattr(sys, "argv", ["segfuse_train", *map(str, arguments)])
    with pytest.raises(SystemExit, match="two frames at least, there are 1"):
        main()


def test_a_correction_is_exported_and_read_back(tmp_path):
    torch.manual_seed(5)
    network = Network("tiny", corrects=True).eval()
    torch.nn.init.normal_(network.correction.mix[-1].weight, std=0.1)
    export(network, "tried", 96, 160, tmp_path)
    again, _, _ = load_folder(tmp_path)
    with torch.no_grad():
        expected, found = network.correction(*SEEN), again.eval().correction(*SEEN)
    assert (expected - SEEN[0]).abs().max() > 0.05
    assert torch.allclose(expected, found, atol=2e-3)
