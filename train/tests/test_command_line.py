import shutil

import numpy as np
import pytest
import torch
from PIL import Image

RUN = ("--pictures", "camvid:nowhere", "--out", "nowhere")
WRONG = [
    ("train", "--steps", "0"),
    ("train", "--steps", "-5"),
    ("train", "--batch", "0"),
    ("train", "--moved", "0", "--batch", "1"),
    ("train", "--moved", "7"),
    ("train", "--moved", "-1"),
    ("train", "--seed", "-1"),
    ("train", "--rate", "nan"),
    ("train", "--rate", "0"),
    ("train", "--workers", "0"),
    ("train", "--hold-out", "1"),
    ("train", "--hold-out", "1.5"),
    ("train", "--hold-out", "-1"),
    ("train", "--hold-out", "nan"),
    ("train", "--pasted", "7"),
    ("train", "--jaccard", "-1"),
    ("train", "--rows", "60"),
    ("train", "--rows", "0"),
    ("train", "--scales", "0", "1"),
    ("train", "--scales", "2", "1"),
    ("train", "--distilled", "1"),
    ("adapt", "--from", "n.pt", "--larger", "1.5"),
    ("adapt", "--from", "n.pt", "--distil", "n.pt", "--larger", "0"),
    ("train", "--device", "cuda:99"),
    ("train", "--device", "abacus"),
    ("train", "--pictures", "camvid:cam@-1"),
    ("train", "--pictures", "camvid:cam@0"),
    ("train", "--pictures", "camvid:cam@nan"),
    ("train", "--out", __file__),
    ("train", "--out", f"{__file__}/below"),
    ("correct", "--network", "n.pt", "--pairs", "0"),
    ("correct", "--network", "n.pt", "--steps", "0"),
    ("curve", "--from", "n.pt", "--judge", "camvid:j", "--counts", "3,-1"),
    ("curve", "--from", "n.pt", "--judge", "camvid:j", "--counts", "a,b"),
]
EXPORTED = [("--rows", "0"), ("--cols", "-32"), *(("--name", name) for name in ("", 'a"b', "a/b", "a\nb", "..", "é"))]


@pytest.mark.parametrize("wrong", WRONG, ids=" ".join)
def test_a_wrong_value_is_refused_by_name_before_anything_is_read(command, wrong):
    name, *given = wrong
    code, said = command(name, *RUN, *given)
    option = next(part for part in reversed(given) if part.startswith("--"))
    assert code == 2 and f"argument {option}: " in said and "<lambda>" not in said, said


@pytest.mark.parametrize("wrong", EXPORTED, ids=repr)
def test_an_export_of_no_size_or_no_sound_name_is_refused(command, wrong):
    code, said = command("export", "--network", "n.pt", "--name", "mine", "--out", "nowhere", *wrong)
    assert code == 2 and f"argument {wrong[0]}: " in said, said


def test_a_share_may_follow_a_folder_whose_name_has_the_same_sign(command, few, begun, tmp_path):
    there = few.rename(tmp_path / "my@few")
    code, said = command("correct", "--network", begun, "--out", tmp_path / "out", "--pairs", "1", "--steps", "1",
                         "--pictures", f"camvid:{there}@3", "--pictures", f"camvid:{there}")  # fmt: skip
    assert code == 0, said


def test_every_option_says_what_it_means_and_what_it_is_without(command):
    for name in ("train", "adapt", "correct", "curve"):
        code, said = command(name, "--help")
        assert code == 0 and "(default: None)" not in said
        for flag in ("--steps", "--batch", "--seed", "--device"):
            meaning = said.split(f"\n  {flag} ")[1].split("\n  -")[0]
            assert "(default: " in " ".join(meaning.split()), (name, flag, meaning)


@pytest.mark.parametrize("kind", ["image", "label"])
@pytest.mark.parametrize("left", [0.0, 0.6])
def test_a_picture_that_is_cut_is_named(command, few, begun, kind, left):
    cut = sorted((few / kind).iterdir())[1]
    cut.write_bytes(cut.read_bytes()[: int(left * cut.stat().st_size)])
    code, said = command("evaluate", "--network", begun, "--pictures", f"camvid:{few}")
    assert code == 1 and str(cut) in said and "save it anew" in said and said.count("\n") == 0, said


@pytest.mark.parametrize("text", [b"", b"a text, not a network", None])
def test_a_network_that_is_cut_or_none_is_named(command, few, begun, tmp_path, text):
    bad = tmp_path / "network.pt"
    bad.write_bytes(begun.read_bytes()[:1000] if text is None else text)
    code, said = command("evaluate", "--network", bad, "--pictures", f"camvid:{few}")
    assert code == 1 and str(bad) in said and "name a network folder" in said and said.count("\n") == 0, said


def test_what_holds_no_network_is_told_from_one(command, few, tmp_path):
    torch.save({"weights": 1}, tmp_path / "other.pt")
    code, said = command("evaluate", "--network", tmp_path / "other.pt", "--pictures", f"camvid:{few}")
    assert code == 1 and "other.pt: holds no network" in said


@pytest.mark.parametrize("name", ["evaluate", "conditions"])
def test_pictures_without_labels_judge_nothing(command, few, begun, tmp_path, name):
    for path in (few / "label").iterdir():
        Image.fromarray(np.full((96, 160), 11, np.uint8)).save(path)
    out = ["--out", tmp_path / "out"] if name == "conditions" else []
    for data_set in (f"camvid:{few}", f"frames:{few / 'image'}"):
        code, said = command(name, "--network", begun, "--pictures", data_set, *out)
        assert code == 1 and f"{data_set}: none of its pictures has a label" in said


def test_what_teaches_nothing_is_not_trained_on(command, few, begun, tmp_path):
    adapt = ("adapt", "--from", begun, "--out", tmp_path / "out", "--steps", "1")
    code, said = command(*adapt, "--pictures", f"frames:{few / 'image'}")
    assert code == 1 and "none of its pictures has a label" in said and "--teacher" in said
    code, said = command(*adapt, "--pictures", f"camvid:{few}", "--teacher", tmp_path / "nothere")
    assert code == 1 and "nothere: holds no opinion of these pictures" in said


def test_pictures_of_which_none_can_be_held_out_are_told(command, few, begun, tmp_path):
    adapt = ("adapt", "--from", begun, "--out", tmp_path / "out", "--steps", "1", "--batch", "2", "--moved", "0")
    code, said = command(*adapt, "--pictures", f"camvid:{few}")
    assert code == 0 and "nothing is held out nor scored" in said, said
    shutil.rmtree(tmp_path / "out")
    code, said = command(*adapt, "--pictures", f"camvid:{few}", "--hold-out", "0.25")
    assert code == 0 and "1 pictures more are held out and scored" in said and '"miou"' in said


def test_a_run_of_another_start_or_other_pictures_is_not_gone_on_from(command, few, camvid, begun, tmp_path):
    def adapt(pictures=few, start=begun, steps=1):
        given = ("--from", start, "--pictures", f"camvid:{pictures}", "--steps", steps)
        return command("adapt", "--out", tmp_path / "out", "--batch", "2", "--moved", "0", "--hold-out", "0", *given)

    assert adapt()[0] == 0
    made = (tmp_path / "out" / "network.pt").read_bytes()
    assert "finished at step 1 already" in adapt()[1]
    saved = torch.load(begun, weights_only=True)
    saved["network"]["head.out.bias" if "head.out.bias" in saved["network"] else next(iter(saved["network"]))] += 1
    torch.save(saved, tmp_path / "other.pt")
    told = {
        "set of pictures": adapt(pictures=camvid),
        "start network": adapt(start=tmp_path / "other.pt"),
        "recipe (steps 1, here 2)": adapt(steps=2),
    }
    for other, (code, said) in told.items():
        assert code == 1 and f"of a run with another {other}; take another --out" in said, said
    assert (tmp_path / "out" / "network.pt").read_bytes() == made
    (tmp_path / "out" / "checkpoint.pt").unlink()
    code, said = adapt()
    assert code == 1 and "a network is there already" in said


def test_a_correction_of_other_pairs_or_steps_is_not_gone_on_from(command, few, begun, tmp_path):
    def correct(**changed):
        given = {"steps": 2, "pairs": 2, "batch": 1, "seed": 1, "pictures": f"camvid:{few}"} | changed
        flags = [part for name, value in given.items() for part in (f"--{name}", value)]
        return command("correct", "--network", begun, "--out", tmp_path / "out", *flags)

    assert correct()[0] == 0
    code, said = correct()
    assert code == 0 and "finished at step 2 already" in said and "nan" not in said
    for changed, told in (
        ({"steps": 1}, "steps 2, here 1"),
        ({"pairs": 3}, "pairs 2, here 3"),
        ({"seed": 2}, "seed 1, here 2"),
        ({"pictures": f"camvid:{few}@2"}, "set of pictures"),
    ):
        code, said = correct(**changed)
        assert code == 1 and f"another {told}" in said, said


def test_what_the_system_refuses_is_one_line_that_names_the_file(command, few, begun, tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied", str(tmp_path / "shut"))

    monkeypatch.setattr("segfuse_train.__main__.score", refused)
    code, said = command("evaluate", "--network", begun, "--pictures", f"camvid:{few}")
    assert code == 1 and said.startswith(f"{tmp_path / 'shut'}: Permission denied; ") and "\n" not in said
