"""Asks a teacher network once about every picture, so that training never runs it.

The teacher is an ONNX file of train-id logits with a fixed input; each picture is shown as it is and
mirrored, and the mean of both probabilities is stored as u8 at half the picture's size (at most 320 rows).
"""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from segfuse_train import pictures
from segfuse_train.classes import CLASSES
from segfuse_train.opinions import Opinions
from segfuse_train.progress import Progress
from segfuse_train.refusal import Unusable, reading, writing
from segfuse_train.views import normalise

# What onnxruntime raises for files that are cut or no ONNX, and for graphs that it cannot run.
DAMAGE = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoSuchFile,
    runtime.NotImplemented,
    runtime.RuntimeException,
)
REMEDY = "name an ONNX file of 19 train ids, image [1, 3, rows, cols] to logits [1, 19, h, w]"


class Teacher:
    """A network that labels pictures; `classes` x its input size in logits."""

    def __init__(self, path: Path, threads: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        providers = onnxruntime.get_available_providers()
        with reading(path, "a network", REMEDY, *DAMAGE):
            self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        source, target = self.session.get_inputs()[0], self.session.get_outputs()[0]
        fixed = len(source.shape) == 4 and source.shape[1] == 3 and all(isinstance(n, int) for n in source.shape)
        if not fixed or len(target.shape) != 4 or target.shape[1] != CLASSES:
            raise Unusable(path, f"takes {source.shape} and gives {target.shape}", REMEDY)
        self.name, (self.rows, self.cols) = source.name, source.shape[2:]

    def probabilities(self, image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
        """[19, *size] of an RGB u8 image [H, W, 3]."""
        planes = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        shown = normalise(F.interpolate(planes, (self.rows, self.cols), mode="bilinear", align_corners=False))
        seen = [self.ask(shown), self.ask(shown.flip(3)).flip(3)]
        return F.interpolate(sum(seen) / 2, size, mode="bilinear", align_corners=False)[0]

    def ask(self, shown: torch.Tensor) -> torch.Tensor:
        answer = self.session.run(None, {self.name: shown.contiguous().numpy()})[0]
        return torch.from_numpy(answer).softmax(1)


def teach(teacher: Teacher, data_sets: list[str], out: Path) -> None:
    """Writes NAME.npy for each picture of the data sets; what is there already is kept."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    images = [file.image for text in data_sets for file in pictures.files(*pictures.parse(text))]
    missing = Opinions(out).claim(images)
    progress = Progress("teach", len(missing))
    for path in missing:
        image = pictures.opened(path, "RGB")
        rows = min(320, image.shape[0] // 2)
        size = (rows, round(image.shape[1] * rows / image.shape[0]))
        answer = (teacher.probabilities(image, size) * 255).round().to(torch.uint8).numpy()
        unfinished = out / f"{path.stem}.part"
        with unfinished.open("wb") as file:
            np.save(file, answer)
        unfinished.rename(out / f"{path.stem}.npy")
        progress.step()
    progress.close()
