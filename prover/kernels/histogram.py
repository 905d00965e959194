"""Counts of looked-up digit tuples, for tables too large for repeated full histograms (protocol §6.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prover.kernels.threads import run_ranges


@njit(cache=True, nogil=True)
def _count(values: Any, bits: int, size: int, start: int, stop: int) -> Any:
    counts = np.zeros(size, np.int32)
    half = np.int64(1) << np.int64(bits - 1)
    for i in range(start, stop):
        index = np.int64(0)
        for m in range(len(values)):
            index = (index << np.int64(bits)) + np.int64(values[m, i]) + half
        counts[index] += 1
    return counts


def count_digits(values: NDArray[Any], bits: int) -> NDArray[np.int64]:
    """How often each tuple of signed `bits`-bit integers occurs in `values` (arity, …): (2^(bits·arity),).

    The caller has checked the range: an entry outside it would index another tuple.
    """
    flat = values.reshape(len(values), -1)
    if len(values) * flat.shape[1] == 0:
        return np.zeros(1 << bits * len(values), np.int64)
    parts = run_ranges(_count, flat.shape[1], 1 << 18, flat, bits, 1 << bits * len(values))
    return np.sum(parts, axis=0, dtype=np.int64)
