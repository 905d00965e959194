"""Compiled row operations of the canonical form and of quantization: IEEE operations in a fixed order.

Rows are float32 and stay in cache while they are worked on; sums are float64, in 64 lanes (lane l adds entries
l, l + 64, … in turn) that are then added in halves. Compiled without fast-math, so no operation is fused or
reordered; tests compare every bit with plain numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from huref.prover.kernels.jit import helper, kernel
from huref.prover.kernels.threads import run_ranges

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

LANES = 64


@helper
def _lane_sum(lanes: Any) -> Any:
    half = LANES // 2
    while half > 0:
        for i in range(half):
            lanes[i] += lanes[half + i]
        half //= 2
    return lanes[0]


@helper
def dot(x: Any, y: Any, lanes: Any) -> Any:
    """Σ x_i·y_i of float32 rows in float64, where every product is exact; `lanes` is scratch space."""
    n = len(x)
    whole = n // LANES * LANES
    for i in range(LANES):
        lanes[i] = 0.0
    for at in range(0, whole, LANES):
        for i in range(LANES):
            lanes[i] += np.float64(x[at + i]) * np.float64(y[at + i])
    for i in range(n - whole):
        lanes[i] += np.float64(x[whole + i]) * np.float64(y[whole + i])
    return _lane_sum(lanes)


@kernel
def _fold_rows(
    rows: Any, gain: Any, direction: Any, length: float, squares: Any, start: int, stop: int
) -> None:
    lanes = np.empty(LANES, np.float64)
    for r in range(start, stop):
        row = rows[r]
        for i in range(len(gain)):
            row[i] *= gain[i]
        if length > 0.0:
            share = np.float32(dot(row, direction, lanes) / length)
            for i in range(len(row)):
                row[i] -= share * direction[i]
        squares[r] = dot(row, row, lanes)


def fold_rows(rows: Float32, gain: Float32, direction: Float32, length: float) -> Float64:
    """Multiply rows (m, n) by `gain` (n,) and take out their component along `direction` (n,), in place.

    Returns the squared norms (m,). An empty gain leaves the rows as they are; `length` is the squared norm of
    `direction`, 0 leaves the component in.
    """
    squares = np.empty(len(rows), np.float64)
    run_ranges(_fold_rows, len(rows), 64, rows, gain, direction, length, squares, align=1)
    return squares


@helper
def _two_points(low: Any, high: Any) -> None:
    for i in range(len(low)):
        a, b = low[i], high[i]
        low[i], high[i] = a + b, a - b


def _eight_points(step: int) -> Any:
    """A kernel for the stages of distance step, 2·step and 4·step in one pass, for rows of whole blocks.

    A constant distance and unsigned indices let the compiler see that the eight entries are apart.
    """

    @helper
    def transform(part: Any) -> None:
        one, block = uint64(step), uint64(8 * step)
        for top in range(uint64(len(part)) // block):
            for at in range(one):
                i = uint64(top) * block + uint64(at)
                a, b, c, d = part[i], part[i + one], part[i + uint64(2) * one], part[i + uint64(3) * one]
                i += uint64(4) * one
                e, f, g, h = part[i], part[i + one], part[i + uint64(2) * one], part[i + uint64(3) * one]
                a, b, c, d, e, f, g, h = a + b, a - b, c + d, c - d, e + f, e - f, g + h, g - h
                a, b, c, d, e, f, g, h = a + c, b + d, a - c, b - d, e + g, f + h, e - g, f - h
                part[i], part[i + one] = a - e, b - f
                part[i + uint64(2) * one], part[i + uint64(3) * one] = c - g, d - h
                i -= uint64(4) * one
                part[i], part[i + one] = a + e, b + f
                part[i + uint64(2) * one], part[i + uint64(3) * one] = c + g, d + h

    return transform


_eight_1, _eight_8, _eight_64, _eight_512 = (_eight_points(step) for step in (1, 8, 64, 512))


@helper
def hadamard(part: Any) -> None:
    """The Walsh–Hadamard transform of a power of two of entries, unscaled, smallest distance first."""
    step = 1
    if len(part) >= 8:
        _eight_1(part)
        step = 8
    if len(part) >= 64:
        _eight_8(part)
        step = 64
    if len(part) >= 512:
        _eight_64(part)
        step = 512
    if len(part) >= 4096:
        _eight_512(part)
        step = 4096
    while step < len(part):
        for top in range(0, len(part), 2 * step):
            _two_points(part[top : top + step], part[top + step : top + 2 * step])
        step *= 2


@kernel
def _mix_rows(
    rows: Any, factors: Any, signs: Any, starts: Any, window: int, scale: Any, start: int, stop: int
) -> None:
    for r in range(start, stop):
        row = rows[r]
        factor = np.float32(factors[r])
        for i in range(len(row)):
            row[i] *= factor
        for w in range(len(starts)):
            for i in range(len(row)):
                row[i] *= signs[w, i]
            part = row[starts[w] : starts[w] + window]
            hadamard(part)
            for i in range(window):
                part[i] *= scale


def mix_rows(rows: Float32, factors: Float64, signs: Float32, starts: NDArray[np.int64], window: int) -> None:
    """Multiply rows (m, n) by `factors` (m,) and mix them, in place.

    For every window start: multiply by its row of `signs`, then transform columns [start, start + window) by
    the orthonormal Walsh–Hadamard transform, smallest distance first; `window` is a power of two.
    """
    scale = np.float32(1.0 / np.sqrt(window))
    run_ranges(_mix_rows, len(rows), 64, rows, factors, signs, starts, window, scale, align=1)


@kernel
def _measure_rows(rows: Any, squares: Any, peaks: Any, start: int, stop: int) -> None:
    lanes, highest = np.empty(LANES, np.float64), np.empty(LANES, np.float32)
    for r in range(start, stop):
        row = rows[r]
        squares[r] = dot(row, row, lanes)
        whole = len(row) // LANES * LANES
        for i in range(LANES):
            highest[i] = 0.0
        for at in range(0, whole, LANES):
            for i in range(LANES):
                size = abs(row[at + i])
                highest[i] = size if size > highest[i] else highest[i]
        for i in range(len(row) - whole):
            size = abs(row[whole + i])
            highest[i] = size if size > highest[i] else highest[i]
        peaks[r] = highest[0]
        for i in range(LANES):
            peaks[r] = highest[i] if highest[i] > peaks[r] else peaks[r]


def measure_rows(rows: Float32) -> tuple[Float64, Float32]:
    """Squared norm and largest absolute entry of every row of (m, n); peaks mean nothing where there is NaN."""
    squares, peaks = np.empty(len(rows), np.float64), np.empty(len(rows), np.float32)
    run_ranges(_measure_rows, len(rows), 64, rows, squares, peaks, align=1)
    return squares, peaks


@kernel
def _round_rows(values: Any, step: Any, largest: Any, out: Any, start: int, stop: int) -> None:
    for r in range(start, stop):
        row, rounded = values[r], out[r]
        for i in range(len(row)):
            x = row[i] / step
            x = x if x < largest else largest
            x = x if x > -largest else -largest
            rounded[i] = np.int8(np.rint(x))
        for i in range(len(row), len(rounded)):
            rounded[i] = 0


@kernel
def _round_each(values: Any, factors: Any, largest: Any, out: Any, start: int, stop: int) -> None:
    for r in range(start, stop):
        row, rounded = values[r], out[r]
        factor = factors[r]
        for i in range(len(row)):
            x = row[i] * factor
            x = x if x < largest else largest
            x = x if x > -largest else -largest
            rounded[i] = np.int8(np.rint(x))
        for i in range(len(row), len(rounded)):
            rounded[i] = 0


def round_each(values: Float32, factors: Float32, largest: int, out: NDArray[np.int8]) -> None:
    """Every row of `values` (m, n) times its own factor (m,); otherwise as `round_rows`."""
    run_ranges(_round_each, len(values), 64, values, factors, np.float32(largest), out, align=1)


def round_rows(values: Float32, step: np.float32, largest: int, out: NDArray[np.int8]) -> None:
    """values / step to the nearest integer (ties to even), clipped to ±largest; (m, n) float32.

    They go to the first n columns of `out` (m, at least n); the others become zero.
    """
    run_ranges(_round_rows, len(values), 64, values, step, np.float32(largest), out, align=1)
