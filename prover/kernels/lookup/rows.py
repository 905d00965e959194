"""Rows of the fraction tree's leaf layer, made from the integers that are looked up (protocol §6.5).

A tile has `tile_rows` rows of w leaves. `LeafRows` says for every row which integers it looks up and how; a row
that holds nothing is 0/1 throughout. Rows that fold onto each other are made together, in the cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from huref.common.algebra.field import DEGREE, P
from huref.prover.kernels.field.field import ONE, ONE_SQUARED, U32, mmul
from huref.prover.kernels.field.limbs import blocks
from huref.prover.kernels.field.simd import (
    LANES,
    vadd,
    vbroadcast,
    vdot3,
    vdot_small,
    vlifted,
    vload,
    vmul,
    vstore,
)
from huref.prover.kernels.jit import helper, kernel
from huref.prover.kernels.threads import run_ranges

WEIGHTS, DIGITS, HALVES, WORDS = 0, 1, 2, 3
"""Where a row's integers lie: signed bytes of the weights or of digit tables, 16-bit integers, or residues."""

LIFT = {WEIGHTS: 1 << 7, DIGITS: 1 << 7, HALVES: 1 << 15, WORDS: 0}
"""Added to every integer, so that products are of non-negative numbers."""

COMPONENTS = 3
"""Most components of a looked-up tuple that vary inside a row."""

_BYTE, _HALF = LIFT[WEIGHTS], LIFT[HALVES]


class LeafRows(NamedTuple):
    """Rows by tile, (tiles, tile_rows): job (−1: absent), place of the first integer, place of the negated numerators,
    counts (−1: all one). Jobs: kind, columns, distances of the second and third component, K scales (3, 5) times
    2^64, K offset (5,) in Montgomery form, and for bytes 16-bit digits (4, 5) of scales and offset in Montgomery
    form; q = offset + Σ scale_m·x_m.
    """

    job: NDArray[np.int32]
    base: NDArray[np.int64]
    numerator: NDArray[np.int64]
    kind: NDArray[np.int32]
    cols: NDArray[np.int64]
    deltas: NDArray[np.int64]
    scales: U32
    offsets: U32
    low: U32
    high: U32
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


@helper
def _lifted3(data: Any, at: int, deltas: Any, lift: int) -> Any:
    """Eight tuples from place `at` on, component by component."""
    return vlifted(data, at, lift), vlifted(data, at + deltas[0], lift), vlifted(data, at + deltas[1], lift)


@helper
def _byte_row(
    q: Any, at: int, data: Any, base: int, deltas: Any, cols: int, low: Any, high: Any, slot: int
) -> None:
    for c in range(0, cols, LANES):
        to = DEGREE * (at + c)
        x0, x1, x2 = _lifted3(data, base + c, deltas, _BYTE)
        for limb in range(DEGREE):
            l0, l1, l2, l3 = low[slot, 0, limb], low[slot, 1, limb], low[slot, 2, limb], low[slot, 3, limb]
            h0, h1, h2, h3 = (
                high[slot, 0, limb],
                high[slot, 1, limb],
                high[slot, 2, limb],
                high[slot, 3, limb],
            )
            x = vdot_small(
                x0, x1, x2,
                vbroadcast(l0), vbroadcast(l1), vbroadcast(l2), vbroadcast(l3),
                vbroadcast(h0), vbroadcast(h1), vbroadcast(h2), vbroadcast(h3),
            )  # fmt: skip
            vstore(q, to + LANES * limb, x)


@helper
def _half_row(
    q: Any, at: int, data: Any, base: int, deltas: Any, cols: int, scales: Any, offsets: Any, slot: int
) -> None:
    for c in range(0, cols, LANES):
        to = DEGREE * (at + c)
        x0, x1, x2 = _lifted3(data, base + c, deltas, _HALF)
        for limb in range(DEGREE):
            s0, s1, s2 = scales[slot, 0, limb], scales[slot, 1, limb], scales[slot, 2, limb]
            x = vdot3(x0, x1, x2, vbroadcast(s0), vbroadcast(s1), vbroadcast(s2))
            vstore(q, to + LANES * limb, vadd(x, vbroadcast(offsets[slot, limb])))


@helper
def _word_row(
    q: Any, at: int, data: Any, base: int, deltas: Any, cols: int, scales: Any, offsets: Any, slot: int
) -> None:
    for c in range(0, cols, LANES):
        to = DEGREE * (at + c)
        x0, x1 = vload(data, base + c), vload(data, base + c + deltas[0])
        x2 = vload(data, base + c + deltas[1])
        for limb in range(DEGREE):
            s0, s1, s2 = scales[slot, 0, limb], scales[slot, 1, limb], scales[slot, 2, limb]
            x = vadd(vmul(x0, vbroadcast(s0)), vadd(vmul(x1, vbroadcast(s1)), vmul(x2, vbroadcast(s2))))
            vstore(q, to + LANES * limb, vadd(x, vbroadcast(offsets[slot, limb])))


@helper
def denominators(rows: Any, job: int, base: int, constants: Any, slot: int, q: Any, at: int) -> None:
    """A row's q in blocks from entry `at` on; `constants` holds scales, offsets, low and high of some jobs or
    multiples of them, the row's in place `slot`.
    """
    scales, offsets, low, high = constants
    cols, deltas = rows.cols[job], rows.deltas[job]
    kind = rows.kind[job]
    if kind != HALVES and kind != WORDS:
        data = rows.weights if kind == WEIGHTS else rows.digits
        _byte_row(q, at, data, base, deltas, cols, low, high, slot)
    elif kind == HALVES:
        _half_row(q, at, rows.halves, base, deltas, cols, scales, offsets, slot)
    else:
        _word_row(q, at, rows.words, base, deltas, cols, scales, offsets, slot)


@helper
def _ones(q: Any, start: int, stop: int) -> None:
    for i in range(start, stop):
        q[i // LANES, :, i % LANES] = 0
        q[i // LANES, 0, i % LANES] = ONE


@helper
def fill_denominators(rows: Any, tile: int, first: int, count: int, q: Any, at: int) -> bool:
    """q of `count` rows of a tile that fold onto each other, row `first` being the first of them; whether all of
    them are full and their numerators one.
    """
    step, w = rows.job.shape[1] // count, rows.w
    constants = rows.scales, rows.offsets, rows.low, rows.high
    unit = True
    for j in range(count):
        row = first + j * step
        job = rows.job[tile, row]
        cols = 0
        if job >= 0:
            cols = rows.cols[job]
            denominators(rows, job, rows.base[tile, row], constants, np.int64(job), q, at + j * w)
        if cols < w:
            _ones(q, at + j * w + cols, at + j * w + w)
        unit = unit and cols == w and rows.numerator[tile, row] < 0
    return unit


@helper
def fill_numerators(rows: Any, tile: int, first: int, count: int, p: Any, at: int) -> None:
    """p of the same rows."""
    step, w = rows.job.shape[1] // count, rows.w
    for j in range(count):
        job, numerator = rows.job[tile, first + j * step], rows.numerator[tile, first + j * step]
        cols = rows.cols[job] if job >= 0 else 0
        row = p[at + j * w : at + j * w + w]
        for c in range(cols):
            row[c] = ONE
        if job >= 0 and numerator >= 0:
            for c in range(cols):
                entries = rows.counts[numerator + c]
                row[c] = mmul(np.uint32(P - entries if entries > 0 else 0), ONE_SQUARED)
        for c in range(cols, w):
            row[c] = 0


@helper
def fill_leaves(rows: Any, tile: int, first: int, count: int, p: Any, q: Any, at: int) -> None:
    """p and q of the same rows."""
    fill_denominators(rows, tile, first, count, q, at)
    fill_numerators(rows, tile, first, count, p, at)


@kernel
def _fill_tiles(rows: Any, first: int, p: Any, q: Any, start: int, stop: int) -> None:
    count = rows.job.shape[1]
    for tile in range(start, stop):
        fill_leaves(rows, first + tile, np.int64(0), count, p, q, tile * count * rows.w)


def fill_tiles(rows: LeafRows, first: int, count: int) -> tuple[U32, U32]:
    """Leaves of `count` tiles from `first` on: numerators (n,) and denominators in blocks."""
    size = count * rows.job.shape[1] * rows.w
    p, q = np.empty(size, np.uint32), blocks(size)
    run_ranges(_fill_tiles, count, 1, rows, first, p, q, align=1)
    return p, q
