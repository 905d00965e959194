"""Progress of a long command: one bar over its stages on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from huref.common.output import note, result
from huref.prover.progress import Progress


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

    def warn(self, text: str) -> None:
        """Print a warning on stderr without breaking the bar."""
        self._bar.clear()
        note(f"warning: {text}")
        self._bar.refresh()

    def entered(self, text: str) -> None:
        """Show it before the bar."""
        self._bar.set_description_str(f"{text[:40]:<40}")

    def left(self, name: str) -> None:
        """Advance the bar."""
        if name in self._stages:
            self._bar.update()
