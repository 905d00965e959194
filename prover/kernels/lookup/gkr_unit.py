"""Kernels for tiles of leaves whose numerators are all one (protocol §6.5): half the tables, half the products.

With p = 1 the layer's sumcheck is over g = b + c + μ·b·c = μ·B·C − κ for B = b + κ, C = c + κ, κ = 1/μ. So only B
(from q_high) and C (from q_low) are kept. B carries the tile's eq coefficient as a factor from the start, so that
Σ_tiles B·C is a plain sum for every entry y of a tile; eq(y) comes in once for all tiles, μ and κ at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from huref.common.algebra.field import DEGREE
from huref.prover.kernels.field.field import U32
from huref.prover.kernels.field.limbs import broadcast5, entries, load5, store5, vkadd5, vkmul5, vksub5, zero5
from huref.prover.kernels.field.simd import LANES
from huref.prover.kernels.jit import bare_helper, kernel
from huref.prover.kernels.lookup.gkr import between, finish
from huref.prover.kernels.threads import run_ranges

_BLOCK = 1 << 9  # entries of a tile whose sums stay in the cache while all tiles are visited


@bare_helper
def unit_up(q: Any, m: int, out_p: Any, out_q: Any, at: int) -> None:
    """Parents of m leaves q, 1/q_low + 1/q_high, to entry `at` on."""
    half = m // 2
    for y in range(0, half, LANES):
        q0, q1 = load5(q, y), load5(q, half + y)
        store5(out_p, at + y, vkadd5(q0, q1))
        store5(out_q, at + y, vkmul5(q0, q1))


@bare_helper
def _add_products(sums: Any, y: int, b0: Any, b1: Any, c0: Any, c1: Any) -> None:
    """B·C at 0 and at ∞ added to entry y of sums[0] and sums[1]."""
    store5(sums[0], y, vkadd5(load5(sums[0], y), vkmul5(b0, c0)))
    store5(sums[1], y, vkadd5(load5(sums[1], y), vkmul5(vksub5(b1, b0), vksub5(c1, c0))))


@bare_helper
def add_weighted(sums: Any, n: int, eq: Any, eq_at: int, total: Any) -> None:
    """Adds Σ eq·sums over the first n entries, weights from `eq_at` on, to `total` (2, 5, 1)."""
    at_zero = at_infinity = zero5()
    for y in range(0, n, LANES):
        weight = load5(eq, eq_at + y)
        at_zero = vkadd5(at_zero, vkmul5(weight, load5(sums[0], y)))
        at_infinity = vkadd5(at_infinity, vkmul5(weight, load5(sums[1], y)))
    finish(at_zero, at_infinity, total, np.int64(0))


@bare_helper
def unit_first_round(q: Any, sums: Any, at: int) -> None:
    """Products of four rows of w of B and C, q = (C, C, B, B), added to the sums from entry `at` on."""
    w = len(q) * LANES // 4
    for y in range(0, w, LANES):
        c0, c1, b0, b1 = load5(q, y), load5(q, y + w), load5(q, y + 2 * w), load5(q, y + 3 * w)
        _add_products(sums, at + y, b0, b1, c0, c1)


@bare_helper
def unit_bind_round(q: Any, r: Any, b: Any, c: Any, to: int, far: int, sums: Any, at: int) -> None:
    """Binds the first variable of eight rows of w, q = (4 of C, 4 of B), and adds the next round's products.

    The two rows of either table go to entry `to`, and `far` behind it.
    """
    w = len(q) * LANES // 8
    wide_r = broadcast5(r)
    for y in range(0, w, LANES):
        c0 = between(wide_r, load5(q, y), load5(q, y + 2 * w))
        c1 = between(wide_r, load5(q, y + w), load5(q, y + 3 * w))
        b0 = between(wide_r, load5(q, y + 4 * w), load5(q, y + 6 * w))
        b1 = between(wide_r, load5(q, y + 5 * w), load5(q, y + 7 * w))
        store5(b, to + y, b0)
        store5(b, to + far + y, b1)
        store5(c, to + y, c0)
        store5(c, to + far + y, c1)
        _add_products(sums, at + y, b0, b1, c0, c1)


@kernel
def _bind_round(b: Any, c: Any, m: int, stride: int, r: Any, eq: Any, start: int, stop: int) -> Any:
    quarter = m // 4
    wide_r = broadcast5(r)
    total = np.zeros((2, DEGREE, 1), np.uint32)
    sums = np.empty((2, min(quarter, _BLOCK) // LANES, DEGREE, LANES), np.uint32)
    for first in range(0, quarter, _BLOCK):
        n = min(_BLOCK, quarter - first)
        sums[:] = 0
        for tile in range(start, stop):
            for y in range(0, n, LANES):
                i = tile * stride + first + y
                b0 = between(wide_r, load5(b, i), load5(b, i + 2 * quarter))
                b1 = between(wide_r, load5(b, i + quarter), load5(b, i + 3 * quarter))
                c0 = between(wide_r, load5(c, i), load5(c, i + 2 * quarter))
                c1 = between(wide_r, load5(c, i + quarter), load5(c, i + 3 * quarter))
                store5(b, i, b0)
                store5(b, i + quarter, b1)
                store5(c, i, c0)
                store5(c, i + quarter, c1)
                _add_products(sums, y, b0, b1, c0, c1)
        add_weighted(sums, n, eq, first, total)
    return total


def bind_round(tables: list[U32], m: int, stride: int, r: U32, eq: U32) -> U32:
    """Binds the top bit of tiles of m of B and C in place and sums the next round over all tiles, (2, 5, parts)."""
    tiles = entries(tables[0]) // stride
    return np.concatenate(run_ranges(_bind_round, tiles, 1, *tables, m, stride, r, eq, align=1), axis=2)
