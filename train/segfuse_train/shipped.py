"""Reads a network folder back into PyTorch, so that anyone can go on from what is shipped.

The folder's convolutions hold their normalisations already; here each gets a fresh one that changes nothing.
"""

import tomllib
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from segfuse_train.network import SIZES, Network


def load_folder(folder: Path) -> tuple[Network, int, int]:
    """The network of a folder that `export` wrote, its input's rows and cols."""
    manifest = folder / "model.toml"
    if not manifest.exists():
        raise SystemExit(f"{manifest}: no such file; a network folder has one")
    described = tomllib.loads(manifest.read_text())
    weights = {}
    corrects = (folder / "correction.onnx").exists()
    parts = ["backbone", "head"] + ["correction"] * corrects
    for part in parts:
        weights |= convolutions(onnx.load(folder / f"{part}.onnx").graph, part)
    network = Network(size_of(weights, folder), corrects)
    try:
        with torch.no_grad():
            for part in parts:
                fill(getattr(network, part), part, weights)
    except KeyError as error:
        raise SystemExit(f"{folder}: lacks {error}: another version of segfuse_train wrote it") from error
    return network, described["input"]["rows"], described["input"]["cols"]


def convolutions(graph: onnx.GraphProto, part: str) -> dict[str, np.ndarray]:
    """Weight and bias of every convolution, by its path in the network. Equal biases may share one tensor."""
    values = {tensor.name.removesuffix(".half"): numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type == "Conv":
            path = f"{part}.{node.input[1].removesuffix('.weight')}"
            for kind, name in zip(("weight", "bias"), node.input[1:]):
                found[f"{path}.{kind}"] = values[name].astype(np.float32)
    return found


def size_of(weights: dict[str, np.ndarray], folder: Path) -> str:
    """Which of our sizes these weights are of."""
    for size, widths in SIZES.items():
        stem = weights.get("backbone.stem.0.0.weight")
        if stem is not None and stem.shape[0] == widths.half:
            return size
    raise SystemExit(f"{folder}: not a network of {', '.join(SIZES)}: only these can be gone on with")


def fill(module: nn.Module, name: str, weights: dict[str, np.ndarray]) -> None:
    """Puts the weights under `name` into the module, convolution by convolution."""
    children = list(module.named_children())
    for (child, layer), after in zip(children, [*(layer for _, layer in children[1:]), None]):
        path = f"{name}.{child}"
        if isinstance(layer, nn.Conv2d):
            layer.weight.copy_(torch.from_numpy(weights[f"{path}.weight"]))
            bias = torch.from_numpy(weights[f"{path}.bias"])
            if isinstance(after, nn.BatchNorm2d):
                after.running_mean.zero_()
                after.running_var.fill_(1.0 - after.eps)
                after.weight.fill_(1.0)
                after.bias.copy_(bias)
            else:
                layer.bias.copy_(bias)
        else:
            fill(layer, path, weights)
