"""Makes the tiny ONNX files of tests/data/networks: random weights, right and wrong signatures.

    python tests/data/make_networks.py        (needs numpy and onnx)
"""
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

FOLDER = Path(__file__).parent / "networks"
ROWS, COLS, CLASSES, FEATURES, STRIDE = 48, 64, 19, 8, 8
F32 = TensorProto.FLOAT


class Builder:
    """Collects nodes and weights of one graph."""

    def __init__(self):
        self.nodes, self.weights, self.random = [], [], np.random.default_rng(7)

    def constant(self, values):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind, inputs, output=None, **attributes):
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"n{len(self.nodes)}", **attributes))
        return output

    def conv(self, source, channels_in, channels_out, side, stride, output=None, gain=1.0):
        scale = (2.0 / (channels_in * side * side)) ** 0.5 * gain
        weight = self.random.normal(0, scale, (channels_out, channels_in, side, side)).astype(np.float32)
        bias = self.random.normal(0, 0.3 * gain, channels_out).astype(np.float32)
        return self.node(
            "Conv", [source, self.constant(weight), self.constant(bias)], output, kernel_shape=[side, side],
            strides=[stride, stride], dilations=[1, 1], pads=[side // 2] * 4, group=1)

    def backbone(self, output=None):
        first = self.node("Relu", [self.conv("image", 3, 4, 3, 2)])
        second = self.node("Relu", [self.conv(first, 4, 6, 3, 2)])
        return self.node("Relu", [self.conv(second, 6, FEATURES, 3, 2)], output)

    def resize(self, source, output, mode="linear", factor=8.0):
        scales = self.constant(np.array([1, 1, factor, factor], dtype=np.float32))
        return self.node(
            "Resize", [source, "", scales], output, mode=mode, coordinate_transformation_mode="half_pixel")

    def write(self, name, inputs, outputs, opset=13):
        info = lambda tensor: helper.make_tensor_value_info(tensor[0], tensor[2] if len(tensor) > 2 else F32, tensor[1])
        graph = helper.make_graph(self.nodes, name, list(map(info, inputs)), list(map(info, outputs)), self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        checker.check_model(model)
        save(model, FOLDER / f"{name}.onnx")


IMAGE = ("image", [1, 3, ROWS, COLS])
GRID = [ROWS // STRIDE, COLS // STRIDE]


def plain(name, classes=CLASSES, mode="linear", factor=8.0, rows=ROWS, shape=None):
    graph = Builder()
    graph.resize(graph.conv(graph.backbone(), FEATURES, classes, 1, 1), "logits", mode, factor)
    out = [1, classes, int(GRID[0] * factor), int(GRID[1] * factor)]
    graph.write(name, [("image", [1, 3, rows, COLS])], [("logits", shape or out)])


def correction(name, gain=1.0, features=("features", [1, FEATURES, *GRID]), image=IMAGE, image_first=False, to=None):
    """Adds what the picture says to the features; without the addition where it makes another number `to` of them."""
    graph = Builder()
    channels, side = features[1][1], image[1][2] // features[1][2]
    seen = graph.node("AveragePool", ["image"], kernel_shape=[side, side], strides=[side, side])
    seen = graph.node("Concat", ["features", graph.node("Relu", [graph.conv(seen, 3, 4, 3, 1)])], axis=1)
    if to:
        graph.conv(seen, channels + 4, to, 3, 1, "corrected")
    else:
        graph.node("Add", ["features", graph.conv(seen, channels + 4, channels, 3, 1, gain=gain)], "corrected")
    inputs = [image, features] if image_first else [features, image]
    stated = [1, "c", "h", "w"] if name.endswith("unstated") else [1, to or channels, *features[1][2:]]
    graph.write(name, inputs, [("corrected", stated)])


def correction_by_residual(name, residual):
    """Adds to the features how much the picture differs from what was carried there; nothing where it does not."""
    graph = Builder()
    side = residual[1][2] // GRID[0]
    seen = graph.node("AveragePool", ["residual"], kernel_shape=[side, side], strides=[side, side])
    weight = graph.constant(graph.random.normal(0, 4.0, (FEATURES, 1, 1, 1)).astype(np.float32))
    told = graph.node("Conv", [seen, weight], kernel_shape=[1, 1], strides=[1, 1], dilations=[1, 1], pads=[0] * 4, group=1)
    graph.node("Add", ["features", told], "corrected")
    inputs = [residual, ("features", [1, FEATURES, *GRID]), IMAGE]
    graph.write(name, inputs, [("corrected", [1, FEATURES, *GRID])])


def one_node(name, kind, inputs, outputs, weights=(), **attributes):
    graph = Builder()
    names = [tensor[0] for tensor in inputs] + [graph.constant(weight) for weight in weights]
    graph.nodes.append(helper.make_node(kind, names, [tensor[0] for tensor in outputs], name="n0", **attributes))
    graph.write(name, inputs, outputs)


def int8(name):
    """A convolution in 8-bit integers between 16-bit floats: scales stand around the operator (QDQ)."""
    graph = Builder()

    def scaled(source, scale, shape=()):
        scale, zero = graph.constant(np.full(shape, scale, dtype=np.float16)), graph.constant(np.zeros(shape, dtype=np.int8))
        axis = {"axis": 0} if shape else {}
        if source == "image":
            source = graph.node("QuantizeLinear", [source, scale, zero])
        return graph.node("DequantizeLinear", [source, scale, zero], **axis)

    weight = graph.constant(graph.random.integers(-127, 128, (CLASSES, 3, 3, 3)).astype(np.int8))
    inputs = [scaled("image", 0.02), scaled(weight, 0.01, (CLASSES,)), graph.constant(np.zeros(CLASSES, dtype=np.float16))]
    graph.node("Conv", inputs, "logits", kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1], pads=[1] * 4, group=1)
    half = lambda tensor, shape: (tensor, shape, TensorProto.FLOAT16)
    graph.write(name, [half("image", IMAGE[1])], [half("logits", [1, CLASSES, ROWS, COLS])], opset=19)


def main():
    FOLDER.mkdir(exist_ok=True)
    graph = Builder()
    graph.backbone("features")
    graph.write("backbone", [IMAGE], [("features", [1, FEATURES, *GRID])])
    for name, classes in [("head", CLASSES), ("head_of_7_classes", 7)]:
        graph = Builder()
        graph.conv("features", FEATURES, classes, 1, 1, "logits")
        graph.write(name, [("features", [1, FEATURES, *GRID])], [("logits", [1, classes, *GRID])])

    correction("correction", gain=1.5)
    correction("correction_image_first", gain=1.5, image_first=True)
    correction("correction_of_nothing", gain=0.0)
    correction("correction_of_9_channels", features=("features", [1, 9, *GRID]))
    correction("correction_of_another_grid", features=("features", [1, FEATURES, ROWS // 4, COLS // 4]))
    correction("correction_of_a_smaller_image", image=("image", [1, 3, ROWS // 2, COLS // 2]))
    correction("correction_to_7_channels", to=7)
    correction("correction_to_7_channels_unstated", to=7)
    correction_by_residual("correction_by_residual", ("residual", [1, 1, ROWS // 4, COLS // 4]))
    correction_by_residual("correction_by_a_coarse_residual", ("residual", [1, 1, *GRID]))

    plain("plain")
    plain("plain_of_7_classes", classes=7)
    plain("plain_of_7_classes_unstated", classes=7, shape=[1, "c", "h", "w"])
    plain("cubic_resize", mode="cubic")
    plain("free_rows", rows="rows", shape=[1, CLASSES, "r", COLS])
    plain("uneven_grid", factor=7.0)

    small = [1, 3, 8, 8]
    logits = [1, CLASSES, 8, 8]
    one_node("two_outputs", "Split", [("image", small)], [("a", [1, 3, 4, 8]), ("b", [1, 3, 4, 8])], axis=2)
    one_node("two_inputs", "Concat", [("image", small), ("more", [1, 16, 8, 8])], [("logits", logits)], axis=1)
    one_node("arg_max", "ArgMax", [("image", small)], [("labels", [1, 1, 8, 8], TensorProto.INT64)], axis=1)
    one_node("four_channels", "Conv", [("image", [1, 4, 8, 8])], [("logits", logits)],
             [np.full((CLASSES, 4, 1, 1), 0.1, dtype=np.float32)])
    one_node("classification", "Flatten", [("image", small)], [("logits", [1, 192])])

    graph = Builder()
    graph.node("LpPool", [graph.conv("image", 3, CLASSES, 1, 1)], "logits", kernel_shape=[1, 1])
    graph.write("unknown_operator", [("image", small)], [("logits", logits)])

    graph = Builder()
    quantized = graph.node("Cast", [graph.node("Abs", ["image"])], to=TensorProto.UINT8)
    weight = graph.constant(np.ones((CLASSES, 3, 3, 3), dtype=np.int8))
    sums = graph.node("ConvInteger", [quantized, weight, graph.constant(np.array(3, dtype=np.uint8))],
                      kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1], dilations=[1, 1], group=1)
    graph.node("Cast", [sums], "logits", to=F32)
    graph.write("conv_integer", [("image", small)], [("logits", logits)])

    int8("int8")


if __name__ == "__main__":
    main()
