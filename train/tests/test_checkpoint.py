import os
import signal

import pytest
import torch

from segfuse_train.checkpoint import Checkpoint
from segfuse_train.interrupt import Interrupt


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


def test_what_a_checkpoint_does_not_tell_is_taken_to_be_the_same_and_said(tmp_path, capsys):
    saved, _ = checkpoint_of(tmp_path, 3.0, recipe={"size": "tiny"})
    saved.save(7)
    later, part = checkpoint_of(tmp_path, 0.0, recipe={"size": "tiny", "each_share": 0.0})
    later.also = {"set of pictures": "a"}
    assert later.resume("cpu") == 7 and part.weight.item() == 3.0
    assert "does not tell its recipe's each_share, set of pictures: taken to be the same" in capsys.readouterr().out
    later.save(8)
    assert later.resume("cpu") == 8 and "taken" not in capsys.readouterr().out
    later.also = {"set of pictures": "b"}
    with pytest.raises(SystemExit, match="another set of pictures; take another --out"):
        later.resume("cpu")


@pytest.mark.parametrize("text", [b"", b"a text", None])
def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path, text):
    saved, _ = checkpoint_of(tmp_path, 3.0)
    saved.save(7)
    saved.path.write_bytes(saved.path.read_bytes()[:500] if text is None else text)
    with pytest.raises(SystemExit, match="checkpoint.pt: cannot be read as what training saves .*; remove it"):
        saved.resume("cpu")


def test_ctrl_c_saves_after_the_running_step_and_ends_with_130(tmp_path, capsys):
    saved, _ = checkpoint_of(tmp_path, 3.0)
    before = signal.getsignal(signal.SIGINT)
    done = 0
    with pytest.raises(SystemExit) as ended, Interrupt() as interrupt:
        while done < 5:
            if done == 2:
                os.kill(os.getpid(), signal.SIGINT)
            done += 1
            if interrupt.asked:
                interrupt.stop(saved, done)
    assert ended.value.code == 130 and done == 3 == saved.resume("cpu")
    assert "stopped at step 3: goes on with the same command" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_stops_at_once():
    with pytest.raises(KeyboardInterrupt), Interrupt():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_that_ignores_ctrl_c_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
        assert not interrupt.asked
    finally:
        signal.signal(signal.SIGINT, before)
