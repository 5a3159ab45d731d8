"""Reads a network folder back into PyTorch, so that anyone can go on from what is shipped.

The folder's convolutions hold their normalisations already; here each gets a fresh one that changes nothing.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import nn

from segfuse_train import manifest
from segfuse_train.network import SIZES, Network
from segfuse_train.refusal import Unusable, reading

INTEGER = {"QuantizeLinear", "DequantizeLinear"}


def load_folder(folder: Path) -> tuple[Network, int, int]:
    """The network of a folder that `export` wrote, its input's rows and cols."""
    described = manifest.read(folder)
    manifest.insist_on_hashes(folder, described.files)
    weights = {}
    parts = [part for part in manifest.PARTS if f"{part}.onnx" in described.files]
    corrects = "correction" in parts
    for part in parts:
        weights |= convolutions(graph_in(folder / f"{part}.onnx"), part)
    network = Network(size_of(weights, folder), corrects)
    try:
        with torch.no_grad():
            for part in parts:
                fill(getattr(network, part), part, weights)
    except (KeyError, RuntimeError) as error:
        raise Unusable(
            folder, f"its weights do not fit ({error})", "go on from a folder that `export` wrote"
        ) from error
    return network, described.rows, described.cols


def graph_in(path: Path) -> onnx.GraphProto:
    with reading(path, "an ONNX graph", "export the network anew", DecodeError):
        graph = onnx.load(path).graph
    if any(node.op_type in INTEGER for node in graph.node):
        remedy = "take the folder that it was made from, or judge it with `segfuse evaluate`"
        raise Unusable(path, "in int8, which cannot be read back into PyTorch", remedy)
    return graph


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
            if isinstance(after, nn.BatchNorm2d):
                after.running_mean.zero_()
                after.running_var.fill_(1.0 - after.eps)
                after.weight.fill_(1.0)
                after.bias.copy_(torch.from_numpy(weights[f"{path}.bias"]))
            elif layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(weights[f"{path}.bias"]))
        else:
            fill(layer, path, weights)
