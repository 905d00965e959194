"""The leaf layer of the fraction tree, made row by row from the integers that are looked up (protocol §6.5).

A tile has `tile_rows` rows of w leaves. `LeafRows` says for every row which integers it looks up and how; a row
that holds nothing is 0/1 throughout. Leaves are never stored for a large tree: the kernels here make four (or
eight) rows of a tile that fold onto each other, in the cache, and hand them to the kernels of `gkr`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from common.field import DEGREE, P
from prover.kernels.field import ONE, U32, mmul
from prover.kernels.gkr import (
    bind_round_of_tiles,
    leaf_first_round,
    leaf_up,
    tile_first_round,
    tile_up,
)
from prover.kernels.gkr_unit import unit_bind_round, unit_first_round
from prover.kernels.simd import LANES, vadd, vbroadcast, vlifted, vdot3, vload, vmul, vstore
from prover.kernels.threads import run_ranges

Form = Literal["leaf", "unit", "inner"]
"""Leaves, leaves whose numerators are all one, or the layer above the leaves."""

WEIGHTS, DIGITS, HALVES, WORDS = 0, 1, 2, 3
"""Where a row's integers lie: signed bytes of the weights or of digit tables, 16-bit integers, or canonical residues."""

LIFT = {WEIGHTS: 1 << 7, DIGITS: 1 << 7, HALVES: 1 << 15, WORDS: 0}
"""Added to every integer, so that products are of non-negative numbers."""

_BYTE, _HALF = LIFT[WEIGHTS], LIFT[HALVES]

ONE_SQUARED = np.uint32((1 << 64) % P)  # brings a plain residue into Montgomery form


class LeafRows(NamedTuple):
    """Rows by tile, (tiles, tile_rows): job (−1: absent), place of the first integer, place of the negated numerators,
    counts (−1: all one). Jobs: kind, columns, distances of the second and third component, K scales (3, 5) times
    2^64, K offset (5,) in Montgomery form; q = offset + Σ scale_m·x_m.
    """

    job: NDArray[np.int32]
    base: NDArray[np.int64]
    numerator: NDArray[np.int64]
    kind: NDArray[np.int32]
    cols: NDArray[np.int64]
    deltas: NDArray[np.int64]
    scales: U32
    offsets: U32
    weights: NDArray[np.int8]
    digits: NDArray[np.int8]
    halves: NDArray[np.int16]
    words: U32
    counts: NDArray[np.int32]
    w: int

    def unit_tiles(self) -> NDArray[np.bool_]:
        """Which tiles are full of entries with numerator one."""
        whole = (self.job >= 0) & (self.numerator < 0) & (self.cols[self.job] == self.w)
        return np.asarray(whole.all(axis=1))


@njit(cache=True)
def _lifted_row(
    q: Any, at: int, data: Any, lift: int, base: int, deltas: Any, cols: int, scales: Any, offset: Any
) -> None:
    n = q.shape[1]
    for c in range(0, cols, LANES):
        x0 = vlifted(data, base + c, lift)
        x1 = vlifted(data, base + c + deltas[0], lift)
        x2 = vlifted(data, base + c + deltas[1], lift)
        for limb in range(DEGREE):
            s0, s1, s2 = scales[0, limb], scales[1, limb], scales[2, limb]
            x = vdot3(x0, x1, x2, vbroadcast(s0), vbroadcast(s1), vbroadcast(s2))
            vstore(q, limb * n + at + c, vadd(x, vbroadcast(offset[limb])))


@njit(cache=True)
def _word_row(
    q: Any, at: int, data: Any, base: int, deltas: Any, cols: int, scales: Any, offset: Any
) -> None:
    n = q.shape[1]
    for c in range(0, cols, LANES):
        x0, x1 = vload(data, base + c), vload(data, base + c + deltas[0])
        x2 = vload(data, base + c + deltas[1])
        for limb in range(DEGREE):
            s0, s1, s2 = scales[0, limb], scales[1, limb], scales[2, limb]
            x = vadd(vmul(x0, vbroadcast(s0)), vadd(vmul(x1, vbroadcast(s1)), vmul(x2, vbroadcast(s2))))
            vstore(q, limb * n + at + c, vadd(x, vbroadcast(offset[limb])))


@njit(cache=True)
def _negated(count: int) -> Any:
    return np.uint32(P - count if count > 0 else 0)


@njit(cache=True)
def _fill_row(rows: Any, tile: int, row: int, p: Any, q: Any, at: int) -> None:
    job = rows.job[tile, row]
    cols = 0
    if job >= 0:
        cols = rows.cols[job]
        base, deltas, scales, offset = (
            rows.base[tile, row],
            rows.deltas[job],
            rows.scales[job],
            rows.offsets[job],
        )
        if rows.kind[job] == WEIGHTS:
            _lifted_row(q, at, rows.weights, _BYTE, base, deltas, cols, scales, offset)
        elif rows.kind[job] == DIGITS:
            _lifted_row(q, at, rows.digits, _BYTE, base, deltas, cols, scales, offset)
        elif rows.kind[job] == HALVES:
            _lifted_row(q, at, rows.halves, _HALF, base, deltas, cols, scales, offset)
        else:
            _word_row(q, at, rows.words, base, deltas, cols, scales, offset)
        numerator = rows.numerator[tile, row]
        for c in range(cols):
            p[at + c] = ONE if numerator < 0 else mmul(_negated(rows.counts[numerator + c]), ONE_SQUARED)
    for c in range(cols, rows.w):
        p[at + c] = 0
        q[0, at + c] = ONE
        for limb in range(1, DEGREE):
            q[limb, at + c] = 0


@njit(cache=True)
def _fill(rows: Any, tile: int, first: int, count: int, p: Any, q: Any, at: int) -> None:
    """`count` rows of a tile that fold onto each other, row `first` being the first of them."""
    step = rows.job.shape[1] // count
    for j in range(count):
        _fill_row(rows, tile, first + j * step, p, q, at + j * rows.w)


@njit(cache=True)
def _scratch(rows: Any, count: int) -> Any:
    return np.empty(count * rows.w, np.uint32), np.empty((DEGREE, count * rows.w), np.uint32)


@njit(cache=True)
def _k_scratch(rows: Any, count: int) -> Any:
    return np.empty((DEGREE, count * rows.w), np.uint32), np.empty((DEGREE, count * rows.w), np.uint32)


@njit(cache=True, nogil=True)
def _fill_tiles(rows: Any, first: int, p: Any, q: Any, start: int, stop: int) -> None:
    count = rows.job.shape[1]
    for tile in range(start, stop):
        _fill(rows, first + tile, 0, count, p, q, tile * count * rows.w)


@njit(cache=True, nogil=True)
def _fold_once(rows: Any, out_p: Any, out_q: Any, start: int, stop: int) -> None:
    p, q = _scratch(rows, 2)
    half = rows.job.shape[1] // 2
    for tile in range(start, stop):
        for row in range(half):
            _fill(rows, tile, row, 2, p, q, 0)
            leaf_up(p, q, 2 * rows.w, out_p, out_q, (tile * half + row) * rows.w, 0, 1)


@njit(cache=True, nogil=True)
def _fold_twice(rows: Any, out_p: Any, out_q: Any, start: int, stop: int) -> None:
    p, q = _scratch(rows, 4)
    mid_p, mid_q = _k_scratch(rows, 2)
    quarter = rows.job.shape[1] // 4
    for tile in range(start, stop):
        for row in range(quarter):
            _fill(rows, tile, row, 4, p, q, 0)
            leaf_up(p, q, 4 * rows.w, mid_p, mid_q, 0, 0, 1)
            tile_up(mid_p, mid_q, 2 * rows.w, out_p, out_q, (tile * quarter + row) * rows.w, 0, 1)


@njit(cache=True, nogil=True)
def _leaf_round(rows: Any, tiles: Any, mu: Any, eq: Any, sums: Any, start: int, stop: int) -> None:
    p, q = _scratch(rows, 4)
    for i in range(start, stop):
        for row in range(rows.job.shape[1] // 4):
            _fill(rows, tiles[i], row, 4, p, q, 0)
            leaf_first_round(p, q, 4 * rows.w, mu, eq, row * rows.w, sums, i, 0, 1)


@njit(cache=True, nogil=True)
def _unit_round(rows: Any, tiles: Any, kappa: Any, eq: Any, sums: Any, start: int, stop: int) -> None:
    p, q = _scratch(rows, 4)
    for i in range(start, stop):
        for row in range(rows.job.shape[1] // 4):
            _fill(rows, tiles[i], row, 4, p, q, 0)
            unit_first_round(q, 4 * rows.w, kappa, eq, row * rows.w, sums, i)


@njit(cache=True, nogil=True)
def _inner_round(rows: Any, tiles: Any, mu: Any, eq: Any, sums: Any, start: int, stop: int) -> None:
    p, q = _scratch(rows, 8)
    mid_p, mid_q = _k_scratch(rows, 4)
    for i in range(start, stop):
        for row in range(rows.job.shape[1] // 8):
            _fill(rows, tiles[i], row, 8, p, q, 0)
            leaf_up(p, q, 8 * rows.w, mid_p, mid_q, 0, 0, 1)
            tile_first_round(mid_p, mid_q, 4 * rows.w, mu, eq, row * rows.w, sums, i, 0, 1)


@njit(cache=True, nogil=True)
def _leaf_bind(
    rows: Any, tiles: Any, mu: Any, r: Any, eq: Any, sums: Any, a: Any, b: Any, c: Any, d: Any,
    start: int, stop: int,
) -> None:  # fmt: skip
    p, q = _scratch(rows, 8)
    eighth, w = rows.job.shape[1] // 8, rows.w
    for i in range(start, stop):
        for row in range(eighth):
            _fill(rows, tiles[i], row, 8, p, q, 0)
            to, far = (2 * i * eighth + row) * w, eighth * w
            bind_round_of_tiles(p, q, 8 * w, mu, r, eq, row * w, a, b, c, d, to, far, sums, i, 0, 1)


@njit(cache=True, nogil=True)
def _unit_bind(
    rows: Any, tiles: Any, kappa: Any, r: Any, eq: Any, sums: Any, b: Any, c: Any, start: int, stop: int
) -> None:
    p, q = _scratch(rows, 8)
    eighth, w = rows.job.shape[1] // 8, rows.w
    for i in range(start, stop):
        for row in range(eighth):
            _fill(rows, tiles[i], row, 8, p, q, 0)
            to, far = (2 * i * eighth + row) * w, eighth * w
            unit_bind_round(q, 8 * w, kappa, r, eq, row * w, b, c, to, far, sums, i)


@njit(cache=True, nogil=True)
def _inner_bind(
    rows: Any, tiles: Any, mu: Any, r: Any, eq: Any, sums: Any, a: Any, b: Any, c: Any, d: Any,
    start: int, stop: int,
) -> None:  # fmt: skip
    p, q = _scratch(rows, 16)
    mid_p, mid_q = _k_scratch(rows, 8)
    part, w = rows.job.shape[1] // 16, rows.w
    for i in range(start, stop):
        for row in range(part):
            _fill(rows, tiles[i], row, 16, p, q, 0)
            leaf_up(p, q, 16 * w, mid_p, mid_q, 0, 0, 1)
            to, far = (2 * i * part + row) * w, part * w
            bind_round_of_tiles(mid_p, mid_q, 8 * w, mu, r, eq, row * w, a, b, c, d, to, far, sums, i, 0, 1)


def fill_tiles(rows: LeafRows, first: int, count: int) -> tuple[U32, U32]:
    """Leaves of `count` tiles from `first` on: numerators (n,) and denominators (5, n)."""
    size = count * rows.job.shape[1] * rows.w
    p, q = np.empty(size, np.uint32), np.empty((DEGREE, size), np.uint32)
    run_ranges(_fill_tiles, count, 1, rows, first, p, q, align=1)
    return p, q


def folded(rows: LeafRows, depth: int) -> tuple[U32, U32]:
    """The layer `depth` (1 or 2) foldings above the leaves, numerators and denominators (5, n)."""
    tiles, height = rows.job.shape
    p, q = np.empty((2, DEGREE, tiles * (height >> depth) * rows.w), np.uint32)
    run_ranges(_fold_once if depth == 1 else _fold_twice, tiles, 1, rows, p, q, align=1)
    return p, q


def first_round(rows: LeafRows, tiles: NDArray[np.int64], form: Form, factor: U32, eq: U32) -> U32:
    """Sums at 0 and ∞ by tile (2, 5, tiles) of the first round. `factor` is μ, of unit tiles κ = 1/μ."""
    sums = np.zeros((2, DEGREE, len(tiles)), np.uint32)
    run_ranges(_ROUNDS[form], len(tiles), 1, rows, tiles, factor, eq, sums, align=1)
    return sums


def bind_first(
    rows: LeafRows, tiles: NDArray[np.int64], form: Form, factor: U32, r: U32, eq: U32
) -> tuple[list[U32], U32]:
    """Tables (a, b, c, d; of unit tiles B, C) after the first challenge, and the next round's sums."""
    kernel, count, folds = _BINDS[form]
    size = len(tiles) * (rows.job.shape[1] >> folds) * rows.w
    tables = [np.empty((DEGREE, size), np.uint32) for _ in range(count)]
    sums = np.zeros((2, DEGREE, len(tiles)), np.uint32)
    run_ranges(kernel, len(tiles), 1, rows, tiles, factor, r, eq, sums, *tables, align=1)
    return tables, sums


_ROUNDS: dict[Form, Callable[..., None]] = {"leaf": _leaf_round, "unit": _unit_round, "inner": _inner_round}
_BINDS: dict[Form, tuple[Callable[..., None], int, int]] = {
    "leaf": (_leaf_bind, 4, 2),
    "unit": (_unit_bind, 2, 2),
    "inner": (_inner_bind, 4, 3),
}
"""Kernel, number of tables, and how many foldings of the leaves their size is."""
