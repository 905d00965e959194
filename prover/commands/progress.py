"""Progress of a long command on stderr: a bar on a terminal, one line a finished stage in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

from huref.common.output import is_quiet, is_verbose, note, result
from huref.prover.progress import Progress

TICK = 0.5
"""Seconds after which a bar is drawn again, whatever happens: its clock never stands still."""


def on_terminal() -> bool:
    """Whether somebody watches stderr, and wants to."""
    return sys.stderr is not None and sys.stderr.isatty() and not is_quiet()


@contextmanager
def ticking(bar: Any) -> Iterator[None]:
    """Draw a tqdm bar every now and then while the block lasts: a step may take long."""
    done = threading.Event()

    def tick() -> None:
        while not done.wait(TICK):
            bar.refresh()

    thread = threading.Thread(target=tick, name="huref-bar", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def step_bar(title: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A tqdm bar; the yielded function advances it and shows what was done. Off a terminal: one line at the end."""
    if not on_terminal():
        start = time.perf_counter()
        yield lambda name: None
        note(f"{title}: {time.perf_counter() - start:.1f} s")
        return
    from tqdm import tqdm

    with tqdm(total=steps, desc=title, unit="step", leave=False) as bar, ticking(bar):

        def advance(name: str) -> None:
            if bar.n >= (bar.total or 0):
                bar.total = bar.n + 1
            bar.set_postfix_str(name, refresh=False)
            bar.update()

        yield advance


class ProgressBar(Progress):
    """Progress over the stages named beforehand; a context manager."""

    def __init__(self, stages: Sequence[str]) -> None:
        super().__init__()
        self._stages = stages
        self._bar: Any = None
        self._drawn = ExitStack()

    def __enter__(self) -> ProgressBar:
        if on_terminal():
            from tqdm import tqdm

            shown = {"unit": "stage", "leave": False, "bar_format": "{l_bar}{bar}| {elapsed}"}
            self._bar = self._drawn.enter_context(tqdm(total=len(self._stages), **shown))
            self._drawn.enter_context(ticking(self._bar))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawn.close()

    def say(self, text: str) -> None:
        """Print a result line on stdout without breaking the bar."""
        if self._bar is None:
            result(text)
            return
        with self._bar.get_lock():
            self._bar.clear()
            result(text)
            self._bar.refresh()

    def warn(self, text: str) -> None:
        """Print a warning on stderr without breaking the bar."""
        self.note(f"warning: {text}")

    def note(self, text: str) -> None:
        """Print a line on stderr without breaking the bar."""
        if self._bar is None:
            note(text)
            return
        with self._bar.get_lock():
            self._bar.clear()
            note(text)
            self._bar.refresh()

    def entered(self, text: str) -> None:
        """Show it before the bar."""
        if self._bar is not None:
            self._bar.set_description_str(f"{text[:40]:<40}")

    def left(self, name: str, took: float) -> None:
        """Advance the bar, or say in the log how long the stage took."""
        if self._bar is None:
            note(f"{name}: {took:.1f} s")
        elif name in self._stages:
            self._bar.update()
        if self._bar is not None and is_verbose():
            self._bar.write(f"{name}: {took:.1f} s", file=sys.stderr)
