"""Compiled row operations of `prover.pinned` and of quantization: IEEE operations in a fixed order.

Compiled without fast-math, so no operation is fused or reordered; a test compares every bit with numpy's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prover.kernels.threads import run_ranges

Float64 = NDArray[np.float64]


@njit(cache=True)
def _butterfly(low: Any, high: Any) -> None:
    for i in range(len(low)):
        a, b = low[i], high[i]
        low[i] = a + b
        high[i] = a - b


@njit(cache=True)
def _multiply(row: Any, factors: Any) -> None:
    for i in range(len(row)):
        row[i] *= factors[i]


@njit(cache=True, nogil=True)
def _hadamard_rows(
    rows: Any, signs: Any, first: int, window: int, scale: float, start: int, stop: int
) -> None:
    for r in range(start, stop):
        row = rows[r]
        _multiply(row, signs)
        part = row[first : first + window]
        step = 1
        while step < window:
            for at in range(0, window, 2 * step):
                _butterfly(part[at : at + step], part[at + step : at + 2 * step])
            step *= 2
        for i in range(window):
            part[i] *= scale


@njit(cache=True, nogil=True)
def _round_rows(values: Any, step: float, largest: float, out: Any, start: int, stop: int) -> None:
    for r in range(start, stop):
        _round_row(values[r], step, largest, out[r])


@njit(cache=True)
def _round_row(values: Any, step: float, largest: float, out: Any) -> None:
    for i in range(len(values)):
        out[i] = np.int8(min(max(np.rint(values[i] / step), -largest), largest))


@njit(cache=True, nogil=True)
def _norm_rows(rows: Any, out: Any, start: int, stop: int) -> None:
    squares = np.empty(rows.shape[1], np.float64)
    for r in range(start, stop):
        _square(rows[r], squares)
        count = len(squares)
        while count > 1:
            half = (count + 1) // 2
            _add(squares[: count - half], squares[half:count])
            count = half
        out[r] = squares[0]


@njit(cache=True)
def _square(row: Any, out: Any) -> None:
    for i in range(len(row)):
        out[i] = row[i] * row[i]


@njit(cache=True)
def _add(total: Any, part: Any) -> None:
    for i in range(len(total)):
        total[i] += part[i]


def norm_rows(rows: Float64) -> Float64:
    """Squared length of every row of (m, n), n ≥ 1, summed by repeated halving."""
    out = np.empty(len(rows), np.float64)
    run_ranges(_norm_rows, len(rows), 64, rows, out, align=1)
    return out


def hadamard_rows(rows: Float64, signs: Float64, first: int, window: int) -> None:
    """Multiply rows (m, n) by `signs` (n,), then transform columns [first, first + window) in place.

    The orthonormal Walsh–Hadamard transform, smallest distance first; `window` is a power of two.
    """
    scale = 1.0 / float(np.sqrt(window))
    run_ranges(_hadamard_rows, len(rows), 64, rows, signs, first, window, scale, align=1)


def round_rows(values: Float64, step: float, largest: int) -> NDArray[np.int8]:
    """values / step to the nearest integer (ties to even), clipped to ±largest; (m, n) float64 to int8."""
    out = np.empty(values.shape, np.int8)
    run_ranges(_round_rows, len(values), 64, values, step, float(largest), out, align=1)
    return out
