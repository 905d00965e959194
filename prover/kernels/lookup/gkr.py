"""Kernels of the lookup argument's fraction tree (protocol §6.5).

A layer is a list of equal tiles of m fractions p/q, stored as K vectors in blocks
(`huref.prover.kernels.field.limbs`); a parent's fraction is made of the entries y and m/2 + y of its tile. Numerators
of the leaf layer are base-field residues. A layer's sumcheck is over g = a·b + c·d with a = p_low, b = q_high,
c = q_low, d = p_high + μ·q_high, and binds the top remaining index bit of every tile. All sizes are multiples of eight
lanes; smaller tables are the caller's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from huref.common.algebra.field import DEGREE
from huref.prover.kernels.field.field import U32, madd
from huref.prover.kernels.field.limbs import (
    blocks,
    broadcast5,
    entries,
    lane_sums,
    load5,
    store5,
    vkadd5,
    vkmul5,
    vksub5,
    zero5,
)
from huref.prover.kernels.field.simd import LANES, vadd, vload, vmul, vsub
from huref.prover.kernels.jit import bare_helper, kernel
from huref.prover.kernels.threads import run_ranges


@bare_helper
def _base_times(f: Any, x: Any) -> Any:
    return vmul(f, x[0]), vmul(f, x[1]), vmul(f, x[2]), vmul(f, x[3]), vmul(f, x[4])


@bare_helper
def plus_base(x: Any, f: Any) -> Any:
    return vadd(x[0], f), x[1], x[2], x[3], x[4]


@bare_helper
def finish(at_zero: Any, at_infinity: Any, sums: Any, tile: int) -> None:
    """Add the eight lanes of both totals to sums[:, :, tile]."""
    first, second = lane_sums(at_zero), lane_sums(at_infinity)
    for limb in range(DEGREE):
        sums[0, limb, tile] = madd(sums[0, limb, tile], first[limb])
        sums[1, limb, tile] = madd(sums[1, limb, tile], second[limb])


@kernel
def tile_up(p: Any, q: Any, m: int, out_p: Any, out_q: Any, at: int, start: int, stop: int) -> None:
    half = m // 2
    for tile in range(start, stop):
        for y in range(0, half, LANES):
            low, high, to = tile * m + y, tile * m + half + y, at + tile * half + y
            q0, q1 = load5(q, low), load5(q, high)
            store5(out_p, to, vkadd5(vkmul5(load5(p, low), q1), vkmul5(load5(p, high), q0)))
            store5(out_q, to, vkmul5(q0, q1))


@kernel
def leaf_up(p: Any, q: Any, m: int, out_p: Any, out_q: Any, at: int, start: int, stop: int) -> None:
    half = m // 2
    for tile in range(start, stop):
        for y in range(0, half, LANES):
            low, high, to = tile * m + y, tile * m + half + y, at + tile * half + y
            q0, q1 = load5(q, low), load5(q, high)
            store5(out_p, to, vkadd5(_base_times(vload(p, low), q1), _base_times(vload(p, high), q0)))
            store5(out_q, to, vkmul5(q0, q1))


@kernel
def tile_first_round(
    p: Any, q: Any, m: int, mu: Any, eq: Any, eq_at: int, sums: Any, at: int, start: int, stop: int
) -> None:
    """Weights are eq from `eq_at` on; sums are added to those of tiles `at` on."""
    quarter = m // 4
    wide_mu = broadcast5(mu)
    for tile in range(start, stop):
        at_zero = at_infinity = zero5()
        for y in range(0, quarter, LANES):
            i = tile * m + y
            weight = load5(eq, eq_at + y)
            a0, a1 = load5(p, i), load5(p, i + quarter)
            c0, c1 = load5(q, i), load5(q, i + quarter)
            b0, b1 = load5(q, i + 2 * quarter), load5(q, i + 3 * quarter)
            d0 = vkadd5(load5(p, i + 2 * quarter), vkmul5(wide_mu, b0))
            d1 = vkadd5(load5(p, i + 3 * quarter), vkmul5(wide_mu, b1))
            low, high = (a0, b0, c0, d0), (a1, b1, c1, d1)
            at_zero = vkadd5(at_zero, vkmul5(weight, _at_zero(low)))
            at_infinity = vkadd5(at_infinity, vkmul5(weight, _at_infinity(low, high)))
        finish(at_zero, at_infinity, sums, at + tile)


@kernel
def leaf_first_round(
    p: Any, q: Any, m: int, mu: Any, eq: Any, eq_at: int, sums: Any, at: int, start: int, stop: int
) -> None:
    """As `tile_first_round`, with numerators in the base field."""
    quarter = m // 4
    wide_mu = broadcast5(mu)
    for tile in range(start, stop):
        at_zero = at_infinity = zero5()
        for y in range(0, quarter, LANES):
            i = tile * m + y
            weight = load5(eq, eq_at + y)
            a0, a1 = vload(p, i), vload(p, i + quarter)
            e0, e1 = vload(p, i + 2 * quarter), vload(p, i + 3 * quarter)
            c0, c1 = load5(q, i), load5(q, i + quarter)
            b0, b1 = load5(q, i + 2 * quarter), load5(q, i + 3 * quarter)
            step = vksub5(b1, b0)
            d0 = plus_base(vkmul5(wide_mu, b0), e0)
            rise = plus_base(vkmul5(wide_mu, step), vsub(e1, e0))
            low = vkadd5(_base_times(a0, b0), vkmul5(c0, d0))
            high = vkadd5(_base_times(vsub(a1, a0), step), vkmul5(vksub5(c1, c0), rise))
            at_zero = vkadd5(at_zero, vkmul5(weight, low))
            at_infinity = vkadd5(at_infinity, vkmul5(weight, high))
        finish(at_zero, at_infinity, sums, at + tile)


@bare_helper
def between(r: Any, low: Any, high: Any) -> Any:
    return vkadd5(low, vkmul5(r, vksub5(high, low)))


@bare_helper
def _tile_bound(p: Any, q: Any, i: int, quarter: int, mu: Any, r: Any) -> Any:
    """a, b, c, d at entry i with the top bit bound to r."""
    b = between(r, load5(q, i + 2 * quarter), load5(q, i + 3 * quarter))
    p_high = between(r, load5(p, i + 2 * quarter), load5(p, i + 3 * quarter))
    a = between(r, load5(p, i), load5(p, i + quarter))
    return a, b, between(r, load5(q, i), load5(q, i + quarter)), vkadd5(p_high, vkmul5(mu, b))


@bare_helper
def _leaf_bound(p: Any, q: Any, i: int, quarter: int, mu: Any, r: Any) -> Any:
    """As `_tile_bound`, with numerators in the base field."""
    a0, e0 = vload(p, i), vload(p, i + 2 * quarter)
    b = between(r, load5(q, i + 2 * quarter), load5(q, i + 3 * quarter))
    a = plus_base(_base_times(vsub(vload(p, i + quarter), a0), r), a0)
    p_high = plus_base(_base_times(vsub(vload(p, i + 3 * quarter), e0), r), e0)
    return a, b, between(r, load5(q, i), load5(q, i + quarter)), vkadd5(p_high, vkmul5(mu, b))


@bare_helper
def _bound(p: Any, q: Any, i: int, quarter: int, mu: Any, r: Any) -> Any:
    """Which of the two is decided when the kernel is compiled, from the dimensions of p."""
    if p.ndim == 1:
        return _leaf_bound(p, q, i, quarter, mu, r)
    return _tile_bound(p, q, i, quarter, mu, r)


@bare_helper
def _store4(a: Any, b: Any, c: Any, d: Any, to: int, x: Any) -> None:
    store5(a, to, x[0])
    store5(b, to, x[1])
    store5(c, to, x[2])
    store5(d, to, x[3])


@bare_helper
def _at_zero(x: Any) -> Any:
    return vkadd5(vkmul5(x[0], x[1]), vkmul5(x[2], x[3]))


@bare_helper
def _at_infinity(x: Any, y: Any) -> Any:
    first = vkmul5(vksub5(y[0], x[0]), vksub5(y[1], x[1]))
    return vkadd5(first, vkmul5(vksub5(y[2], x[2]), vksub5(y[3], x[3])))


@kernel
def bind_round_of_tiles(
    p: Any, q: Any, m: int, mu: Any, r: Any, eq: Any, eq_at: int,
    a: Any, b: Any, c: Any, d: Any, at: int, far: int, sums: Any, sum_at: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Bind the first variable and sum the next round: tables of m/4 entries a tile; p as for `up`.

    Entries of the lower half go to `at` + tile·m/4 on, those of the upper half `far` behind them.
    """
    eighth = m // 8
    wide_mu, wide_r = broadcast5(mu), broadcast5(r)
    for tile in range(start, stop):
        at_zero = at_infinity = zero5()
        for y in range(0, eighth, LANES):
            i, to = tile * m + y, at + tile * 2 * eighth + y
            low = _bound(p, q, i, 2 * eighth, wide_mu, wide_r)
            high = _bound(p, q, i + eighth, 2 * eighth, wide_mu, wide_r)
            _store4(a, b, c, d, to, low)
            _store4(a, b, c, d, to + far, high)
            weight = load5(eq, eq_at + y)
            at_zero = vkadd5(at_zero, vkmul5(weight, _at_zero(low)))
            at_infinity = vkadd5(at_infinity, vkmul5(weight, _at_infinity(low, high)))
        finish(at_zero, at_infinity, sums, sum_at + tile)


@bare_helper
def _load4(a: Any, b: Any, c: Any, d: Any, i: int) -> Any:
    return load5(a, i), load5(b, i), load5(c, i), load5(d, i)


@kernel
def _round(
    a: Any, b: Any, c: Any, d: Any, m: int, stride: int, eq: Any, sums: Any, start: int, stop: int
) -> None:
    half = m // 2
    for tile in range(start, stop):
        at_zero = at_infinity = zero5()
        for y in range(0, half, LANES):
            low = _load4(a, b, c, d, tile * stride + y)
            high = _load4(a, b, c, d, tile * stride + half + y)
            weight = load5(eq, y)
            at_zero = vkadd5(at_zero, vkmul5(weight, _at_zero(low)))
            at_infinity = vkadd5(at_infinity, vkmul5(weight, _at_infinity(low, high)))
        finish(at_zero, at_infinity, sums, tile)


@bare_helper
def _between4(r: Any, x: Any, y: Any) -> Any:
    return between(r, x[0], y[0]), between(r, x[1], y[1]), between(r, x[2], y[2]), between(r, x[3], y[3])


@kernel
def _bind_round(
    a: Any, b: Any, c: Any, d: Any, m: int, stride: int, r: Any, eq: Any, sums: Any, start: int, stop: int
) -> None:
    quarter = m // 4
    wide_r = broadcast5(r)
    for tile in range(start, stop):
        at_zero = at_infinity = zero5()
        for y in range(0, quarter, LANES):
            i = tile * stride + y
            j = i + quarter
            low = _between4(wide_r, _load4(a, b, c, d, i), _load4(a, b, c, d, j + quarter))
            high = _between4(wide_r, _load4(a, b, c, d, j), _load4(a, b, c, d, j + 2 * quarter))
            _store4(a, b, c, d, i, low)
            _store4(a, b, c, d, j, high)
            weight = load5(eq, y)
            at_zero = vkadd5(at_zero, vkmul5(weight, _at_zero(low)))
            at_infinity = vkadd5(at_infinity, vkmul5(weight, _at_infinity(low, high)))
        finish(at_zero, at_infinity, sums, tile)


@kernel
def _bind(x: Any, m: int, stride: int, r: Any, start: int, stop: int) -> None:
    half = m // 2
    wide_r = broadcast5(r)
    for tile in range(start, stop):
        for y in range(0, half, LANES):
            i = tile * stride + y
            store5(x, i, between(wide_r, load5(x, i), load5(x, i + half)))


def up(p: U32, q: U32, m: int) -> tuple[U32, U32]:
    """Parents of a layer of tiles of m; p is (n,) at the leaves, else in blocks as q."""
    n = entries(q)
    out_p, out_q = blocks(n // 2), blocks(n // 2)
    run_ranges(leaf_up if p.ndim == 1 else tile_up, n // m, 1, p, q, m, out_p, out_q, 0, align=1)
    return out_p, out_q


def first_round(p: U32, q: U32, m: int, mu: U32, eq: U32) -> U32:
    """Per-tile sums at 0 and ∞ of a layer's first round, shape (2, 5, tiles)."""
    tiles = entries(q) // m
    sums = np.zeros((2, DEGREE, tiles), np.uint32)
    kernel = leaf_first_round if p.ndim == 1 else tile_first_round
    run_ranges(kernel, tiles, 1, p, q, m, mu, eq, 0, sums, 0, align=1)
    return sums


def bind_first(p: U32, q: U32, m: int, mu: U32, r: U32, eq: U32) -> tuple[list[U32], U32]:
    """The tables a, b, c, d after the first round's challenge, tiles of m/4, and the next round's sums."""
    n = entries(q)
    tables = [blocks(n // 4) for _ in range(4)]
    sums = np.zeros((2, DEGREE, n // m), np.uint32)
    run_ranges(bind_round_of_tiles, n // m, 1, p, q, m, mu, r, eq, 0, *tables, 0, m // 8, sums, 0, align=1)
    return tables, sums


def round_sums(tables: list[U32], m: int, stride: int, eq: U32) -> U32:
    """Per-tile sums at 0 and ∞ of a later round, shape (2, 5, tiles); tiles of m start `stride` apart."""
    tiles = entries(tables[0]) // stride
    sums = np.zeros((2, DEGREE, tiles), np.uint32)
    run_ranges(_round, tiles, 1, *tables, m, stride, eq, sums, align=1)
    return sums


def bind(tables: list[U32], m: int, stride: int, r: U32) -> None:
    """Bind the top bit of tiles of m, in place: the first m/2 entries of every tile hold the result."""
    for table in tables:
        run_ranges(_bind, entries(table) // stride, 1, table, m, stride, r, align=1)


def bind_round(tables: list[U32], m: int, stride: int, r: U32, eq: U32) -> U32:
    """`bind` and then `round_sums` of tiles of m/2, in one pass over the tables."""
    tiles = entries(tables[0]) // stride
    sums = np.zeros((2, DEGREE, tiles), np.uint32)
    run_ranges(_bind_round, tiles, 1, *tables, m, stride, r, eq, sums, align=1)
    return sums
