"""Passes over layers of the fraction tree that are made again, in the cache, whenever they are read (protocol §6.5):
the leaves, and of very large trees up to two layers above them. Rows of leaves come from `lookup_rows`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.algebra.field import DEGREE
from huref.prover.kernels.field.field import U32
from huref.prover.kernels.field.limbs import blocks, empty_blocks
from huref.prover.kernels.jit import bare_helper, helper, kernel
from huref.prover.kernels.lookup.gkr import (
    bind_round_of_tiles,
    leaf_first_round,
    leaf_up,
    tile_first_round,
    tile_up,
)
from huref.prover.kernels.lookup.gkr_unit import unit_up
from huref.prover.kernels.lookup.rows import LeafRows, fill_denominators, fill_leaves, fill_numerators
from huref.prover.kernels.threads import run_ranges


@helper
def _scratch(rows: Any, count: int) -> Any:
    return np.empty(count * rows.w, np.uint32), empty_blocks(count * rows.w)


@helper
def _k_scratch(rows: Any, count: int) -> Any:
    return empty_blocks(count * rows.w), empty_blocks(count * rows.w)


@helper
def _fold_scratch(rows: Any, count: int, depth: int) -> Any:
    """Space for `_fold`: of the leaves, the layer above them, and the one above that."""
    return _scratch(rows, count << depth), _k_scratch(rows, count << (depth - 1)), _k_scratch(rows, count)


@bare_helper
def _leaves_up(
    rows: Any, tile: int, first: int, count: int, p: Any, q: Any, out_p: Any, out_q: Any, at: int
) -> None:
    """The parents of `count` rows of leaves that fold onto each other, to entry `at` on; p and q are space."""
    if fill_denominators(rows, tile, first, count, q, np.int64(0)):
        unit_up(q, count * rows.w, out_p, out_q, at)
    else:
        fill_numerators(rows, tile, first, count, p, np.int64(0))
        leaf_up(p, q, count * rows.w, out_p, out_q, at, np.int64(0), np.int64(1))


@bare_helper
def _fold(rows: Any, tile: int, first: int, count: int, depth: int, space: Any) -> None:
    """`count` rows that fold onto each other, of the layer `depth` (1 or 2) foldings above the leaves, to its space."""
    (p, q), (mid_p, mid_q), (top_p, top_q) = space
    _leaves_up(rows, tile, first, count << depth, p, q, mid_p, mid_q, np.int64(0))
    if depth == 2:
        tile_up(mid_p, mid_q, 2 * count * rows.w, top_p, top_q, np.int64(0), np.int64(0), np.int64(1))


@helper
def _layer(space: Any, depth: int) -> Any:
    """Where `_fold` puts its rows."""
    return space[1] if depth == 1 else space[2]


@bare_helper
def _fold_tiles_once(rows: Any, space: Any, out_p: Any, out_q: Any, start: int, stop: int) -> None:
    half = rows.job.shape[1] // 2
    for tile in range(start, stop):
        for row in range(half):
            at = (tile * half + row) * rows.w
            _leaves_up(rows, tile, row, np.int64(2), space[0], space[1], out_p, out_q, at)


@kernel
def _fold_once(rows: Any, out_p: Any, out_q: Any, start: int, stop: int) -> None:
    _fold_tiles_once(rows, _scratch(rows, np.int64(2)), out_p, out_q, start, stop)


@bare_helper
def _fold_tiles(
    rows: Any, depth: int, space: Any, made: Any, out_p: Any, out_q: Any, start: int, stop: int
) -> None:
    part, w = rows.job.shape[1] >> depth, rows.w
    for tile in range(start, stop):
        for row in range(part):
            _fold(rows, tile, row, np.int64(2), depth - 1, space)
            to = (tile * part + row) * w
            tile_up(made[0], made[1], 2 * w, out_p, out_q, to, np.int64(0), np.int64(1))


@kernel
def _fold_more(rows: Any, depth: int, out_p: Any, out_q: Any, start: int, stop: int) -> None:
    space = _fold_scratch(rows, np.int64(2), depth - 1)
    _fold_tiles(rows, depth, space, _layer(space, depth - 1), out_p, out_q, start, stop)


@bare_helper
def _leaf_sums(rows: Any, tiles: Any, space: Any, mu: Any, eq: Any, sums: Any, start: int, stop: int) -> None:
    p, q = space
    for i in range(start, stop):
        for row in range(rows.job.shape[1] // 4):
            fill_leaves(rows, tiles[i], row, np.int64(4), p, q, np.int64(0))
            leaf_first_round(p, q, 4 * rows.w, mu, eq, row * rows.w, sums, i, np.int64(0), np.int64(1))


@kernel
def _leaf_round(rows: Any, tiles: Any, mu: Any, eq: Any, sums: Any, start: int, stop: int) -> None:
    _leaf_sums(rows, tiles, _scratch(rows, np.int64(4)), mu, eq, sums, start, stop)


@bare_helper
def _inner_sums(
    rows: Any, tiles: Any, depth: int, space: Any, made: Any, mu: Any, eq: Any, sums: Any, start: int, stop: int,
) -> None:  # fmt: skip
    for i in range(start, stop):
        for row in range(rows.job.shape[1] >> (2 + depth)):
            _fold(rows, tiles[i], row, np.int64(4), depth, space)
            at = row * rows.w
            tile_first_round(made[0], made[1], 4 * rows.w, mu, eq, at, sums, i, np.int64(0), np.int64(1))


@kernel
def _inner_round(
    rows: Any, tiles: Any, depth: int, mu: Any, eq: Any, sums: Any, start: int, stop: int
) -> None:
    space = _fold_scratch(rows, np.int64(4), depth)
    _inner_sums(rows, tiles, depth, space, _layer(space, depth), mu, eq, sums, start, stop)


@bare_helper
def _bind_leaves(
    rows: Any, tiles: Any, space: Any, mu: Any, r: Any, eq: Any, sums: Any, tables: Any, start: int, stop: int
) -> None:
    (p, q), (a, b, c, d) = space, tables
    eighth, w = rows.job.shape[1] // 8, rows.w
    for i in range(start, stop):
        for row in range(eighth):
            fill_leaves(rows, tiles[i], row, np.int64(8), p, q, np.int64(0))
            to, far = (2 * i * eighth + row) * w, eighth * w
            bind_round_of_tiles(
                p, q, 8 * w, mu, r, eq, row * w, a, b, c, d, to, far, sums, i, np.int64(0), np.int64(1)
            )


@kernel
def _leaf_bind(
    rows: Any, tiles: Any, mu: Any, r: Any, eq: Any, sums: Any, a: Any, b: Any, c: Any, d: Any,
    start: int, stop: int,
) -> None:  # fmt: skip
    space = _scratch(rows, np.int64(8))
    _bind_leaves(rows, tiles, space, mu, r, eq, sums, (a, b, c, d), start, stop)


@bare_helper
def _bind_inner(
    rows: Any, tiles: Any, depth: int, space: Any, made: Any, mu: Any, r: Any, eq: Any, sums: Any, tables: Any,
    start: int, stop: int,
) -> None:  # fmt: skip
    (p, q), (a, b, c, d) = made, tables
    part, w = rows.job.shape[1] >> (3 + depth), rows.w
    for i in range(start, stop):
        for row in range(part):
            _fold(rows, tiles[i], row, np.int64(8), depth, space)
            to, far = (2 * i * part + row) * w, part * w
            bind_round_of_tiles(
                p, q, 8 * w, mu, r, eq, row * w, a, b, c, d, to, far, sums, i, np.int64(0), np.int64(1)
            )


@kernel
def _inner_bind(
    rows: Any, tiles: Any, depth: int, mu: Any, r: Any, eq: Any, sums: Any, a: Any, b: Any, c: Any, d: Any,
    start: int, stop: int,
) -> None:  # fmt: skip
    space, tables = _fold_scratch(rows, np.int64(8), depth), (a, b, c, d)
    _bind_inner(rows, tiles, depth, space, _layer(space, depth), mu, r, eq, sums, tables, start, stop)


def folded(rows: LeafRows, depth: int) -> tuple[U32, U32]:
    """The layer `depth` (1 to 3) foldings above the leaves, numerators and denominators in blocks."""
    tiles, height = rows.job.shape
    p, q = (blocks(tiles * (height >> depth) * rows.w) for _ in range(2))
    kernel, where = (_fold_once, (rows,)) if depth == 1 else (_fold_more, (rows, depth))
    run_ranges(kernel, tiles, 1, *where, p, q, align=1)
    return p, q


def first_round(rows: LeafRows, tiles: NDArray[np.int64], depth: int, factor: U32, eq: U32) -> U32:
    """Sums at 0 and ∞ by tile (2, 5, tiles) of the first round, of tiles `depth` (0 to 2) foldings above the leaves.
    `factor` is μ.
    """
    sums = np.zeros((2, DEGREE, len(tiles)), np.uint32)
    kernel, where = (_inner_round, (rows, tiles, depth)) if depth else (_leaf_round, (rows, tiles))
    run_ranges(kernel, len(tiles), 1, *where, factor, eq, sums, align=1)
    return sums


def bind_first(
    rows: LeafRows, tiles: NDArray[np.int64], depth: int, factor: U32, r: U32, eq: U32
) -> tuple[list[U32], U32]:
    """Tables (a, b, c, d) after the first challenge, and the next round's sums."""
    size = len(tiles) * (rows.job.shape[1] >> (2 + depth)) * rows.w
    tables = [blocks(size) for _ in range(4)]
    sums = np.zeros((2, DEGREE, len(tiles)), np.uint32)
    kernel, where = (_inner_bind, (rows, tiles, depth)) if depth else (_leaf_bind, (rows, tiles))
    run_ranges(kernel, len(tiles), 1, *where, factor, r, eq, sums, *tables, align=1)
    return tables, sums
