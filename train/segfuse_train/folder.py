"""Puts a network folder in its place: whole or not at all, and in the place of nothing but another one."""

import shutil
from pathlib import Path

from segfuse_train.manifest import GRAPHS, NAME
from segfuse_train.refusal import Unusable, writing


def insist_on_place(out: Path) -> None:
    """There may be nothing, an empty folder, or a network folder without anything else in it."""
    if not out.exists():
        return
    if not out.is_dir():
        raise Unusable(out, "a file lies there", "take another --out")
    found = sorted(path.name for path in out.iterdir())
    foreign = [name for name in found if name not in (*GRAPHS, NAME)]
    if foreign:
        raise Unusable(
            out, f"holds '{foreign[0]}', which no network folder needs", "take another --out, or move it away"
        )
    if found and NAME not in found:
        raise Unusable(out, f"holds '{found[0]}' but no {NAME}", "take another --out, or move it away")


def put(out: Path, files: dict[str, bytes]) -> None:
    """Writes the files into a folder beside `out`, then puts it in its place."""
    out = out.resolve()
    unfinished, before = (out.with_name(f".{out.name}.{kind}") for kind in ("part", "before"))
    with writing(out):
        for left in (unfinished, before):
            shutil.rmtree(left, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, data in files.items():
            (unfinished / name).write_bytes(data)
        if out.exists():
            out.rename(before)
        unfinished.rename(out)
        shutil.rmtree(before, ignore_errors=True)
