"""Writes the network folder that segfuse loads.

    backbone.onnx       image [1, 3, rows, cols] f32 ──▶ features [1, C, rows/8, cols/8]
    head.onnx           features ──▶ logits [1, 19, rows/8, cols/8]
    correction.onnx     carried features, current image, residual ──▶ features; if the network has one
    *.fp16.onnx         the same, typed in half precision throughout, for TensorRT; not beside an int8 backbone
    model.toml          preprocessing, sizes, SHA-256 of each

The weights are rounded to half precision once. The f32 graphs store them so and widen them when they are loaded,
which halves the files and changes nothing else; onnxruntime must agree with PyTorch on the rounded weights.
"""

import copy
import io
import itertools
import logging
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segfuse_train import folder, manifest
from segfuse_train.network import COARSEST, RESIDUAL_STRIDE, STRIDE, Network
from segfuse_train.pictures import Picture
from segfuse_train.score import program_view

OPSET = 13
TOLERANCE = 2e-3
# Smaller ones, the biases, stay f32: they are no size, and rounding them shifts every cell alike.
SMALLEST_HALVED = 1024


def folded(network: Network) -> Network:
    """A copy whose normalisations are inside its convolutions, the weights rounded to half precision."""
    network = copy.deepcopy(network).eval().float()
    for module in network.modules():
        names = list(module._modules)
        for name, after in itertools.pairwise(names):
            first, second = module._modules[name], module._modules[after]
            if isinstance(first, torch.nn.Conv2d) and isinstance(second, torch.nn.BatchNorm2d):
                module._modules[name] = fuse_conv_bn_eval(first, second)
                module._modules[after] = torch.nn.Identity()
    for parameter in network.parameters():
        if parameter.numel() >= SMALLEST_HALVED:
            parameter.data = parameter.data.half().float()
    return network


def graph(module: torch.nn.Module, inputs: dict[str, list[int]], output: str) -> onnx.ModelProto:
    """The module as an f32 graph of fixed input shapes, with all shape arithmetic folded away."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The pinned version's newer exporter would need one more package; the tracer warns that sizes are constants.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(torch.zeros(shape) for shape in inputs.values()),
            buffer,
            input_names=list(inputs),
            output_names=[output],
            opset_version=OPSET,
            dynamo=False,
        )
    return simplified(buffer.getvalue())


def simplified(model: bytes) -> onnx.ModelProto:
    """The model after onnxruntime's rewrites that stay within standard ONNX."""
    with tempfile.TemporaryDirectory() as scratch:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(scratch) / "simplified.onnx")
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        result = onnx.load(options.optimized_model_filepath)
    del result.opset_import[:]
    result.opset_import.append(helper.make_opsetid("", OPSET))
    result.producer_name, result.producer_version = "segfuse-train", ""
    del result.graph.value_info[:]
    for node in result.graph.node:
        node.ClearField("doc_string")
    onnx.checker.check_model(result, full_check=True)
    return result


def typed_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with half-precision input, weights and output; the scales of a Resize stay f32, as ONNX wants them."""
    model = copy.deepcopy(model)
    scales = {name for node in model.graph.node if node.op_type == "Resize" for name in node.input[1:]}
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in scales:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.checker.check_model(model, full_check=True)
    return model


def stored_in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same f32 graph with its large weights stored as f16 and widened by a Cast, which runtimes fold away."""
    model = copy.deepcopy(model)
    weights, widened = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST_HALVED:
            weights.append(tensor)
            continue
        stored = f"{tensor.name}.half"
        weights.append(numpy_helper.from_array(values.astype(np.float16), stored))
        widened.append(helper.make_node("Cast", [stored], [tensor.name], f"widen.{tensor.name}", to=TensorProto.FLOAT))
    nodes = widened + list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(weights)
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model


def agreement(network: Network, files: dict[str, bytes], rows: int, cols: int) -> tuple[float, float]:
    """The largest difference between onnxruntime's f32 logits and PyTorch's; the part of labels that fp16 changes."""
    random = np.random.default_rng(1)
    image, later = (random.standard_normal((1, 3, rows, cols), dtype=np.float32) for _ in range(2))
    residual = np.abs(random.standard_normal(residual_shape(rows, cols), dtype=np.float32))
    with torch.no_grad():
        features = network.backbone(torch.from_numpy(image))
        expected = [network.head(features).numpy()]
        if network.correction is not None:
            corrected = network.correction(features, torch.from_numpy(later), torch.from_numpy(residual))
            expected.append(network.head(corrected).numpy())
    logits = answers(files, "onnx", image, later, residual)
    halved = answers(files, "fp16.onnx", *(part.astype(np.float16) for part in (image, later, residual)))
    apart = max(float(np.abs(one - other).max()) for one, other in zip(expected, logits, strict=True))
    changed = np.mean([one.argmax(1) != other.argmax(1) for one, other in zip(logits, halved, strict=True)])
    return apart, float(changed)


def answers(files: dict[str, bytes], ending: str, image: np.ndarray, *later: np.ndarray) -> list[np.ndarray]:
    """onnxruntime's logits of an image and, if there is a correction, of its features corrected: by image and residual."""

    def run(part: str, **inputs: np.ndarray) -> np.ndarray:
        return onnxruntime.InferenceSession(files[f"{part}.{ending}"], providers=["CPUExecutionProvider"]).run(
            None, inputs
        )[0]

    features = run("backbone", image=image)
    found = [run("head", features=features)]
    if later and f"correction.{ending}" in files:
        seen = dict(zip(("image", "residual"), later, strict=True))
        found.append(run("head", features=run("correction", features=features, **seen)))
    return found


def export(network: Network, name: str, rows: int, cols: int, out: Path, calibration: list[Picture] | None = None):
    """Writes the folder, or refuses with the reason; with `calibration` pictures, the backbone in int8."""
    if rows % COARSEST or cols % COARSEST:
        raise SystemExit(f"--rows {rows} --cols {cols}: both must be multiples of {COARSEST}")
    folder.insist_on_place(out)
    network = folded(network)
    channels = network.widths.eighth
    graphs = graphs_of(network, rows, cols)
    files = {}
    for part, model in graphs.items():
        files[f"{part}.onnx"] = stored_in_half(model).SerializeToString(deterministic=True)
        files[f"{part}.fp16.onnx"] = typed_half(model).SerializeToString(deterministic=True)
    apart, changed = agreement(network, files, rows, cols)
    if apart > TOLERANCE:
        raise SystemExit(f"onnxruntime's logits differ from PyTorch's by {apart}, allowed {TOLERANCE}")
    told = f"logits within {apart:.1e} of PyTorch; fp16 changes {changed:.4%} of labels"
    if calibration:
        files = {f"{part}.onnx": files[f"{part}.onnx"] for part in graphs}
        shown = [program_view(picture, rows, cols).numpy() for picture in calibration]
        exact = files | {}
        files["backbone.onnx"] = quantised(graphs["backbone"], shown)
        pairs = [(answers(exact, "onnx", one)[0], answers(files, "onnx", one)[0]) for one in shown[:10]]
        changed = np.mean([one.argmax(1) != other.argmax(1) for one, other in pairs])
        told = f"int8 changes {changed:.4%} of labels"
    told_of = manifest.text_of(name, rows, cols, channels, files)
    folder.put(out, files | {manifest.NAME: told_of.encode()})
    print(f"wrote {out}: {sum(map(len, files.values()))} bytes of ONNX; {told}")


def residual_shape(rows: int, cols: int) -> list[int]:
    return [1, 1, rows // RESIDUAL_STRIDE, cols // RESIDUAL_STRIDE]


def graphs_of(network: Network, rows: int, cols: int) -> dict[str, onnx.ModelProto]:
    """The f32 graphs of a folder, by their files' names."""
    image, features = [1, 3, rows, cols], [1, network.widths.eighth, rows // STRIDE, cols // STRIDE]
    graphs = {
        "backbone": graph(network.backbone, {"image": image}, "features"),
        "head": graph(network.head, {"features": features}, "logits"),
    }
    if network.correction is not None:
        seen = {"features": features, "image": image, "residual": residual_shape(rows, cols)}
        graphs["correction"] = graph(network.correction, seen, "corrected")
    return graphs


def quantised(model: onnx.ModelProto, shown: list[np.ndarray]) -> bytes:
    """The graph in int8, scales around each operator (QDQ), ranges measured on `shown` inputs.

    Activations are unsigned: on x86 processors onnxruntime has fast kernels for these alone.
    """
    from onnxruntime import quantization

    class Shown(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = iter(shown)

        def get_next(self):
            image = next(self.left, None)
            return None if image is None else {"image": image}

    with tempfile.TemporaryDirectory() as scratch:
        source, target = str(Path(scratch) / "f32.onnx"), str(Path(scratch) / "int8.onnx")
        onnx.save(model, source)
        with quiet_log():
            quantization.quantize_static(
                source,
                target,
                Shown(),
                quant_format=quantization.QuantFormat.QDQ,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                per_channel=True,
            )
        return Path(target).read_bytes()


@contextmanager
def quiet_log():
    """Without onnxruntime's advice to simplify the graph first: it is simplified already."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
