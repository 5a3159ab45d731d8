import hashlib
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from segfuse_train import folder as folder_of
from segfuse_train import pictures
from segfuse_train.export import export
from segfuse_train.network import Network
from segfuse_train.score import program_view
from segfuse_train.shipped import load_folder

# Of the runtimes that segfuse embeds, all three are fast with these.
OPERATORS = {"Add", "AveragePool", "Cast", "Concat", "Conv", "Relu", "Resize"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    export(trained(), "test", 96, 160, out)
    return out


def trained():
    torch.manual_seed(3)
    network = Network("tiny")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2.0)
            module.weight.data.uniform_(0.5, 1.5)
    return network.eval()


def test_the_folder_says_what_is_in_it(folder):
    described = tomllib.loads((folder / "model.toml").read_text())
    assert described["input"]["rows"] == 96 and described["features"] == {"channels": 48, "stride": 8}
    for name, stated in described["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == stated
    assert set(described["files"]) == {"backbone.onnx", "head.onnx", "backbone.fp16.onnx", "head.fp16.onnx"}


def test_only_operators_that_are_fast_everywhere_are_used(folder):
    for path in folder.glob("*.onnx"):
        assert {node.op_type for node in onnx.load(path).graph.node} <= OPERATORS, path
        for node in onnx.load(path).graph.node:
            assert node.op_type != "Conv" or {a.name: a.i for a in node.attribute}["group"] == 1


def test_half_precision_is_typed_throughout(folder):
    half = onnx.TensorProto.FLOAT16
    for name in ("backbone", "head"):
        graph = onnx.load(folder / f"{name}.fp16.onnx").graph
        assert {value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]} == {half}
        assert all(node.op_type != "Cast" for node in graph.node)


def test_onnxruntime_labels_as_pytorch_does(folder):
    network, (image,) = trained(), torch.rand(1, 1, 3, 96, 160)
    run = lambda name, x: onnxruntime.InferenceSession(folder / name).run(None, x)[0]
    logits = run("head.onnx", {"features": run("backbone.onnx", {"image": image.numpy()})})
    with torch.no_grad():
        assert (network(image).numpy().argmax(1) == logits.argmax(1)).mean() > 0.995


def test_an_exported_folder_can_be_gone_on_from(folder):
    network, rows, cols = load_folder(folder)
    image = torch.rand(1, 3, rows, cols)
    with torch.no_grad():
        apart = (network.eval()(image) - trained()(image)).abs().max()
    assert (rows, cols) == (96, 160) and apart < 0.02


def test_a_size_that_the_network_cannot_have_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="multiples of 32"):
        export(trained(), "test", 100, 160, tmp_path)
    assert np.array(list(tmp_path.iterdir())).size == 0


def test_an_int8_backbone_keeps_its_features_and_its_input(camvid, tmp_path, caplog):
    network = trained()
    found = pictures.read(f"camvid:{camvid}")[:4]
    export(network, "exact", 96, 160, tmp_path / "exact")
    export(network, "int8", 96, 160, tmp_path / "int8", found)
    assert not caplog.records
    described = tomllib.loads((tmp_path / "int8" / "model.toml").read_text())
    assert sorted(described["files"]) == ["backbone.onnx", "head.onnx"]
    shown = program_view(found[0], 96, 160).numpy()
    exact, quantised = (
        onnxruntime.InferenceSession(tmp_path / folder / "backbone.onnx").run(None, {"image": shown})[0]
        for folder in ("exact", "int8")
    )
    apart = np.abs(exact - quantised).mean() / np.abs(exact).mean()
    assert 1e-4 < apart < 0.1
    assert len(onnx.load(tmp_path / "int8" / "backbone.onnx").graph.initializer) > 40


def test_a_network_folder_is_replaced_whole_and_nothing_else_is(tmp_path):
    out = tmp_path / "out"
    export(Network("tiny", corrects=True).eval(), "first", 96, 160, out)
    assert (out / "correction.onnx").exists()
    export(trained(), "second", 96, 160, out)
    described = tomllib.loads((out / "model.toml").read_text())
    assert described["name"] == "second" and {*described["files"], "model.toml"} == {
        path.name for path in out.iterdir()
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (out / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(SystemExit, match="holds 'notes.txt', .*; take another --out"):
        export(trained(), "third", 96, 160, out)
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}


def test_an_export_that_is_cut_off_leaves_what_was_there(tmp_path, monkeypatch):
    out = tmp_path / "out"
    folder_of.put(out, {"model.toml": b"before"})
    written = []

    def cut_off(path, data):
        written.append(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", cut_off)
    with pytest.raises(SystemExit, match="out: cannot be written .*No space left"):
        folder_of.put(out, {"model.toml": b"after", "head.onnx": b"head"})
    assert written and (out / "model.toml").read_bytes() == b"before" and len(list(out.iterdir())) == 1
