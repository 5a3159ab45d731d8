"""Says in one line what cannot be used or written: the file, what is wrong with it, what to do about it.

with reading(path, "a picture", "take it away or save it anew", OSError):
    image = Image.open(path)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Unusable(SystemExit):
    """Ends the program with status 1 and one line on stderr."""

    def __init__(self, path: Path | str, reason: str, remedy: str):
        super().__init__(f"{path}: {reason}; {remedy}")


@contextmanager
def reading(path: Path, what: str, remedy: str, *damage: type[Exception]) -> Iterator[None]:
    """Refuses the file if reading it fails with one of `damage`, which its format's reader raises for bad bytes."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as error:
        raise Unusable(path, "no such file", remedy) from error
    except (OSError, *damage) as error:
        raise Unusable(path, f"cannot be read as {what} ({first_line(error)})", remedy) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Refuses to go on if the file cannot be written; torch tells of a full disk as a RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise Unusable(path, f"cannot be written ({first_line(error)})", "make room or take another --out") from error


def first_line(error: Exception) -> str:
    """What the error says, short enough to stand in a line; its kind where it says nothing."""
    said = str(error).strip().splitlines()
    return said[0][:160] if said else type(error).__name__
