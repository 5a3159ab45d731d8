"""What a label id means, in Cityscapes train ids, read from the tables that the program itself uses.

A table such as config/classes/camvid.toml says which of the 19 train ids each of its classes covers;
a network is trained on, and judged by, the sum of the probabilities that a class covers.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segfuse_train.refusal import reading

CLASSES = 19
IGNORED = 255
NAMES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
TABLES = Path(__file__).resolve().parents[2] / "config" / "classes"


@dataclass(frozen=True)
class ClassTable:
    """The classes of some labels: `covers[k, c]` is 1 where class k covers train id c."""

    name: str
    names: tuple[str, ...]
    ids: tuple[int, ...]
    covers: np.ndarray
    # Ids that are known to be no class.
    ignored: tuple[int, ...] = (IGNORED,)

    def indices(self, labels: np.ndarray) -> np.ndarray:
        """Label ids to rows of `covers`; what the table does not know, and what it ignores, to 255."""
        lookup = np.full(256, IGNORED, np.uint8)
        lookup[list(self.ids)] = np.arange(len(self.ids), dtype=np.uint8)
        return lookup[labels]

    def unknown(self) -> list[int]:
        """The ids of 0..255 that it tells nothing of."""
        return sorted(set(range(256)) - {*self.ids, *self.ignored, IGNORED})

    def of_train_ids(self) -> np.ndarray:
        """[19] the row that covers each train id, 255 where none does."""
        rows = np.where(self.covers.any(0), self.covers.argmax(0), IGNORED)
        return rows.astype(np.uint8)


def load(name: str | Path) -> ClassTable:
    """`cityscapes` (its 19 train ids), a table of config/classes, or a .toml file of that form."""
    if name == "cityscapes":
        return ClassTable("cityscapes", NAMES, tuple(range(CLASSES)), np.eye(CLASSES, dtype=np.float32))
    path = Path(name) if str(name).endswith(".toml") else TABLES / f"{name}.toml"
    if not path.exists():
        known = ", ".join(sorted(table.stem for table in TABLES.glob("*.toml")))
        raise SystemExit(f"{path}: no such class table; name one of {known}, or a .toml file")
    with reading(path, "a class table", "write it like those in config/classes", ValueError, LookupError, TypeError):
        return table_in(path)


def table_in(path: Path) -> ClassTable:
    table = tomllib.loads(path.read_text())
    entries = table["class"]
    covers = np.zeros((len(entries), CLASSES), np.float32)
    for row, entry in enumerate(entries):
        for covered in entry.get("covers", []):
            if covered not in NAMES:
                raise SystemExit(f"{path}: class '{entry['name']}' covers '{covered}', which is no Cityscapes train id")
            covers[row, NAMES.index(covered)] = 1.0
    names, ids = tuple(entry["name"] for entry in entries), tuple(entry["id"] for entry in entries)
    return ClassTable(table["name"], names, ids, covers, tuple(table.get("ignored", ())))


def colours() -> np.ndarray:
    """[256, 3] u8: the colour of each train id, black for all else."""
    table = tomllib.loads((TABLES / "cityscapes.toml").read_text())
    result = np.zeros((256, 3), np.uint8)
    for entry in table["class"]:
        result[entry["id"]] = entry["color"]
    return result
