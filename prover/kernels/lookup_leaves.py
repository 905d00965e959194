"""The leaf layer of the fraction tree, made row by row from the integers that are looked up (protocol §6.5).

A tile has `tile_rows` rows of w leaves. `LeafRows` says for every row which integers it looks up and how; a row
that holds nothing is 0/1 throughout. Leaves are never stored for a large tree: the kernels here make four (or
eight) rows of a tile that fold onto each other, in the cache, and hand them to the kernels of `gkr`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from common.field import DEGREE
from prover.kernels.field import ONE, U32
from prover.kernels.gkr import (
    leaf_first_bind,
    leaf_first_round,
    leaf_up,
    tile_first_bind,
    tile_first_round,
    tile_up,
)
from prover.kernels.simd import LANES, vadd, vbroadcast, vbytes, vdot3, vload, vmul, vstore
from prover.kernels.threads import run_ranges

WEIGHTS, DIGITS, WORDS = 0, 1, 2
"""Where a row's integers lie: signed bytes of the weights or of digit tables, or canonical residues."""

LIFT = 128
"""Added to every byte, so that products are of non-negative numbers."""


class LeafRows(NamedTuple):
    """Rows by tile, (tiles, tile_rows): job (−1: absent), place of the first integer, place of the numerators
    (−1: all one). Jobs: kind, columns, distances of the second and third component, K scales (3, 5) times
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
    words: U32
    numerators: U32
    w: int


@njit(cache=True)
def _byte_row(
    q: Any, at: int, data: Any, base: int, deltas: Any, cols: int, scales: Any, offset: Any
) -> None:
    n = q.shape[1]
    for c in range(0, cols, LANES):
        x0 = vbytes(data, base + c, LIFT)
        x1 = vbytes(data, base + c + deltas[0], LIFT)
        x2 = vbytes(data, base + c + deltas[1], LIFT)
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
            _byte_row(q, at, rows.weights, base, deltas, cols, scales, offset)
        elif rows.kind[job] == DIGITS:
            _byte_row(q, at, rows.digits, base, deltas, cols, scales, offset)
        else:
            _word_row(q, at, rows.words, base, deltas, cols, scales, offset)
        numerator = rows.numerator[tile, row]
        for c in range(cols):
            p[at + c] = ONE if numerator < 0 else rows.numerators[numerator + c]
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
def _leaf_round(rows: Any, mu: Any, eq: Any, sums: Any, start: int, stop: int) -> None:
    p, q = _scratch(rows, 4)
    for tile in range(start, stop):
        for row in range(rows.job.shape[1] // 4):
            _fill(rows, tile, row, 4, p, q, 0)
            leaf_first_round(p, q, 4 * rows.w, mu, eq, row * rows.w, sums, tile, 0, 1)


@njit(cache=True, nogil=True)
def _inner_round(rows: Any, mu: Any, eq: Any, sums: Any, start: int, stop: int) -> None:
    p, q = _scratch(rows, 8)
    mid_p, mid_q = _k_scratch(rows, 4)
    for tile in range(start, stop):
        for row in range(rows.job.shape[1] // 8):
            _fill(rows, tile, row, 8, p, q, 0)
            leaf_up(p, q, 8 * rows.w, mid_p, mid_q, 0, 0, 1)
            tile_first_round(mid_p, mid_q, 4 * rows.w, mu, eq, row * rows.w, sums, tile, 0, 1)


@njit(cache=True, nogil=True)
def _leaf_bind(rows: Any, mu: Any, r: Any, a: Any, b: Any, c: Any, d: Any, start: int, stop: int) -> None:
    p, q = _scratch(rows, 4)
    quarter = rows.job.shape[1] // 4
    for tile in range(start, stop):
        for row in range(quarter):
            _fill(rows, tile, row, 4, p, q, 0)
            to = (tile * quarter + row) * rows.w
            leaf_first_bind(p, q, 4 * rows.w, mu, r, a, b, c, d, to, 0, 1)


@njit(cache=True, nogil=True)
def _inner_bind(rows: Any, mu: Any, r: Any, a: Any, b: Any, c: Any, d: Any, start: int, stop: int) -> None:
    p, q = _scratch(rows, 8)
    mid_p, mid_q = _k_scratch(rows, 4)
    eighth = rows.job.shape[1] // 8
    for tile in range(start, stop):
        for row in range(eighth):
            _fill(rows, tile, row, 8, p, q, 0)
            leaf_up(p, q, 8 * rows.w, mid_p, mid_q, 0, 0, 1)
            to = (tile * eighth + row) * rows.w
            tile_first_bind(mid_p, mid_q, 4 * rows.w, mu, r, a, b, c, d, to, 0, 1)


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


def first_round(rows: LeafRows, depth: int, mu: U32, eq: U32) -> U32:
    """As `gkr.first_round`, for the layer `depth` (0 or 1) foldings above the leaves."""
    tiles = len(rows.job)
    sums = np.zeros((2, DEGREE, tiles), np.uint32)
    run_ranges(_inner_round if depth else _leaf_round, tiles, 1, rows, mu, eq, sums, align=1)
    return sums


def first_bind(rows: LeafRows, depth: int, mu: U32, r: U32) -> list[U32]:
    """As `gkr.first_bind`, for the layer `depth` (0 or 1) foldings above the leaves."""
    tiles, height = rows.job.shape
    tables = [np.empty((DEGREE, tiles * (height >> depth + 2) * rows.w), np.uint32) for _ in range(4)]
    run_ranges(_inner_bind if depth else _leaf_bind, tiles, 1, rows, mu, r, *tables, align=1)
    return tables
