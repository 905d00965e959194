"""Kernels for tiles of leaves whose numerators are all one (protocol §6.5): half the tables, half the products.

With p = 1 the layer's sumcheck is over g = b + c + μ·b·c = μ·B·C − κ for B = b + κ, C = c + κ, κ = 1/μ. So only B
(from q_high) and C (from q_low) are kept, and only Σ eq·B·C is summed; μ and κ come in at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from common.field import DEGREE
from prover.kernels.field import U32
from prover.kernels.gkr import between, finish
from prover.kernels.simd import LANES, broadcast5, load5, store5, vkadd5, vkmul5, vksub5
from prover.kernels.threads import run_ranges


@njit(cache=True, nogil=True)
def unit_first_round(q: Any, m: int, kappa: Any, eq: Any, eq_at: int, sums: Any, tile: int) -> None:
    """Adds the sums at 0 and ∞ of the leaves q (5, m), weights eq from `eq_at` on, to those of `tile`."""
    quarter = m // 4
    shift = broadcast5(kappa)
    lanes = np.zeros((DEGREE, LANES), np.uint32)
    at_zero = at_infinity = load5(lanes, 0)
    for y in range(0, quarter, LANES):
        weight = load5(eq, eq_at + y)
        c0, c1 = load5(q, y), load5(q, y + quarter)
        b0, b1 = load5(q, y + 2 * quarter), load5(q, y + 3 * quarter)
        low = vkmul5(vkadd5(b0, shift), vkadd5(c0, shift))
        at_zero = vkadd5(at_zero, vkmul5(weight, low))
        at_infinity = vkadd5(at_infinity, vkmul5(weight, vkmul5(vksub5(b1, b0), vksub5(c1, c0))))
    finish(lanes, at_zero, sums, 0, tile)
    finish(lanes, at_infinity, sums, 1, tile)


@njit(cache=True, nogil=True)
def unit_bind_round(
    q: Any, m: int, kappa: Any, r: Any, eq: Any, eq_at: int, b: Any, c: Any, at: int, far: int, sums: Any, tile: int
) -> None:  # fmt: skip
    """Binds the first variable of the leaves q (5, m) and sums the next round; places as `bind_round_of_tiles`."""
    eighth = m // 8
    shift, wide_r = broadcast5(kappa), broadcast5(r)
    lanes = np.zeros((DEGREE, LANES), np.uint32)
    at_zero = at_infinity = load5(lanes, 0)
    for y in range(0, eighth, LANES):
        c0 = vkadd5(shift, between(wide_r, load5(q, y), load5(q, y + 2 * eighth)))
        c1 = vkadd5(shift, between(wide_r, load5(q, y + eighth), load5(q, y + 3 * eighth)))
        b0 = vkadd5(shift, between(wide_r, load5(q, y + 4 * eighth), load5(q, y + 6 * eighth)))
        b1 = vkadd5(shift, between(wide_r, load5(q, y + 5 * eighth), load5(q, y + 7 * eighth)))
        store5(b, at + y, b0)
        store5(b, at + far + y, b1)
        store5(c, at + y, c0)
        store5(c, at + far + y, c1)
        weight = load5(eq, eq_at + y)
        at_zero = vkadd5(at_zero, vkmul5(weight, vkmul5(b0, c0)))
        at_infinity = vkadd5(at_infinity, vkmul5(weight, vkmul5(vksub5(b1, b0), vksub5(c1, c0))))
    finish(lanes, at_zero, sums, 0, tile)
    finish(lanes, at_infinity, sums, 1, tile)


@njit(cache=True, nogil=True)
def _bind_round(
    b: Any, c: Any, m: int, stride: int, r: Any, eq: Any, sums: Any, start: int, stop: int
) -> None:
    quarter = m // 4
    wide_r = broadcast5(r)
    lanes = np.zeros((DEGREE, LANES), np.uint32)
    zero = load5(lanes, 0)
    for tile in range(start, stop):
        at_zero, at_infinity = zero, zero
        for y in range(0, quarter, LANES):
            i = tile * stride + y
            b0 = between(wide_r, load5(b, i), load5(b, i + 2 * quarter))
            b1 = between(wide_r, load5(b, i + quarter), load5(b, i + 3 * quarter))
            c0 = between(wide_r, load5(c, i), load5(c, i + 2 * quarter))
            c1 = between(wide_r, load5(c, i + quarter), load5(c, i + 3 * quarter))
            store5(b, i, b0)
            store5(b, i + quarter, b1)
            store5(c, i, c0)
            store5(c, i + quarter, c1)
            weight = load5(eq, y)
            at_zero = vkadd5(at_zero, vkmul5(weight, vkmul5(b0, c0)))
            at_infinity = vkadd5(at_infinity, vkmul5(weight, vkmul5(vksub5(b1, b0), vksub5(c1, c0))))
        finish(lanes, at_zero, sums, 0, tile)
        finish(lanes, at_infinity, sums, 1, tile)


def bind_round(tables: list[U32], m: int, stride: int, r: U32, eq: U32) -> U32:
    """Binds the top bit of tiles of m of B and C in place and sums the next round, (2, 5, tiles)."""
    tiles = tables[0].shape[1] // stride
    sums = np.zeros((2, DEGREE, tiles), np.uint32)
    run_ranges(_bind_round, tiles, 1, *tables, m, stride, r, eq, sums, align=1)
    return sums
