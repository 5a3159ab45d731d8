import pytest
import torch

from segfuse_train.checkpoint import Checkpoint


def checkpoint_of(folder, value, **of):
    part = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(part.weight, value)
    return Checkpoint(folder, {"part": part}, of), part


def test_a_run_begins_anew_or_goes_on_with_what_was_saved(tmp_path):
    saved, _ = checkpoint_of(tmp_path / "new", 3.0, size="tiny")
    assert saved.resume("cpu") == 0
    saved.save(7)
    resumed, part = checkpoint_of(tmp_path / "new", 0.0, size="tiny")
    assert resumed.resume("cpu") == 7 and part.weight.item() == 3.0


def test_what_another_run_left_is_refused_and_kept(tmp_path):
    saved, _ = checkpoint_of(tmp_path, 3.0, size="tiny")
    saved.save(7)
    for of in ({"size": "small"}, {"recipe": {"size": "tiny"}}):
        other, part = checkpoint_of(tmp_path, 0.0, **of)
        with pytest.raises(SystemExit, match=f"checkpoint.pt: of a run with another {next(iter(of))}"):
            other.resume("cpu")
        assert part.weight.item() == 0.0
    assert saved.resume("cpu") == 7


def test_a_save_that_is_cut_off_leaves_the_last_one(tmp_path, monkeypatch):
    saved, _ = checkpoint_of(tmp_path, 3.0)
    saved.save(7)

    def cut_off(_, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", cut_off)
    with pytest.raises(KeyboardInterrupt):
        saved.save(8)
    assert saved.resume("cpu") == 7
