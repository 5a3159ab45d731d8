"""Ctrl-C in a run: the running step is finished and the checkpoint saved; a second one stops at once.

with Interrupt() as interrupt:
    for step in steps:
        ...
        if interrupt.asked:
            interrupt.stop(checkpoint, step)
"""

import os
import signal
import sys
import threading
from typing import Self

# As shells count a program that SIGINT ended.
INTERRUPTED = 130


class Interrupt:
    """Whether Ctrl-C was pressed while it was entered."""

    def __init__(self):
        self.asked, self.before = False, None

    def __enter__(self) -> Self:
        # Python lets only the main thread listen; a run in a shell's background ignores Ctrl-C and must go on doing so.
        listens = threading.current_thread() is threading.main_thread()
        if listens and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            self.before = signal.signal(signal.SIGINT, self.ask)
        return self

    def __exit__(self, *_) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)

    def ask(self, *_) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        # Not print: it may have been interrupted in the middle of a line.
        os.write(2, b"stops after this step; Ctrl-C again stops at once\n")

    def stop(self, checkpoint, step: int) -> None:
        checkpoint.save(step)
        print(f"stopped at step {step}: goes on with the same command", file=sys.stderr, flush=True)
        raise SystemExit(INTERRUPTED)
