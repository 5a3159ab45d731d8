"""Labelled and unlabelled pictures, read once into memory.

A data set is named on the command line as LAYOUT:FOLDER:

    camvid:DIR       DIR/image/NAME.png and DIR/label/NAME.png with CamVid's ids (the SegNet split's 11 classes)
    cityscapes:DIR   DIR/leftImg8bit/**/X_leftImg8bit.png and DIR/gtFine/**/X_gtFine_labelTrainIds.png
    trainids:DIR     DIR/image/NAME.png and DIR/label/NAME.png with train ids, as the training renderer writes;
                     and, if there is DIR/later, what was seen a moment later: DIR/later/image, DIR/later/label and
                     DIR/later/flow/NAME.flo, the exact flow back from there (unknown: above 1e9; any size)
    frames:DIR       pictures without labels: only a teacher's opinion is learnt from them
    video:DIR        the same, one after the other at the camera's rate, named in their order: what `correct` likes best
    TABLE.toml:DIR   DIR/image and DIR/label in the ids of a class table

A teacher's opinion of each picture lies in a folder that `teach` wrote. A data set of which it knows no picture is
learnt without it.
"""

import re
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from segfuse_train.classes import IGNORED, ClassTable, load
from segfuse_train.opinions import Opinions
from segfuse_train.refusal import Unusable, reading

UNLABELLED = ("frames", "video")
ENDINGS = (".png", ".jpg", ".jpeg")
# What Pillow raises for files that are cut, empty or no picture.
DAMAGE = (ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)


@dataclass
class Later:
    """The same drive a moment later: image, label, and flow [h, w, 2] back, x and y as parts of half the picture.

    NaN where the flow is unknown.
    """

    image: torch.Tensor
    label: torch.Tensor
    flow: torch.Tensor


@dataclass
class Picture:
    """One picture: RGB u8 [3, H, W], rows of `table.covers` u8 [H, W], teacher's probabilities u8 [19, h, w]."""

    name: str
    image: torch.Tensor
    label: torch.Tensor
    teacher: torch.Tensor | None
    table: ClassTable
    later: Later | None = None


@dataclass(frozen=True)
class Files:
    """Where a picture and its label lie; the label is missing where the data set has none."""

    image: Path
    label: Path | None


def parse(text: str) -> tuple[str, Path]:
    """`LAYOUT:FOLDER` in its parts."""
    layout, _, folder = text.partition(":")
    if not folder:
        raise SystemExit(f"'{text}': write LAYOUT:FOLDER, such as camvid:data/camvid/train")
    if not Path(folder).is_dir():
        raise SystemExit(f"{folder}: no such folder")
    return layout, Path(folder)


def files(layout: str, folder: Path) -> list[Files]:
    """The pictures of a data set in the order of their names."""
    if layout == "cityscapes":
        return cityscapes_files(folder)
    if layout in UNLABELLED:
        return [Files(path, None) for path in pictures_in(folder)]
    return [Files(path, label_of(folder, path.stem)) for path in pictures_in(folder / "image")]


def pictures_in(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in ENDINGS)
    if not found:
        raise SystemExit(f"{folder}: holds no picture ({', '.join(ENDINGS)})")
    return found


def label_of(folder: Path, stem: str) -> Path:
    label = folder / "label" / f"{stem}.png"
    if not label.exists():
        raise SystemExit(f"{label}: every picture needs its label; take the picture away or add it")
    return label


def cityscapes_files(folder: Path) -> list[Files]:
    found = []
    for image in sorted((folder / "leftImg8bit").rglob("*_leftImg8bit.png")):
        place = image.relative_to(folder / "leftImg8bit").parent
        label = folder / "gtFine" / place / image.name.replace("_leftImg8bit", "_gtFine_labelTrainIds")
        if not label.exists():
            raise SystemExit(f"{label}: missing; make the train-id labels with cityscapesscripts first")
        found.append(Files(image, label))
    if not found:
        raise SystemExit(f"{folder}/leftImg8bit: holds no *_leftImg8bit.png")
    return found


def table_of(layout: str) -> ClassTable:
    return load("cityscapes" if layout in ("cityscapes", "trainids", *UNLABELLED) else layout)


def read(text: str, teacher: Path | None = None, select=None, longest: int = 1024) -> list[Picture]:
    """The data set `LAYOUT:FOLDER`; `select` keeps a part of its files; larger pictures are halved until `longest`."""
    layout, folder = parse(text)
    table = table_of(layout)
    chosen = files(layout, folder)
    chosen = select(chosen) if select else chosen
    opinions = None if teacher is None else Opinions(teacher)
    if opinions is not None and not any(opinions.knows(file.image) for file in chosen):
        opinions = None
    unknown = Unknown(table)
    later = folder / "later" if layout == "trainids" and (folder / "later").is_dir() else None
    # Decoding, most of the work, leaves other threads of Python alone.
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda file: picture(file, unknown, opinions, longest, later), chosen))
    unknown.tell(text)
    return found


class Unknown:
    """Labels in a table's rows, and a count of the ids that the table does not know."""

    def __init__(self, table: ClassTable):
        self.table, self.pixels, self.lock = table, np.zeros(256, np.int64), threading.Lock()

    def rows(self, label: np.ndarray) -> np.ndarray:
        counts = np.bincount(label.ravel(), minlength=256)
        with self.lock:
            self.pixels += counts
        return self.table.indices(label)

    def tell(self, text: str) -> None:
        pixels = {value: int(self.pixels[value]) for value in self.table.unknown() if self.pixels[value]}
        if pixels:
            share = 100 * sum(pixels.values()) / int(self.pixels.sum())
            named = ", ".join(map(str, pixels))
            line = f"{share:.3g} % of the labels' pixels have ids that '{self.table.name}' lacks ({named}): no label"
            # Not among the figures that a command prints.
            print(f"{text}: {line}", file=sys.stderr)


def picture(file: Files, unknown: Unknown, opinions: Opinions | None, longest: int, later: Path | None) -> Picture:
    """The picture of a file, and what was seen after it where a folder `later` has it."""
    image, label = planes(file, unknown, longest)
    opinion = None if opinions is None else opinions.read(file.image)
    found = Picture(file.image.stem, image, label, opinion, unknown.table)
    if later is not None:
        found.later = later_of(later, found, unknown, longest)
    return found


def opened(path: Path, mode: str | None = None) -> np.ndarray:
    """The picture in a file, u8, of its own; `mode` as Pillow names it, else the file's."""
    with reading(path, "a picture", "take it away or save it anew", *DAMAGE), Image.open(path) as picture:
        return np.array(picture.convert(mode) if mode else picture)


def planes(file: Files, unknown: Unknown, longest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Image [3, H, W] and label [H, W] of a picture, the label at the picture's size."""
    image = opened(file.image, "RGB")
    label = label_map(file.label, unknown) if file.label else np.full(image.shape[:2], IGNORED, np.uint8)
    if label.shape != image.shape[:2]:
        insist_on_shape(file, label.shape, image.shape)
        label = np.array(Image.fromarray(label).resize(image.shape[1::-1], Image.Resampling.NEAREST))
    while max(image.shape) > longest:
        image, label = halved(image), label[: label.shape[0] // 2 * 2 : 2, : label.shape[1] // 2 * 2 : 2]
    image = np.ascontiguousarray(image.transpose(2, 0, 1))
    return torch.from_numpy(image), torch.from_numpy(np.ascontiguousarray(label))


def insist_on_shape(file: Files, label: tuple[int, ...], image: tuple[int, ...]) -> None:
    """A label may be of another size than its picture, but of no other shape: it would lie beside what it labels."""
    (rows, cols), (high, wide) = label, image[:2]
    # Halves of odd sides are rounded: by less than one of the label's pixels.
    if abs(rows * wide - cols * high) > max(wide, high):
        reason = f"{cols}x{rows} is of another shape than its picture's {wide}x{high}"
        raise Unusable(file.label, reason, "label the whole picture, or cut both alike")


def later_of(folder: Path, earlier: Picture, unknown: Unknown, longest: int) -> Later:
    names = Files(folder / "image" / f"{earlier.name}.png", folder / "label" / f"{earlier.name}.png")
    image, label = planes(names, unknown, longest)
    flow = read_flo(folder / "flow" / f"{earlier.name}.flo")
    return Later(image, label, torch.from_numpy(flow))


def read_flo(path: Path) -> np.ndarray:
    """[h, w, 2] of a Middlebury .flo, x and y as parts of half the field; NaN where unknown."""
    with reading(path, "a flow", "every picture in later/image needs one"):
        data = path.read_bytes()
    if len(data) < 12 or np.frombuffer(data, "<f4", 1)[0] != 202021.25:
        raise SystemExit(f"{path}: not a Middlebury .flo file")
    cols, rows = np.frombuffer(data, "<i4", 2, 4)
    if len(data) != 12 + 8 * rows * cols:
        raise SystemExit(f"{path}: {cols}x{rows} needs {12 + 8 * rows * cols} bytes, it has {len(data)}")
    flow = np.frombuffer(data, "<f4", 2 * rows * cols, 12).reshape(rows, cols, 2).copy()
    flow[np.abs(flow).max(2) > 1e9] = np.nan
    return flow * np.array([2.0 / cols, 2.0 / rows], np.float32)


def label_map(path: Path, unknown: Unknown) -> np.ndarray:
    """Rows of the table; a palette picture's indices are its labels."""
    label = opened(path)
    if label.ndim != 2:
        raise SystemExit(f"{path}: a label is one channel of class ids, this has shape {label.shape}")
    if label.size and int(label.max()) > 255:
        raise Unusable(path, f"has the id {label.max()}", "class ids go up to 255: save the label with 8 bits a pixel")
    return unknown.rows(label.astype(np.uint8))


def halved(image: np.ndarray) -> np.ndarray:
    rows, cols = image.shape[0] // 2, image.shape[1] // 2
    return np.asarray(Image.fromarray(image).resize((cols, rows), Image.Resampling.BOX))


def labelled(found: list[Picture]) -> bool:
    """Whether any pixel of any of them has a label."""
    return any((picture.label != IGNORED).any() for picture in found)


def insist_on_labels(text: str, found: list[Picture], remedy: str) -> None:
    if not labelled(found):
        raise Unusable(text, "none of its pictures has a label", remedy)


def hold_out(fraction: float):
    """Selectors (learnt, held out): the last frames of every drive, so that no neighbour of one is learnt.

    `fraction` 0 holds nothing out.
    """

    def split(chosen: list[Files]) -> tuple[list[Files], list[Files]]:
        drives: dict[str, list[Files]] = {}
        for file in chosen:
            drives.setdefault(drive_of(file.image.stem), []).append(file)
        learnt, held = [], []
        for drive in drives.values():
            kept = len(drive) - round(len(drive) * fraction)
            learnt += drive[:kept]
            held += drive[kept:]
        return learnt, held

    return (lambda chosen: split(chosen)[0]), (lambda chosen: split(chosen)[1])


def drive_of(name: str) -> str:
    """What the names of a drive's frames share: all up to the first `_`, or, without one, up to the last digits."""
    before, line, _ = name.partition("_")
    return before if line else re.sub(r"\d+$", "", name)
