"""Progress of a long command: one bar over its stages on stderr, and the time each stage took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from common.output import result


class Progress:
    """Stages that a library call passes through; this base class only keeps times.

    `seconds` holds the wall time of every finished stage.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[str], None]]:
        """A named stage; the yielded function reports what is being done inside it."""
        start = time.perf_counter()
        self.entered(name)
        yield lambda step: self.entered(f"{name}: {step}")
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        self.left(name)

    def entered(self, text: str) -> None:
        """Called with what is being done."""

    def left(self, name: str) -> None:
        """Called when a stage is finished."""


class ProgressBar(Progress):
    """A tqdm bar over the stages named beforehand; a context manager."""

    def __init__(self, stages: Sequence[str]) -> None:
        super().__init__()
        self._stages = stages
        self._bar: Any = None

    def __enter__(self) -> ProgressBar:
        from tqdm import tqdm

        self._bar = tqdm(
            total=len(self._stages), unit="stage", leave=False, bar_format="{l_bar}{bar}| {elapsed}"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def say(self, text: str) -> None:
        """Print a result line on stdout without breaking the bar."""
        self._bar.clear()
        result(text)
        self._bar.refresh()

    def entered(self, text: str) -> None:
        """Show it before the bar."""
        self._bar.set_description_str(f"{text[:40]:<40}")

    def left(self, name: str) -> None:
        """Advance the bar."""
        if name in self._stages:
            self._bar.update()
