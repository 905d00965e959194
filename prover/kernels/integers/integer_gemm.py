"""Exact products of small integer matrices on the CPU, the twin of `gemm.product`.

Sixteen rows' pairs at a time: four rows of each side are multiplied out of registers, over blocks of the inner
index whose left half stays in the last cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.prover.kernels.field.short_simd import SHORT_LANES, horizontal, multiply_add, shorts16, zero8
from huref.prover.kernels.jit import bare_helper, flat_rows, frozen, kernel
from huref.prover.kernels.threads import run_ranges

_BLOCK = 4096
"""Inner entries per block: 256 rows of them are two megabytes. Shorter blocks add up their lanes too often."""


@bare_helper
def _dot(left: Any, right: Any, i: int, j: int, count: int) -> Any:
    total = np.int32(0)
    for k in range(count):
        total += np.int32(left[i + k]) * np.int32(right[j + k])
    return total


@bare_helper
def _square(
    left: Any, right: Any, n: int, step: int, i: int, j: int, count: int, out: Any, row: int, col: int
) -> None:
    """out[row + 0…3, col + 0…3] += products over `count` entries; i, j are where the first rows' entries start, n and
    `step` entries from row to row.
    """
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero8()
    c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = zero8()
    for k in range(0, count, SHORT_LANES):
        y0, y1 = shorts16(right, j + k), shorts16(right, j + step + k)
        y2, y3 = shorts16(right, j + 2 * step + k), shorts16(right, j + 3 * step + k)
        x = shorts16(left, i + k)
        a0, a1 = multiply_add(a0, x, y0), multiply_add(a1, x, y1)
        a2, a3 = multiply_add(a2, x, y2), multiply_add(a3, x, y3)
        x = shorts16(left, i + n + k)
        b0, b1 = multiply_add(b0, x, y0), multiply_add(b1, x, y1)
        b2, b3 = multiply_add(b2, x, y2), multiply_add(b3, x, y3)
        x = shorts16(left, i + 2 * n + k)
        c0, c1 = multiply_add(c0, x, y0), multiply_add(c1, x, y1)
        c2, c3 = multiply_add(c2, x, y2), multiply_add(c3, x, y3)
        x = shorts16(left, i + 3 * n + k)
        d0, d1 = multiply_add(d0, x, y0), multiply_add(d1, x, y1)
        d2, d3 = multiply_add(d2, x, y2), multiply_add(d3, x, y3)
    sums = (a0, a1, a2, a3), (b0, b1, b2, b3), (c0, c1, c2, c3), (d0, d1, d2, d3)
    for r in range(4):
        for s in range(4):
            out[row + r, col + s] += np.int32(horizontal(sums[r][s]))


@bare_helper
def _line(left: Any, right: Any, step: int, i: int, j: int, count: int, out: Any, row: int, col: int) -> None:
    """As `_square` for one row of the left side."""
    a0 = a1 = a2 = a3 = zero8()
    for k in range(0, count, SHORT_LANES):
        x = shorts16(left, i + k)
        y0, y1 = shorts16(right, j + k), shorts16(right, j + step + k)
        y2, y3 = shorts16(right, j + 2 * step + k), shorts16(right, j + 3 * step + k)
        a0, a1 = multiply_add(a0, x, y0), multiply_add(a1, x, y1)
        a2, a3 = multiply_add(a2, x, y2), multiply_add(a3, x, y3)
    sums = (a0, a1, a2, a3)
    for s in range(4):
        out[row, col + s] += np.int32(horizontal(sums[s]))


@kernel
def _product(left: Any, right: Any, n: int, step: int, out: Any, start: int, stop: int) -> None:
    """out[:, start : stop] of left·rightᵀ, both flat with rows of n, those of `right` every `step` entries."""
    m = out.shape[0]
    whole_m, whole_f = m // 4 * 4, start + (stop - start) // 4 * 4
    for first in range(0, n, _BLOCK):
        last = min(n, first + _BLOCK)
        count = (last - first) // SHORT_LANES * SHORT_LANES
        for f in range(start, whole_f, 4):
            for i in range(0, whole_m, 4):
                _square(left, right, n, step, i * n + first, f * step + first, count, out, i, f)
            for i in range(whole_m, m):
                _line(left, right, step, i * n + first, f * step + first, count, out, i, f)
        for f in range(start, stop):
            at = first + count if f < whole_f else first
            for i in range(m if at < last else 0):
                out[i, f] += _dot(left, right, i * n + at, f * step + at, last - at)


def product(left: NDArray[np.int16], right: NDArray[np.int8] | NDArray[np.int16]) -> NDArray[np.int32]:
    """left @ rightᵀ of (m, n) and (f, n) as int32 (m, f), exact while Σ|l·r| stays below 2^31."""
    m, n = left.shape
    if left.dtype != np.int16 or right.dtype not in (np.int8, np.int16) or right.shape[1] != n:
        raise ValueError(f"a {left.dtype} {left.shape} and a {right.dtype} {right.shape} matrix do not fit")
    out = np.zeros((m, len(right)), np.int32)
    entries, step = flat_rows(right)
    own = frozen(np.ascontiguousarray(left).reshape(-1))
    run_ranges(_product, len(right), 16, own, entries, n, step, out, align=4)
    return out
