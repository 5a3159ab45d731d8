"""A teacher's opinions in a folder, and which picture each is of.

    FOLDER/NAME.npy        probabilities of the 19 train ids as u8, [19, h, w]
    FOLDER/pictures.json   {NAME: SHA-256 of the picture's file}: pictures of one name are not taken for each other

An opinion that the list does not tell is taken to be of the picture of its name.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from segfuse_train.classes import CLASSES
from segfuse_train.refusal import Unusable, reading

LIST = "pictures.json"
REMEDY = "remove it and run `teach` on the data set"


class Opinions:
    """The opinions in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        told = folder / LIST
        self.pictures: dict[str, str] = {}
        if told.exists():
            with reading(told, "a list of pictures", "remove it", ValueError):
                self.pictures = dict(json.loads(told.read_text()))

    def path(self, image: Path) -> Path:
        return self.folder / f"{image.stem}.npy"

    def of_another(self, image: Path) -> bool:
        told = self.pictures.get(image.stem)
        return told is not None and told != sha256(image)

    def knows(self, image: Path) -> bool:
        return self.path(image).exists() and not self.of_another(image)

    def read(self, image: Path) -> torch.Tensor:
        """[19, h, w] u8."""
        path = self.path(image)
        if not path.exists():
            raise Unusable(path, "the teacher has not seen this picture", "run `teach` on the data set first")
        if self.of_another(image):
            raise Unusable(path, f"of another picture than {image}", "run `teach` on the data set with another --out")
        with reading(path, "a teacher's opinion", REMEDY, ValueError, EOFError):
            values = np.load(path)
        if values.ndim != 3 or len(values) != CLASSES or values.dtype != np.uint8:
            wanted = f"not [{CLASSES}, rows, cols] u8 but {list(values.shape)} {values.dtype}"
            raise Unusable(path, wanted, REMEDY)
        return torch.from_numpy(values)

    def claim(self, images: list[Path]) -> list[Path]:
        """Lists the pictures and gives those without an opinion; refuses a name that two pictures have."""
        kept = {name: told for name, told in self.pictures.items() if (self.folder / f"{name}.npy").exists()}
        seen: dict[str, Path] = {}
        for image in images:
            told = sha256(image)
            if kept.setdefault(image.stem, told) != told:
                other = seen.get(image.stem, "the picture that it is of")
                remedy = "take another --out for one of them, or rename its pictures"
                raise Unusable(image, f"another picture than {other}, but {self.path(image)} would be of both", remedy)
            seen[image.stem] = image
        self.pictures = kept
        unfinished = self.folder / f"{LIST}.part"
        unfinished.write_text(json.dumps(kept, indent=0, sort_keys=True) + "\n")
        unfinished.rename(self.folder / LIST)
        return [image for image in seen.values() if not self.path(image).exists()]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
