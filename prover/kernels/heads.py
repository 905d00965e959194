"""Compiled balanced factors of a head's product (docs/fingerprint.md): small float64 matrices from float32 rows.

Every matrix product adds its terms one by one in the order of the inner index, whatever the blocking, so its
bits are those of the plain loop. One head is one task.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prover.kernels.canonical import LANES, Float32, Float64, dot
from prover.kernels.eigen import cholesky, symmetric_eigen
from prover.kernels.threads import run_ranges

_BLOCK = 256
_TILE = 8


@njit(cache=True, nogil=True)
def accumulate(out: Any, a: Any, b: Any) -> None:
    """out (m × n) += a (m × k) · b (k × n), one term after the other."""
    m, n = out.shape
    inner = len(b)
    fours = inner // 4 * 4
    for k in range(0, fours, 4):
        for i in range(0, m - 1, 2):
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            c0, c1, c2, c3 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
            for j in range(n):
                b0, b1, b2, b3 = b[k, j], b[k + 1, j], b[k + 2, j], b[k + 3, j]
                out[i, j] = out[i, j] + a0 * b0 + a1 * b1 + a2 * b2 + a3 * b3
                out[i + 1, j] = out[i + 1, j] + c0 * b0 + c1 * b1 + c2 * b2 + c3 * b3
        if m % 2:
            _accumulate_row(out, a, b, m - 1, k, k + 4)
    for i in range(m):
        _accumulate_row(out, a, b, i, fours, inner)


@njit(cache=True)
def _accumulate_row(out: Any, a: Any, b: Any, i: int, start: int, stop: int) -> None:
    for k in range(start, stop):
        factor = a[i, k]
        for j in range(out.shape[1]):
            out[i, j] += factor * b[k, j]


@njit(cache=True)
def _add_gram(gram: Any, rows: Any) -> None:
    """gram (n × n) += rows · rowsᵀ."""
    n, d = rows.shape
    for first in range(0, d, _BLOCK):
        width = min(_BLOCK, d - first)
        plain, turned = np.empty((n, width)), np.empty((width, n))
        for top in range(0, n, _TILE):
            bottom = min(n, top + _TILE)
            for j in range(width):
                for i in range(top, bottom):
                    turned[j, i] = rows[i, first + j]
        for i in range(n):
            for j in range(width):
                plain[i, j] = rows[i, first + j]
        accumulate(gram, plain, turned)


@njit(cache=True)
def _product(a: Any, b: Any) -> Any:
    out = np.zeros((len(a), b.shape[1]))
    accumulate(out, a, b)
    return out


@njit(cache=True)
def _core(factor: Any, gram: Any) -> Any:
    """factor · gram · factorᵀ, symmetric to the last bit."""
    core = _product(_product(factor, gram), factor.T.copy())
    for i in range(len(core)):
        for j in range(i):
            core[i, j] = core[j, i] = 0.5 * (core[i, j] + core[j, i])
    return core


@njit(cache=True, nogil=True)
def _balance_heads(
    stored: Any, grouped: Any, tolerance: float, probe: Any, turn: Any, left: Any, right: Any,
    start: int, stop: int,
) -> None:  # fmt: skip
    n = stored.shape[1]
    factor, inverse, vectors = np.empty((n, n)), np.empty((n, n)), np.empty((n, n))
    values, weights, lanes = np.empty(n), np.empty(n), np.empty(LANES)
    for head in range(start, stop):
        gram = np.zeros((n, n))
        _add_gram(gram, stored[head])
        cholesky(gram, tolerance, factor, inverse)
        gram[:] = 0.0
        for member in range(grouped.shape[1]):
            _add_gram(gram, grouped[head, member])
        symmetric_eigen(_core(factor, gram), values, vectors)
        to_left, to_right = _product(vectors, inverse), _product(vectors, factor)
        for i in range(n):
            weights[i] = dot(stored[head, i], probe, lanes)
        for i in range(n):
            root = np.sqrt(np.sqrt(values[i])) if values[i] > tolerance * values[0] else 0.0
            along = 0.0
            for j in range(n):
                along += to_left[i, j] * weights[j]
            sign = -1.0 if along < 0.0 else 1.0
            for j in range(n):
                to_left[i, j] *= sign * root
                to_right[i, j] *= sign / root if root > 0.0 else 0.0
        left[head], right[head] = _product(turn, to_left), _product(turn, to_right)


def balance_heads(
    stored: Float32, grouped: Float32, tolerance: float, probe: Float32, turn: Float64
) -> tuple[Float64, Float64]:
    """Maps (heads, n, n) that bring stored (heads, n, d) and grouped (heads, group, n, d) to balanced factors.

    With singular values σ (and left singular rows) of storedᵀ·[grouped_1 … grouped_g]: turn · √σ · singular
    rows. Singular rows of `stored` have a nonnegative product with `probe` (d,). Squared values that are at most
    `tolerance` times the largest are dropped.
    """
    heads, n, _ = stored.shape
    left, right = np.empty((heads, n, n)), np.empty((heads, n, n))
    run_ranges(_balance_heads, heads, 1, stored, grouped, tolerance, probe, turn, left, right, align=1)
    return left, right


@njit(cache=True, nogil=True)
def _apply_maps(maps: Any, rows: Any, out: Any, start: int, stop: int) -> None:
    n, d = rows.shape[1:]
    group = len(rows) // len(maps)
    for head in range(start, stop):
        for first in range(0, d, _BLOCK):
            width = min(_BLOCK, d - first)
            block = np.empty((n, width))
            for i in range(n):
                for j in range(width):
                    block[i, j] = rows[head, i, first + j]
            product = _product(maps[head // group], block)
            for i in range(n):
                for j in range(width):
                    out[head, i, first + j] = product[i, j]


def apply_maps(maps: Float64, rows: NDArray[np.float32]) -> Float32:
    """maps (heads, n, n) · rows (heads·group, n, d), each map for `group` neighbours; float32, rounded once."""
    out = np.empty(rows.shape, np.float32)
    run_ranges(_apply_maps, len(rows), 1, maps, rows, out, align=1)
    return out
