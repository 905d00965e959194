"""The first two rounds over leaves whose numerators are all one (protocol §6.5), from the integers looked up.

B = w·(q_high + κ) and C = q_low + κ are affine in those integers, so the tile's eq coefficient w and κ go into the
constants of the row, and cost nothing per entry (`huref.prover.kernels.lookup.gkr_unit`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.algebra.field import DEGREE
from huref.prover.kernels.field.field import ONE, U32, kmul, madd
from huref.prover.kernels.field.limbs import blocks, empty_blocks
from huref.prover.kernels.field.simd import LANES
from huref.prover.kernels.jit import bare_helper, helper, kernel
from huref.prover.kernels.lookup.gkr_unit import add_weighted, unit_bind_round, unit_first_round
from huref.prover.kernels.lookup.rows import COMPONENTS, LeafRows, denominators, empty_constants, set_constant
from huref.prover.kernels.threads import run_ranges

_ROWS = 16  # rows whose sums stay in the cache while all tiles are visited


@helper
def _space(rows: Any, count: int) -> Any:
    """Space for `_fill` of `count` rows, for the sums of a block, and for their total.

    For `_fill`: the rows; the constants of one job for C and of one for B, times something; whose these are; the
    factor of C.
    """
    one = np.zeros((1, DEGREE), np.uint32)
    one[0, 0] = ONE
    made = empty_blocks(count * rows.w), empty_constants(np.int64(2)), np.full((2, 2), -1), one
    sums = np.empty((2, _ROWS * rows.w // LANES, DEGREE, LANES), np.uint32)
    return made, sums, np.zeros((2, DEGREE, 1), np.uint32)


@bare_helper
def _set_constants(rows: Any, job: int, kappa: Any, weights: Any, at: int, constants: Any, slot: int) -> None:
    """The constants of weight·(q + κ), of weight number `at`."""
    w0, w1, w2, w3, w4 = weights[at, 0], weights[at, 1], weights[at, 2], weights[at, 3], weights[at, 4]
    x = rows.scales
    for m in range(COMPONENTS + 1):
        if m < COMPONENTS:
            y = kmul(x[job, m, 0], x[job, m, 1], x[job, m, 2], x[job, m, 3], x[job, m, 4], w0, w1, w2, w3, w4)
        else:
            y = kmul(
                madd(x[job, m, 0], kappa[0]), madd(x[job, m, 1], kappa[1]), madd(x[job, m, 2], kappa[2]),
                madd(x[job, m, 3], kappa[3]), madd(x[job, m, 4], kappa[4]), w0, w1, w2, w3, w4,
            )  # fmt: skip
        for limb in range(DEGREE):
            set_constant(constants, slot, rows.kind[job], m, limb, y[limb])


@bare_helper
def _fill(rows: Any, tile: int, first: int, kappa: Any, weights: Any, at: int, made: Any) -> None:
    """Rows of a tile that fold onto each other: the lower half is C, the upper half B, with weight `at`."""
    q, constants, seen, one = made
    count = len(q) * LANES // rows.w
    step = rows.job.shape[1] // count
    for j in range(count):
        slot = 1 if 2 * j >= count else 0
        row = first + j * step
        job = rows.job[tile, row]
        if seen[slot, 0] != tile or seen[slot, 1] != job:
            if slot:
                _set_constants(rows, job, kappa, weights, at, constants, slot)
            else:
                _set_constants(rows, job, kappa, one, np.int64(0), constants, slot)
            seen[slot, 0], seen[slot, 1] = tile, job
        denominators(rows, job, rows.base[tile, row], constants, slot, q, j * rows.w)


@bare_helper
def _sum_block(
    rows: Any,
    tiles: Any,
    weights: Any,
    kappa: Any,
    made: Any,
    sums: Any,
    first: int,
    count: int,
    start: int,
    stop: int,
) -> None:
    """Adds the products of rows `first` … of all tiles to the sums."""
    for i in range(start, stop):
        for row in range(count):
            _fill(rows, tiles[i], first + row, kappa, weights, i, made)
            unit_first_round(made[0], sums, row * rows.w)


@kernel
def _first_round(rows: Any, tiles: Any, weights: Any, kappa: Any, eq: Any, start: int, stop: int) -> Any:
    made, sums, total = _space(rows, np.int64(4))
    part = rows.job.shape[1] // 4
    for first in range(0, part, _ROWS):
        count = min(_ROWS, part - first)
        sums[:] = 0
        _sum_block(rows, tiles, weights, kappa, made, sums, first, count, start, stop)
        add_weighted(sums, count * rows.w, eq, first * rows.w, total)
    return total


@bare_helper
def _bind_block(
    rows: Any, tiles: Any, weights: Any, kappa: Any, r: Any, b: Any, c: Any, made: Any, sums: Any,
    first: int, count: int, start: int, stop: int,
) -> None:  # fmt: skip
    """As `_sum_block`, of the rows that binding leaves in b and c."""
    part, w = rows.job.shape[1] // 8, rows.w
    for i in range(start, stop):
        for row in range(count):
            _fill(rows, tiles[i], first + row, kappa, weights, i, made)
            unit_bind_round(made[0], r, b, c, (2 * i * part + first + row) * w, part * w, sums, row * w)


@kernel
def _bind_first(
    rows: Any, tiles: Any, weights: Any, kappa: Any, r: Any, eq: Any, b: Any, c: Any, start: int, stop: int
) -> Any:
    made, sums, total = _space(rows, np.int64(8))
    part, w = rows.job.shape[1] // 8, rows.w
    for first in range(0, part, _ROWS):
        count = min(_ROWS, part - first)
        sums[:] = 0
        _bind_block(rows, tiles, weights, kappa, r, b, c, made, sums, first, count, start, stop)
        add_weighted(sums, count * w, eq, first * w, total)
    return total


def first_round(rows: LeafRows, tiles: NDArray[np.int64], weights: U32, kappa: U32, eq: U32) -> U32:
    """Sums of eq·B·C at 0 and ∞ over the tiles with coefficients `weights` (5, tiles), in parts (2, 5, parts)."""
    given = rows, tiles, np.ascontiguousarray(weights.T), kappa, eq
    return np.concatenate(run_ranges(_first_round, len(tiles), 1, *given, align=1), axis=2)


def bind_first(
    rows: LeafRows, tiles: NDArray[np.int64], weights: U32, kappa: U32, r: U32, eq: U32
) -> tuple[list[U32], U32]:
    """The tables B and C after the first challenge, and the next round's sums."""
    size = len(tiles) * (rows.job.shape[1] // 4) * rows.w
    tables = [blocks(size) for _ in range(2)]
    given = rows, tiles, np.ascontiguousarray(weights.T), kappa, r, eq
    sums = run_ranges(_bind_first, len(tiles), 1, *given, *tables, align=1)
    return tables, np.concatenate(sums, axis=2)
