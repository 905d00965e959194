"""What happens when kernels are compiled: it is said once, and a second process takes the work from the other end.

numba compiles one function at a time in a process, and processes share the folder on disk. A command compiles what
it meets, in the order of a proof; its worker goes through the same list from the end, and they meet in between.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from numba.core import event

from huref.prover.kernels import cache
from huref.prover.kernels.threads import thread_count

_KIND = "numba:compile"


class _Listener(event.Listener):
    """Calls `then` when the first of our kernels is compiled; one that is found on disk is no event."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then, self._lock, self.count = then, threading.Lock(), 0

    def on_start(self, event: Any) -> None:
        if not event.data["dispatcher"].py_func.__module__.startswith("huref."):
            return
        with self._lock:
            self.count += 1
            first = self.count == 1
        if first:
            self._then()

    def on_end(self, event: Any) -> None:
        """Nothing to do."""


class Worker:
    """Another process that compiles the kernels of some stages, the last ones first.

    It ends when this process does, however that ends: its standard input is a pipe that then closes. Ctrl-C is for
    this process only. Its failure is no failure: what is missing is compiled here.
    """

    def __init__(self, stages: Sequence[str]) -> None:
        place = cache.folder()
        self._process: subprocess.Popen[bytes] | None = None
        if place is None or not sys.executable or thread_count() < 2:
            return
        with suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, *stages],  # -P: no module from the working folder
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "NUMBA_CACHE_DIR": str(place.parent), "HUREF_THREADS": "1"},
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it has compiled everything."""
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def announced(stages: Sequence[str], say: Callable[[], None]) -> Iterator[None]:
    """While this lasts, `say` is called once and a worker is started if a kernel has to be compiled."""
    workers: list[Worker] = []

    def started() -> None:
        say()
        workers.append(Worker(stages))

    listener = _Listener(started)
    event.register(_KIND, listener)
    try:
        yield
    finally:
        event.unregister(_KIND, listener)
        for worker in workers:
            worker.stop()


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """How many of our kernels and helpers have been compiled since."""
    listener = _Listener(lambda: None)
    event.register(_KIND, listener)
    try:
        yield lambda: listener.count
    finally:
        event.unregister(_KIND, listener)


def _leave_with_the_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main(stages: list[str]) -> None:
    """The worker: every example of the stages, from the end."""
    from huref.prover.kernels.examples import examples

    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    for example in reversed(examples(stages)):
        example()


if __name__ == "__main__":
    main(sys.argv[1:])
