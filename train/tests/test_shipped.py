import shutil
from pathlib import Path

import pytest
import torch

from segfuse_train import pictures
from segfuse_train.export import export
from segfuse_train.network import Network
from segfuse_train.shipped import load_folder

SHIPPED = Path(__file__).resolve().parents[2] / "models"
CHANGES = [
    ('classes = "cityscapes"', 'classes = "camvid"', "classes = camvid"),
    ("rows = 96", "rows = -384", "input.rows = -384"),
    ("rows = 96", 'rows = "x"', "input.rows = 'x'"),
    ("rows = 96", "rows = 100", "input.rows = 100"),
    ("cols = 160", "", "input.cols = missing"),
    ('"rgb"', '"bgr"', "input.channels = bgr"),
    ("mean = [0.485, ", "mean = [0.5, ", r"input.mean = \[0.5, "),
    ("mean = ", "average = ", "lacks input.mean"),
    ("std = [0.229, ", "std = [0, ", r"input.std = \[0, "),
    ("stride = 8", "stride = 16", "features.stride = 16"),
    ("[files]", "[logits]\nstride = 4\n[files]", "logits.stride = 4"),
    ('"head.onnx"', '"../head.onnx"', "names '../head.onnx'"),
    ("[files]", "[files", "cannot be read as a network's manifest"),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export(Network("tiny").eval(), "test", 96, 160, folder)
    return folder


@pytest.fixture
def folder(exported, tmp_path):
    return Path(shutil.copytree(exported, tmp_path / "folder"))


@pytest.mark.parametrize("before, after, told", CHANGES, ids=[told for _, _, told in CHANGES])
def test_a_folder_that_asks_for_what_is_unknown_here_is_refused_by_key_and_value(folder, before, after, told):
    manifest = folder / "model.toml"
    assert before in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(before, after, 1))
    with pytest.raises(SystemExit, match=f"model.toml: .*{told}"):
        load_folder(folder)


@pytest.mark.parametrize("name", ["backbone.onnx", "head.fp16.onnx"])
def test_a_changed_or_missing_file_is_refused(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(SystemExit, match=f"{name}: its SHA-256 is "):
        load_folder(folder)
    (folder / name).unlink()
    with pytest.raises(SystemExit, match=f"{name}: no such file"):
        load_folder(folder)


def test_a_correction_that_the_manifest_does_not_name_is_none(folder):
    (folder / "correction.onnx").write_bytes(b"of another network")
    assert load_folder(folder)[0].correction is None


def test_an_int8_folder_cannot_be_read_back_and_says_who_judges_it(exported, few, tmp_path):
    network, rows, cols = load_folder(exported)
    export(network, "int8", rows, cols, tmp_path / "int8", pictures.read(f"camvid:{few}"))
    with pytest.raises(SystemExit, match="backbone.onnx: in int8, .*`segfuse evaluate`"):
        load_folder(tmp_path / "int8")


@pytest.mark.parametrize("name", ["small", "tiny"])
def test_what_is_shipped_can_be_gone_on_from(name):
    network, rows, cols = load_folder(SHIPPED / name)
    assert network.size == name and (rows, cols) == (384, 640) and network.correction is not None
    assert all(values.isfinite().all() for values in network.state_dict().values() if torch.is_floating_point(values))
