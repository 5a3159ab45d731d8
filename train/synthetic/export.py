"""Writes the network folder that segfuse loads: `python export.py --run DIR --out ../models/tiny`.

    backbone.onnx  image [1, 3, 192, 320] -> features [1, 48, 24, 40]
    head.onnx      features -> logits [1, 19, 24, 40]
    model.toml     preprocessing, sizes, SHA-256 of both

The graphs are built node by node: convolutions with explicit strides, pads and dilations, batch
normalisation folded into them, fixed shapes, opset 13. onnxruntime must agree with PyTorch.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from network import CHANNELS, CLASSES, COLS, MEAN, ROWS, STD, Network, Residual

STRIDE = 8
TOLERANCE = 1e-3


def folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of a convolution with its batch normalisation inside."""
    weight = convolution.weight.detach().double()
    bias = torch.zeros(len(weight)).double() if convolution.bias is None else convolution.bias.detach().double()
    if norm is not None:
        scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = weight * scale.view(-1, 1, 1, 1)
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    return weight.float().numpy(), bias.float().numpy()


class Graph:
    """Nodes and weights in the order of computation."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def node(self, operator: str, inputs: list[str], **attributes) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def convolve(self, x: str, layer: nn.Conv2d, norm: nn.BatchNorm2d | None) -> str:
        names = []
        for kind, values in zip(("weight", "bias"), folded(layer, norm)):
            names.append(f"{kind}_{len(self.nodes)}")
            self.weights.append(numpy_helper.from_array(values, names[-1]))
        (pad, _), kernel = layer.padding, list(layer.kernel_size)
        shape = {"kernel_shape": kernel, "strides": list(layer.stride), "dilations": list(layer.dilation)}
        return self.node("Conv", [x, *names], pads=[pad] * 4, group=1, **shape)

    def add(self, module: nn.Module, x: str) -> str:
        """The nodes of one layer of network.py."""
        if isinstance(module, Residual):
            inner = self.convolve(self.add(module.first, x), module.second[0], module.second[1])
            return self.node("Relu", [self.node("Add", [x, inner])])
        if isinstance(module, nn.Conv2d):
            return self.convolve(x, module, None)
        if isinstance(module[0], nn.Conv2d) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            return self.node("Relu", [self.convolve(x, module[0], module[1])])
        for layer in module:
            x = self.add(layer, x)
        return x

    def model(self, source: tuple[str, list[int]], target: tuple[str, list[int]]) -> onnx.ModelProto:
        self.nodes[-1].output[0] = target[0]
        value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, target[0], [value(*source)], [value(*target)], self.weights)
        model = helper.make_model(graph, producer_name="segfuse-train", opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        return model


def graph_of(module: nn.Module, source: tuple[str, list[int]], target: tuple[str, list[int]]) -> bytes:
    graph = Graph()
    graph.add(module, source[0])
    return graph.model(source, target).SerializeToString()


def agree(network: Network, backbone: bytes, head: bytes) -> float:
    """The largest difference between onnxruntime's logits and PyTorch's."""
    image = np.random.default_rng(1).standard_normal((1, 3, ROWS, COLS), dtype=np.float32)
    session = lambda graph: onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    features = session(backbone).run(["features"], {"image": image})[0]
    logits = session(head).run(["logits"], {"features": features})[0]
    with torch.no_grad():
        return float(np.abs(network(torch.from_numpy(image)).numpy() - logits).max())


def model_toml(files: dict[str, bytes]) -> str:
    hashes = "".join(f'"{name}" = "{hashlib.sha256(data).hexdigest()}"\n' for name, data in files.items())
    return f"""name = "tiny-synthetic"
classes = "cityscapes"
[input]
rows = {ROWS}
cols = {COLS}
channels = "rgb"
mean = {list(MEAN)}
std = {list(STD)}
[features]
channels = {CHANNELS}
stride = {STRIDE}
[files]
{hashes}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    network = Network()
    network.load_state_dict(torch.load(options.run / "network.pt", weights_only=True))
    network.eval()
    cells = [ROWS // STRIDE, COLS // STRIDE]
    features = ("features", [1, CHANNELS, *cells])
    files = {
        "backbone.onnx": graph_of(network.backbone, ("image", [1, 3, ROWS, COLS]), features),
        "head.onnx": graph_of(network.head, features, ("logits", [1, CLASSES, *cells])),
    }
    off = agree(network, *files.values())
    if off > TOLERANCE:
        raise SystemExit(f"onnxruntime's logits differ from PyTorch's by {off}, allowed {TOLERANCE}")
    options.out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (options.out / name).write_bytes(data)
    (options.out / "model.toml").write_text(model_toml(files))
    print(f"wrote {options.out}: {sum(map(len, files.values()))} bytes of ONNX, logits within {off:.1e} of PyTorch")


if __name__ == "__main__":
    main()
