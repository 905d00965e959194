"""Counts of looked-up digit tuples, for tables too large for repeated full histograms (protocol §6.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _count(counts: Any, values: Any, bits: int) -> None:
    arity, entries = values.shape
    half = np.int64(1) << np.int64(bits - 1)
    for i in range(entries):
        index = np.int64(0)
        for m in range(arity):
            index = (index << np.int64(bits)) + np.int64(values[m, i]) + half
        counts[index] += 1


def count_digits(counts: NDArray[np.int64], values: NDArray[Any], bits: int) -> None:
    """Add to `counts` (2^(bits·arity),) the tuples `values` (arity, …) of signed `bits`-bit integers.

    The caller has checked the range: an entry outside it would index another tuple.
    """
    _count(counts, np.ascontiguousarray(values).reshape(len(values), -1), bits)
