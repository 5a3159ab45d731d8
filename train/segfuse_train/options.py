"""What the command line takes: each kind of value is checked before anything is read (argparse then exits with 2)."""

import argparse
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import torch

from segfuse_train.manifest import MOST_SIDE
from segfuse_train.network import COARSEST

Refused = argparse.ArgumentTypeError
# torch takes no larger seeds.
MOST = 2**63 - 1


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """A whole number of least..most."""

    def read(text: str) -> int:
        value = number(text, int, "a whole number")
        if not least <= value <= most:
            raise Refused(f"{value} is outside {least} to {most}" if most < MOST else f"{value} is below {least}")
        return value

    return read


def part(text: str) -> float:
    """0 to 1."""
    value = finite(text)
    if not 0 <= value <= 1:
        raise Refused(f"{text} is outside 0 to 1")
    return value


def part_below_one(text: str) -> float:
    """0 to 1, but something must be left."""
    value = part(text)
    if value == 1:
        raise Refused("1 leaves nothing to learn from; it must be below 1")
    return value


def weight(text: str) -> float:
    """0 or more."""
    value = finite(text)
    if value < 0:
        raise Refused(f"{text} is below 0")
    return value


def above_zero(text: str) -> float:
    value = finite(text)
    if value <= 0:
        raise Refused(f"{text} is not above 0")
    return value


def side(text: str) -> int:
    """A side of the network's input."""
    value = number(text, int, "a whole number")
    if not 0 < value <= MOST_SIDE or value % COARSEST:
        raise Refused(f"{value} is no multiple of {COARSEST} from {COARSEST} to {MOST_SIDE}")
    return value


def counts(text: str) -> list[int]:
    """Whole numbers, such as 0,10,30."""
    return [whole(0)(one) for one in text.split(",")]


def shared(text: str) -> tuple[str, float]:
    """LAYOUT:FOLDER[@SHARE] in its parts. What follows an `@` and is no number belongs to the folder's name."""
    data_set, mark, share = text.rpartition("@")
    try:
        value = float(share)
    except ValueError:
        mark = ""
    if not mark:
        return text, 1.0
    if not (math.isfinite(value) and value > 0):
        raise Refused(f"'{text}': the share {share} is not above 0")
    return data_set, value


def network_name(text: str) -> str:
    """A name that needs no quoting anywhere: in model.toml, in a report, as a file's."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise Refused(f"'{text}': up to 64 letters, digits, '.', '_' and '-', a letter or digit first")
    return text


def out_folder(text: str) -> Path:
    """A folder that is there, or can be made, and can be written to."""
    path = Path(text)
    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise Refused(f"{there}: a file lies there; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise Refused(f"{there}: may not be written to; name another folder")
    return path


def device(text: str) -> torch.device:
    try:
        found = torch.device(text)
    except RuntimeError as error:
        raise Refused(f"'{text}': write cpu, cuda or cuda:0") from error
    if found.type not in ("cpu", "cuda"):
        raise Refused(f"'{text}': write cpu, cuda or cuda:0")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise Refused(f"'{text}': PyTorch finds {torch.cuda.device_count()} CUDA devices here; write cpu")
    return found


def finite(text: str) -> float:
    value = number(text, float, "a number")
    if not math.isfinite(value):
        raise Refused(f"{text} is no finite number")
    return value


def number(text: str, kind: type, named: str):
    try:
        return kind(text)
    except ValueError as error:
        raise Refused(f"'{text}' is not {named}") from error
