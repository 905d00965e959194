"""Counts of looked-up table entries (protocol §6.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.prover.kernels.jit import bare_helper, frozen, kernel
from huref.prover.kernels.mapped import release
from huref.prover.kernels.threads import run_ranges

Counts = NDArray[np.int32]

_CHUNK = 1 << 12


@bare_helper
def _shift_in(index: Any, values: Any, bits: int, half: int) -> None:
    for i in range(len(values)):
        index[i] = (index[i] << np.int32(bits)) + np.int32(values[i]) + np.int32(half)


@bare_helper
def _increment(counts: Any, index: Any) -> None:
    for i in range(len(index)):
        counts[index[i]] += 1


@kernel
def _count(values: Any, bits: int, size: int, start: int, stop: int) -> Any:
    counts = np.zeros(size, np.int32)
    indices = np.empty(_CHUNK, np.int32)
    half = 1 << (bits - 1)
    for at in range(start, stop, _CHUNK):
        end = min(stop, at + _CHUNK)
        index = indices[: end - at]
        index[:] = 0
        for m in range(len(values)):
            _shift_in(index, values[m, at:end], bits, half)
        _increment(counts, index)
    return counts


def count_digits(values: NDArray[Any], bits: int) -> Counts:
    """How often each tuple of signed `bits`-bit integers occurs in `values` (arity, …): (2^(bits·arity),).

    At most 2^31 tuples, of at most 31 bits together. The caller has checked the range: an entry outside it would
    index another tuple.
    """
    flat = frozen(values.reshape(len(values), -1))
    size = 1 << bits * len(values)
    if flat.shape[1] == 0:
        return np.zeros(size, np.int32)
    first, *others = run_ranges(_count, flat.shape[1], 1 << 18, flat, bits, size)
    release(values)
    for other in others:
        first += other
    counts: Counts = first
    return counts


@kernel
def _count_entries(index: Any, size: int) -> Any:
    counts = np.zeros(size, np.int32)
    for i in index:
        if not 0 <= i < size:
            raise ValueError("an index outside the table")
        counts[i] += 1
    return counts


def count_entries(index: NDArray[np.int64], size: int) -> Counts:
    """How often each of 0 … size − 1 occurs in `index` (n,). ValueError if something else does."""
    counts: Counts = _count_entries(frozen(index), size)
    return counts
