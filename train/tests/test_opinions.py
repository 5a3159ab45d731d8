import json

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, save
from PIL import Image

from segfuse_train import pictures
from segfuse_train.opinions import LIST, Opinions
from segfuse_train.teach import Teacher, teach


class Asked:
    """A teacher that says of each picture how bright it is, and counts."""

    count = 0

    def probabilities(self, image, size):
        self.count += 1
        return torch.full((19, *size), float(image.mean()) / 255)


def frames_in(folder, grey):
    folder.mkdir()
    for name in ("0001.png", "0002.png"):
        Image.new("RGB", (16, 8), (grey, grey, grey)).save(folder / name)
    return f"frames:{folder}"


def test_a_picture_is_asked_about_once_and_its_opinion_is_found(tmp_path):
    data_set, asked = frames_in(tmp_path / "a", 100), Asked()
    for _ in range(2):
        teach(asked, [data_set], tmp_path / "out")
    assert asked.count == 2
    found = pictures.read(data_set, tmp_path / "out")
    assert all(picture.teacher.unique().tolist() == [100] for picture in found)


@pytest.mark.parametrize("together", [True, False])
def test_pictures_of_one_name_are_refused_before_any_is_asked_about(tmp_path, together):
    one, other = frames_in(tmp_path / "a", 100), frames_in(tmp_path / "b", 200)
    asked = Asked()
    if not together:
        teach(asked, [one], tmp_path / "out")
    before = asked.count
    with pytest.raises(SystemExit, match="b/0001.png: another picture than .*; take another --out"):
        teach(asked, [one, other] if together else [other], tmp_path / "out")
    assert asked.count == before


def test_the_opinion_of_another_picture_is_not_taken(tmp_path):
    one, other = frames_in(tmp_path / "a", 100), frames_in(tmp_path / "b", 200)
    teach(Asked(), [one], tmp_path / "out")
    assert all(picture.teacher is None for picture in pictures.read(other, tmp_path / "out"))


def test_opinions_that_no_list_tells_of_are_found_and_listed(tmp_path):
    data_set, asked = frames_in(tmp_path / "a", 100), Asked()
    teach(asked, [data_set], tmp_path / "out")
    told = json.loads((tmp_path / "out" / LIST).read_text())
    (tmp_path / "out" / LIST).unlink()
    assert all(picture.teacher is not None for picture in pictures.read(data_set, tmp_path / "out"))
    teach(asked, [data_set], tmp_path / "out")
    assert asked.count == 2 and json.loads((tmp_path / "out" / LIST).read_text()) == told


@pytest.mark.parametrize("left", [0, 40, 300])
def test_an_opinion_that_is_cut_or_of_other_classes_is_named(tmp_path, left):
    data_set = frames_in(tmp_path / "a", 100)
    teach(Asked(), [data_set], tmp_path / "out")
    bad = tmp_path / "out" / "0002.npy"
    bad.write_bytes(bad.read_bytes()[:left])
    with pytest.raises(SystemExit, match="0002.npy: cannot be read .*; remove it and run `teach`"):
        pictures.read(data_set, tmp_path / "out")
    np.save(bad, np.zeros((4, 4, 19), np.uint8))
    with pytest.raises(SystemExit, match=r"0002.npy: not \[19, rows, cols\] u8 but \[4, 4, 19\] uint8"):
        Opinions(tmp_path / "out").read(tmp_path / "a" / "0002.png")


def test_what_is_no_teacher_is_named(tmp_path):
    tensor = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    node = helper.make_node("Relu", ["features"], ["logits"])
    graph = helper.make_graph([node], "head", [tensor("features", [1, 19, 4, 4])], [tensor("logits", [1, 19, 4, 4])])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "head.onnx")
    assert onnxruntime.InferenceSession(tmp_path / "head.onnx")
    whole = (tmp_path / "head.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    for name, told in (("head", "takes"), ("cut", "cannot be read"), ("missing", "cannot be read|no such file")):
        with pytest.raises(SystemExit, match=f"{name}.onnx: ({told}).*; name an ONNX file of 19 train ids"):
            Teacher(tmp_path / f"{name}.onnx", 1)
