"""Balanced factors of a head's product (docs/fingerprint.md): small float64 matrices from float32 rows.

Every matrix product adds its terms one by one in the order of the inner index, whatever the blocking, so its
bits are those of the plain loop; the rest is numpy's, entry by entry. One head is one task.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prover.kernels.canonical import Float32, Float64
from prover.kernels.eigen import cholesky, symmetric_eigen
from prover.kernels.threads import run_ranges

_BLOCK = 256


@njit(cache=True, nogil=True)
def accumulate(out: Any, a: Any, b: Any) -> None:
    """out (m × n) += a (m × k) · b (k × n), contiguous float64, one term after the other."""
    m, n = out.shape
    inner = len(b)
    fours, pairs = inner // 4 * 4, m // 2 * 2
    for k in range(0, fours, 4):
        for i in range(0, pairs, 2):
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            c0, c1, c2, c3 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
            for j in range(n):
                b0, b1, b2, b3 = b[k, j], b[k + 1, j], b[k + 2, j], b[k + 3, j]
                out[i, j] = out[i, j] + a0 * b0 + a1 * b1 + a2 * b2 + a3 * b3
                out[i + 1, j] = out[i + 1, j] + c0 * b0 + c1 * b1 + c2 * b2 + c3 * b3
    for i in range(m):
        for k in range(fours if i < pairs else 0, inner):
            factor = a[i, k]
            for j in range(n):
                out[i, j] += factor * b[k, j]


def _product(a: Float64, b: Float64) -> Float64:
    out = np.zeros((len(a), b.shape[1]))
    accumulate(out, np.ascontiguousarray(a), np.ascontiguousarray(b))
    return out


def _gram(members: Float32, probe: Float32) -> tuple[Float64, Float64]:
    """Σ rows · rowsᵀ (n × n) over the members (m, n, d), and Σ rows · probe (n,)."""
    _, n, d = members.shape
    gram, along = np.zeros((n, n)), np.zeros((1, n))
    for rows in members:
        for first in range(0, d, _BLOCK):
            block = rows[:, first : first + _BLOCK].astype(np.float64)
            turned = np.ascontiguousarray(block.T)
            accumulate(gram, block, turned)
            accumulate(along, probe[None, first : first + _BLOCK].astype(np.float64), turned)
    return gram, along[0]


def _balance_heads(
    stored: Float32,
    grouped: Float32,
    tolerance: float,
    probe: Float32,
    turn: Float64,
    out: tuple[Float64, Float64],
    start: int,
    stop: int,
) -> None:
    n = stored.shape[1]
    factor, inverse, vectors, values = np.empty((n, n)), np.empty((n, n)), np.empty((n, n)), np.empty(n)
    for head in range(start, stop):
        gram, along = _gram(stored[head : head + 1], probe)
        cholesky(gram, tolerance, factor, inverse)
        core = _product(_product(factor, _gram(grouped[head], probe)[0]), factor.T)
        symmetric_eigen(0.5 * (core + core.T), values, vectors)
        to_left, to_right = _product(vectors, inverse), _product(vectors, factor)
        kept = values > tolerance * values[0]
        root = np.sqrt(np.sqrt(np.where(kept, values, 0.0)))
        sign = np.where(_product(to_left, along[:, None])[:, 0] < 0.0, -1.0, 1.0)
        out[0][head] = _product(turn, to_left * (sign * root)[:, None])
        out[1][head] = _product(turn, to_right * (sign * kept / np.where(kept, root, 1.0))[:, None])


def balance_heads(
    stored: Float32, grouped: Float32, tolerance: float, probe: Float32, turn: Float64
) -> tuple[Float64, Float64]:
    """Maps (heads, n, n) that bring stored (heads, n, d) and grouped (heads, group, n, d) to balanced factors.

    With singular values σ (and left singular rows) of storedᵀ·[grouped_1 … grouped_g]: turn · √σ · singular
    rows. Singular rows of `stored` have a nonnegative product with `probe` (d,). Squared values that are at most
    `tolerance` times the largest are dropped.
    """
    heads, n, _ = stored.shape
    out = np.empty((heads, n, n)), np.empty((heads, n, n))
    run_ranges(_balance_heads, heads, 1, stored, grouped, tolerance, probe, turn, out, align=1)
    return out


def _apply_maps(maps: Float64, rows: Float32, out: Float32, start: int, stop: int) -> None:
    group = len(rows) // len(maps)
    for head in range(start, stop):
        for first in range(0, rows.shape[2], _BLOCK):
            part = slice(first, first + _BLOCK)
            out[head, :, part] = _product(maps[head // group], rows[head, :, part].astype(np.float64))


def apply_maps(maps: Float64, rows: NDArray[np.float32]) -> Float32:
    """maps (heads, n, n) · rows (heads·group, n, d), each map for `group` neighbours; float32, rounded once."""
    out = np.empty(rows.shape, np.float32)
    run_ranges(_apply_maps, len(rows), 1, maps, rows, out, align=1)
    return out
