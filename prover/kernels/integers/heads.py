"""Balanced factors of a head's product (docs/fingerprint.md): small float64 matrices from float32 rows.

Every matrix product adds its terms one by one in the order of the inner index, whatever the blocking, so its
bits are those of the plain loop; the rest is numpy's, entry by entry. One head is one task.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from huref.prover.kernels.integers.canonical import Float32, Float64
from huref.prover.kernels.integers.eigen import cholesky, symmetric_eigen
from huref.prover.kernels.jit import helper, kernel
from huref.prover.kernels.threads import run_ranges

_BLOCK = 256


@kernel
def accumulate(out: Any, a: Any, b: Any, upper: bool) -> None:
    """out (m × n) += a (m × k) · b (k × n), contiguous float64, one term after the other.

    With `upper` only the entries on the diagonal and right of it mean anything.
    """
    m, n = out.shape
    inner = len(b)
    fours, pairs = inner // 4 * 4, m // 2 * 2
    for k in range(0, fours, 4):
        for i in range(0, pairs, 2):
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            c0, c1, c2, c3 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
            for j in range(uint64(i // 16 * 16 if upper else 0), uint64(n)):
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
    accumulate(out, np.ascontiguousarray(a), np.ascontiguousarray(b), False)
    return out


@helper
def _turn(rows: Any, first: int, turned: Any) -> None:
    """turned (k × n) float64 = columns first … of rows (n × d), transposed."""
    n = len(rows)
    for low in range(0, n, 8):
        high = min(n, low + 8)
        for k in range(len(turned)):
            for i in range(low, high):
                turned[k, i] = rows[i, first + k]


@kernel
def gram(members: Any, probe: Any, out: Any, along: Any) -> None:
    """out (n × n) = Σ rows · rowsᵀ over the members (m, n, d), and along (1 × n) = Σ probe · rowsᵀ."""
    _, n, d = members.shape
    block, turned, part = np.empty((n, _BLOCK)), np.empty((_BLOCK, n)), np.empty((1, _BLOCK))
    out[:], along[:] = 0.0, 0.0
    for member in range(len(members)):
        rows = members[member]
        for first in range(0, d, _BLOCK):
            count = min(_BLOCK, d - first)
            for i in range(n):
                for k in range(count):
                    block[i, k] = rows[i, first + k]
            for k in range(count):
                part[0, k] = probe[first + k]
            _turn(rows, first, turned[:count])
            accumulate(out, block, turned[:count], np.bool_(True))
            accumulate(along, part, turned[:count], np.bool_(False))
    for i in range(n):
        for j in range(i):
            out[i, j] = out[j, i]


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
    product, along, unused = np.empty((n, n)), np.empty((1, n)), np.empty((1, n))
    for head in range(start, stop):
        gram(stored[head : head + 1], probe, product, along)
        cholesky(product, tolerance, factor, inverse)
        gram(grouped[head], probe, product, unused)
        core = _product(_product(factor, product), factor.T)
        symmetric_eigen(0.5 * (core + core.T), values, vectors)
        to_left, to_right = _product(vectors, inverse), _product(vectors, factor)
        kept = values > tolerance * values[0]
        root = np.sqrt(np.sqrt(np.where(kept, values, 0.0)))
        sign = np.where(_product(to_left, along.T)[:, 0] < 0.0, -1.0, 1.0)
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


@kernel
def _apply_maps(maps: Any, rows: Any, start: int, stop: int) -> None:
    group = len(rows) // len(maps)
    n, d = rows.shape[1:]
    width = min(d, _BLOCK)
    block, out = np.empty((n, width)), np.empty((n, width))
    for head in range(start, stop):
        for first in range(0, d, width):
            count = min(width, d - first)
            for i in range(n):
                for k in range(count):
                    block[i, k] = rows[head, i, first + k]
            out[:] = 0.0
            accumulate(out, maps[head // group], block, np.bool_(False))
            for i in range(n):
                for k in range(count):
                    rows[head, i, first + k] = out[i, k]


def apply_maps(maps: Float64, rows: NDArray[np.float32]) -> None:
    """rows (heads·group, n, d) = maps (heads, n, n) · rows in place, each map for `group` neighbours.

    Float32, rounded once.
    """
    run_ranges(_apply_maps, len(rows), 1, maps, rows, align=1)
