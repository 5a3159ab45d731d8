"""model.toml: what a network folder says of itself, and whether this project can judge it and go on from it."""

import hashlib
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

from segfuse_train.network import COARSEST, MEAN, STD, STRIDE
from segfuse_train.refusal import Unusable, reading

NAME = "model.toml"
PARTS = ("backbone", "head", "correction")
GRAPHS = tuple(f"{part}{ending}" for part in PARTS for ending in (".onnx", ".fp16.onnx"))
# As segfuse has it.
MOST_SIDE = 4096
REMEDY = "judge it with `segfuse evaluate`, or take a folder that `export` wrote"
MISSING = object()


@dataclass(frozen=True)
class Manifest:
    """Of the input its rows and cols, and the SHA-256 of each file."""

    rows: int
    cols: int
    files: dict[str, str]


def text_of(name: str, rows: int, cols: int, channels: int, files: dict[str, bytes]) -> str:
    hashes = "".join(f'"{file}" = "{hashlib.sha256(data).hexdigest()}"\n' for file, data in sorted(files.items()))
    return f"""name = "{name}"
classes = "cityscapes"
[input]
rows = {rows}
cols = {cols}
channels = "rgb"
mean = {list(MEAN)}
std = {list(STD)}
[features]
channels = {channels}
stride = {STRIDE}
[files]
{hashes}"""


def read(folder: Path) -> Manifest:
    """What the folder's model.toml says; refused where it asks for other input or output than networks have here."""
    path = folder / NAME
    with reading(path, "a network's manifest", "a network folder has one", ValueError):
        told = tomllib.loads(path.read_text())
    insist(path, told, "classes", "cityscapes")
    insist(path, told, "input.channels", "rgb")
    insist(path, told, "input.mean", list(MEAN))
    insist(path, told, "input.std", list(STD))
    insist(path, told, "features.stride", STRIDE)
    if "logits" in told:
        insist(path, told, "logits.stride", STRIDE)
    rows, cols = side(path, told, "input.rows"), side(path, told, "input.cols")
    return Manifest(rows, cols, stated_files(path, told))


def value_at(told: dict, key: str):
    for name in key.split("."):
        told = told.get(name, MISSING) if isinstance(told, dict) else MISSING
    return told


def insist(path: Path, told: dict, key: str, wanted) -> None:
    found = value_at(told, key)
    if found is MISSING:
        raise Unusable(path, f"lacks {key}, here {wanted}", REMEDY)
    if not same(found, wanted):
        raise Unusable(path, f"{key} = {found}, here only {wanted} is known", REMEDY)


def same(found, wanted) -> bool:
    """Numbers may be told less exactly than they are here."""
    if isinstance(wanted, list):
        long = isinstance(found, list) and len(found) == len(wanted)
        return long and all(same(one, other) for one, other in zip(found, wanted, strict=True))
    if isinstance(wanted, float):
        return isinstance(found, int | float) and math.isclose(found, wanted, abs_tol=1e-6)
    return type(found) is type(wanted) and found == wanted


def side(path: Path, told: dict, key: str) -> int:
    found = value_at(told, key)
    if type(found) is not int or not 0 < found <= MOST_SIDE or found % COARSEST:
        shown = "missing" if found is MISSING else repr(found)
        raise Unusable(path, f"{key} = {shown}, no multiple of {COARSEST} up to {MOST_SIDE}", REMEDY)
    return found


def stated_files(path: Path, told: dict) -> dict[str, str]:
    files = value_at(told, "files")
    files = files if isinstance(files, dict) else {}
    for name in files:
        if name not in GRAPHS:
            raise Unusable(path, f"[files] names '{name}', which has no place in a network folder", REMEDY)
    for name in ("backbone.onnx", "head.onnx"):
        if name not in files:
            raise Unusable(path, f"[files] lacks {name}", REMEDY)
    return files


def insist_on_hashes(folder: Path, files: dict[str, str]) -> None:
    """Each file must be the one that model.toml was written for."""
    for name, stated in files.items():
        with reading(folder / name, "a file", f"{NAME} names it: export the network anew"):
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != stated:
            reason = f"its SHA-256 is {found[:12]}…, {NAME} says {str(stated)[:12]}…"
            raise Unusable(folder / name, reason, "export the network anew, or take a copy that is whole")
