"""Arrays that are maps of files, larger than memory should grow: pages that were used are given back to the system.

A process is charged for every page of a file that it has touched in a map, though the system can drop it at any time.
A pass over a mapped matrix therefore goes in parts and releases each; the next pass finds them in the system's cache.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

PART_BYTES = 1 << 27


def release(array: NDArray[Any]) -> None:
    """Give back the pages of a mapped file that an array lies in; nothing for other arrays.

    What was written to a shared map stays in the file. Changes of a private map (mode "c") are lost.
    """
    pages = _map_of(array)
    if pages is None or not array.size or not hasattr(mmap, "MADV_DONTNEED"):
        return
    low, high = np.lib.array_utils.byte_bounds(array)
    start = (low - np.frombuffer(pages, np.uint8).ctypes.data) // mmap.PAGESIZE * mmap.PAGESIZE
    pages.madvise(mmap.MADV_DONTNEED, start, min(len(pages), start + high - low + mmap.PAGESIZE) - start)


def released_at(step: Callable[[str], None], array: NDArray[Any]) -> Callable[[str], None]:
    """`step` that first releases an array: what one step of a long job read, the next hardly needs."""

    def stepped(text: str) -> None:
        release(array)
        step(text)

    return stepped


def row_parts(matrix: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Runs [start, stop) of all rows: the whole of an array in memory, else parts that are released after use.

    A part has at most `PART_BYTES`, or one row.
    """
    rows = len(matrix)
    if rows == 0:
        return
    most = max(1, PART_BYTES // max(1, matrix.nbytes // rows))
    if rows <= most or _map_of(matrix) is None:
        yield 0, rows
        release(matrix)
        return
    for start in range(0, rows, most):
        stop = min(rows, start + most)
        yield start, stop
        release(matrix[start:stop])


def strided_parts(matrix: NDArray[Any], stride: int, part_bytes: int) -> Iterator[tuple[int, int]]:
    """Runs [start, stop) of 0 … stride − 1, each for the rows i + j·stride of its numbers i: one run for an array in
    memory, else so many that they have about `part_bytes` each, and these rows are released after use.
    """
    rows = len(matrix)
    if matrix.nbytes <= part_bytes or _map_of(matrix) is None:
        yield 0, stride
        release(matrix)
        return
    most = max(1, stride * part_bytes // matrix.nbytes)
    for start in range(0, stride, most):
        stop = min(stride, start + most)
        yield start, stop
        for first in range(start, rows, stride):
            release(matrix[first : first + stop - start])


def _map_of(array: Any) -> mmap.mmap | None:
    """The map of the file that a view is of; None for any other memory, anonymous maps among it."""
    is_file = False
    while array is not None and not isinstance(array, mmap.mmap):
        is_file = is_file or isinstance(array, np.memmap)
        array = getattr(array, "base", None)
    return array if is_file else None
