"""Files of which only some bytes are on this disk: a reader asks for what it is about to read.

A weights file of a remote checkpoint lies in the checkpoint's folder as a placeholder (a Git LFS pointer); the bytes
that came lie elsewhere. `ready` fetches what is wanted and says where to read it. A reader that forgets to ask finds
the placeholder and fails: it can never take a hole for zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int64]


class PartialFile(Protocol):
    """A file that comes when it is asked for."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""

    @property
    def sha256(self) -> str | None:
        """Hex SHA-256 of the whole file, as its server states it; None if it states none."""

    def fill(self, starts: Offsets, stops: Offsets) -> Path:
        """Fetch the byte ranges [start, stop); the place of a file of full size that holds them."""


_partial: dict[Path, PartialFile] = {}


@contextmanager
def opened(files: Mapping[Path, PartialFile]) -> Iterator[None]:
    """Inside this block the placeholders at these paths stand for the files."""
    _partial.update(files)
    try:
        yield
    finally:
        for path in files:
            _partial.pop(path, None)


def ready(path: Path, start: int = 0, stop: int = 0) -> Path:
    """Where bytes `start` to `stop` of a file can be read at their places: `path` itself unless it is partial."""
    file = _partial.get(path)
    return path if file is None else file.fill(np.array([start]), np.array([stop]))


def ready_whole(path: Path) -> Path:
    """As `ready`, for all of a file."""
    file = _partial.get(path)
    return path if file is None else ready(path, 0, file.size)


def ready_rows(path: Path, start: int, row_bytes: int, rows: Offsets) -> Path:
    """As `ready`, for rows of a matrix that lies from `start` on."""
    file = _partial.get(path)
    if file is None:
        return path
    first = start + np.asarray(rows, dtype=np.int64) * row_bytes
    return file.fill(first, first + row_bytes)


def stated(path: Path) -> tuple[int, str] | None:
    """Size and SHA-256 of a partial file as its server states them; None where they must be taken from the bytes."""
    file = _partial.get(path)
    return None if file is None or file.sha256 is None else (file.size, file.sha256)
