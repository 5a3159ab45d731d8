"""A recorded drive through segfuse, and the same network on every frame in Python with onnxruntime and OpenCV.

    python benches/peers/every_frame.py TRIP.mcap [--network models/small] [--schedule every:5] [--segfuse segfuse]

Prints frames per second of both, turn by turn, their ratio, and how many labels the two give alike on the frames on
which segfuse ran the network. Needs numpy, opencv-python-headless, onnxruntime, mcap, mcap-protobuf-support; the trip's
pictures are JPEG. What a schedule costs in mIoU tells `segfuse evaluate TRIP --sweep`.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
import tomllib

import cv2
import numpy as np
import onnxruntime
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory


# What segfuse takes a plain ONNX file to want.
PLAIN = {"channels": "rgb", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


class EveryFrame:
    """The whole network, upsampling and arg-max, on each frame by itself."""

    def __init__(self, network, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        load = lambda file: onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        if network.is_dir():
            spec = tomllib.loads((network / "model.toml").read_text())["input"]
            self.graphs = [load(network / name) for name in ("backbone.onnx", "head.onnx")]
        else:
            self.graphs = [load(network)]
            rows, cols = self.graphs[0].get_inputs()[0].shape[2:]
            spec = PLAIN | {"rows": rows, "cols": cols}
        self.size, self.rgb = (spec["cols"], spec["rows"]), spec["channels"] == "rgb"
        mean, std = (np.array(spec[name], np.float32).reshape(3, 1, 1) for name in ("mean", "std"))
        self.scale, self.offset = 1 / (255 * std), mean / std

    def __call__(self, jpeg):
        image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        height, width = image.shape[:2]
        small = cv2.resize(image, self.size, interpolation=cv2.INTER_LINEAR)
        tensor = cv2.dnn.blobFromImage(small, swapRB=self.rgb)
        np.multiply(tensor, self.scale, out=tensor)
        np.subtract(tensor, self.offset, out=tensor)
        for graph in self.graphs:
            (tensor,) = graph.run(None, {graph.get_inputs()[0].name: tensor})
        if tensor.shape[2:] == self.size[::-1]:
            # Logits as fine as the input: the nearest one's label serves a pixel.
            labels = best_class(tensor[0])
            return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return best_class(cv2.resize(plane, (width, height)) for plane in tensor[0])


def best_class(planes):
    """The class with the largest logit. One class at a time: the logits of all would not fit the caches."""
    planes = iter(planes)
    best = next(planes).copy()
    labels = np.zeros(best.shape, np.uint8)
    for label, plane in enumerate(planes, 1):
        cv2.copyTo(np.full_like(labels, label), cv2.compare(plane, best, cv2.CMP_GT), labels)
        cv2.max(plane, best, dst=best)
    return labels


def messages(trip, topic):
    with open(trip, "rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        yield from (message for *_, message in reader.iter_decoded_messages(topics=[topic]))


def pictures(trip):
    found = [np.frombuffer(message.data, np.uint8) for message in messages(trip, "/camera/image") if hasattr(message, "format")]
    if not found:
        raise SystemExit(f"{trip}: no JPEG pictures; `segfuse render` and `segfuse trip import` make such trips")
    return found


def replay(arguments, out=None):
    with tempfile.TemporaryDirectory() as folder:
        summary = pathlib.Path(folder, "run.json")
        command = [arguments.segfuse, "replay", arguments.trip, "--network", arguments.network, "--engine", "onnxruntime"]
        command += ["--schedule", arguments.schedule, "--threads", str(arguments.threads), "--no-publish"]
        command += ["--summary", summary] + (["--out", out] if out else [])
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**library(), **os.environ})
        return json.loads(summary.read_text())


def library():
    """Where the onnxruntime of this Python lies: both are to run the same one."""
    found = sorted(pathlib.Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*"))
    return {"ORT_DYLIB_PATH": str(found[0])} if found else {}


def agreement(arguments, frames, every_frame):
    """The share of labels that are alike on key frames, of a run with every frame one."""
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder, "run.mcap")
        replay(argparse.Namespace(**{**vars(arguments), "schedule": "every:1"}), run)
        masks = [np.frombuffer(mask.data, np.uint8) for mask in messages(run, "/perception/mask")]
    pairs = list(zip(frames, masks))[:: max(1, len(frames) // 10)]
    return float(np.mean([np.mean(every_frame(jpeg).ravel() == mask) for jpeg, mask in pairs]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trip")
    parser.add_argument("--network", type=pathlib.Path, default=pathlib.Path("models/small"), help="a folder, or a plain ONNX file")
    parser.add_argument("--schedule", default="every:5")
    parser.add_argument("--segfuse", default="target/release/segfuse")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    frames, every_frame = pictures(arguments.trip), EveryFrame(arguments.network, arguments.threads)
    alike = agreement(arguments, frames, every_frame)
    if alike < 0.99:
        raise SystemExit(f"the two networks' labels are alike for {alike:.1%} of the pixels only: not the same work")
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        ours.append(replay(arguments)["fps"])
        start = time.perf_counter()
        for jpeg in frames:
            every_frame(jpeg)
        theirs.append(len(frames) / (time.perf_counter() - start))
    ratio = statistics.median(one / other for one, other in zip(ours, theirs))
    print(f"segfuse {arguments.schedule}: {statistics.median(ours):.1f} frames/s; every frame in Python: "
          f"{statistics.median(theirs):.1f}; ratio {ratio:.1f}; labels alike on key frames {alike:.2%}")


if __name__ == "__main__":
    main()
