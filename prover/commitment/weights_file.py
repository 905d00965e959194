"""Where the stacked integers lie: private/weights.npy or, where only the recipe is kept, a file without a name.

A file without a name is deleted as soon as it is open, while it is empty: it lasts as long as the process, however that
ends, and takes disk space that no folder shows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from huref.circuits.argument.placed import place_joined, place_weights
from huref.circuits.program.program import Program
from huref.common.errors import InputOutputError, Malformed
from huref.prover.commitment.stacked import StackedWeights

FILE_NAME = "weights.npy"
_TEMPORARY = "weights.tmp"


@contextmanager
def named(path: Path) -> Iterator[None]:
    """System errors as `InputOutputError` that names the file."""
    try:
        yield
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None


def new_weights(private: Path, program: Program, w: int) -> StackedWeights:
    """A new file for the stack, mapped: what is written to the weights is in the file."""
    placed, rows = place_weights(program.committed, w)
    path = private / FILE_NAME
    with named(path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        data = np.lib.format.open_memmap(path, mode="w+", dtype=np.int8, shape=(rows, w))
        with path.open("r+b") as file:
            _allocate(file.fileno(), path.stat().st_size)
    return StackedWeights(placed | place_joined(program.weights, placed), data)


def nameless_weights(private: Path, program: Program, w: int) -> StackedWeights:
    """As `new_weights`, in a file that is gone with the process."""
    placed, rows = place_weights(program.committed, w)
    path = private / _TEMPORARY
    with named(path):
        path.unlink(missing_ok=True)  # a process that died here left it empty
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "r+b") as file:
            path.unlink()
            os.ftruncate(file.fileno(), rows * w)
            _allocate(file.fileno(), rows * w)
            data = np.memmap(file, np.int8, "r+", shape=(rows, w))
    return StackedWeights(placed | place_joined(program.weights, placed), data)


def read_weights(private: Path, program: Program, w: int) -> StackedWeights:
    """The kept stack as a private map: nothing that is written to it reaches the file.

    Raises:
        InputOutputError, Malformed: there is none, or not one of this program's.
    """
    placed, rows = place_weights(program.committed, w)
    path = private / FILE_NAME
    try:
        with named(path):
            data = np.lib.format.open_memmap(path, mode="c")
    except ValueError:
        raise Malformed(f"{path}: not a tensor file, or cut short") from None
    if data.dtype != np.int8 or data.shape != (rows, w) or not data.flags.c_contiguous:
        raise Malformed(f"{path}: another shape or type than commitment.json says")
    return StackedWeights(placed | place_joined(program.weights, placed), data)


def sync_weights(private: Path) -> None:
    """Make the kept file durable."""
    with named(private / FILE_NAME), (private / FILE_NAME).open("rb") as file:
        os.fsync(file.fileno())


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):  # a full disk would kill the process where it touches the map
        os.posix_fallocate(descriptor, 0, size)
