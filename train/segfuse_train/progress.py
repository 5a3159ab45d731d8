"""A line now and then for whatever takes over two seconds."""

import sys
import time


class Progress:
    """Counts steps towards a total and says so every few seconds."""

    EVERY_S = 5.0

    def __init__(self, what: str, total: int):
        self.what, self.total, self.done = what, total, 0
        self.began = self.told = time.monotonic()

    def step(self, note: str = "") -> None:
        self.done += 1
        if time.monotonic() - self.told >= self.EVERY_S:
            self.tell(note)

    def tell(self, note: str = "") -> None:
        self.told = time.monotonic()
        passed = self.told - self.began
        left = passed / max(1, self.done) * (self.total - self.done)
        line = f"{self.what} {self.done}/{self.total}  {note}  {passed:.0f} s, {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.total:
            self.tell()
