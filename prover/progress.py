"""Progress of a long call: the stages it passes through, and the time each took."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Stages that a library call passes through; this base class only keeps times.

    `seconds` holds the wall time of every finished stage, of one that came twice the sum.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[str], None]]:
        """A named stage; the yielded function reports what is being done inside it."""
        start = time.perf_counter()
        self.entered(name)
        yield lambda step: self.entered(f"{name}: {step}")
        took = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        self.left(name, took)

    def entered(self, text: str) -> None:
        """Called with what is being done."""

    def warn(self, text: str) -> None:
        """Called with what the owner must know although the call goes on."""
        warnings.warn(text, stacklevel=2)

    def note(self, text: str) -> None:
        """Called with what is good to know about the result."""

    def left(self, name: str, took: float) -> None:
        """Called when a stage is finished, with the seconds that it took this time."""
