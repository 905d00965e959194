"""Rows of the fraction tree's leaf layer, made from the integers that are looked up (protocol §6.5).

A tile has `tile_rows` rows of w leaves. `LeafRows` says for every row which integers it looks up and how; a row
that holds nothing is 0/1 throughout. Rows that fold onto each other are made together, in the cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from huref.common.algebra.field import DEGREE, P, to_field, to_signed
from huref.prover.kernels.field.field import ONE, ONE_SQUARED, U32, centred, mmul, to_mont
from huref.prover.kernels.field.limbs import blocks
from huref.prover.kernels.field.pair_simd import add_pairs, eight_pairs, pairs_residue
from huref.prover.kernels.field.simd import LANES, vbroadcast, vdot_small, vlifted, vstore
from huref.prover.kernels.jit import bare_helper, helper, kernel
from huref.prover.kernels.threads import run_ranges

WEIGHTS, DIGITS, HALVES, WORDS = 0, 1, 2, 3
"""Where a row's integers lie: signed bytes of the weights or of digit tables, 16-bit integers above −2^15 (products of
two pairs with digits of 16 bits then stay below 2^31), or words of two such halves.
"""

LIFT = {WEIGHTS: 1 << 7, DIGITS: 1 << 7, HALVES: 0, WORDS: 0}
"""Added to every integer: products of bytes are of non-negative numbers."""

_FREE = 1 << 30  # more than p/2: integers below it need no reduction

COMPONENTS = 3
"""Most components of a looked-up tuple that vary inside a row."""

_BYTE = LIFT[WEIGHTS]
_SPLIT = np.uint32(to_mont(np.array(1 << 16, dtype=np.uint64)))


class Constants(NamedTuple):
    """Scales and offsets in the form in which rows meet them, by slot: of bytes unsigned 16-bit digits, low and high
    (slots, 4, 5); else signed ones for pairs of numbers, two in a word (slots, low and high, pairs, 5), centred
    offsets, and the bits of these over p as floats (slots, 5).
    """

    low: U32
    high: U32
    paired: U32
    offsets: U32
    shares: U32


class LeafRows(NamedTuple):
    """Rows by tile, (tiles, tile_rows): job (−1: absent), place of the first integer, place of the negated numerators,
    counts (−1: all one). Jobs: kind, columns, distances of the second and third component, pairs of 16-bit numbers,
    and in Montgomery form K scales and K offset (4, 5); q = offset + Σ scale_m·x_m. `words` are as `split_words` makes
    them; `constants` are those of all jobs for `denominators`.
    """

    job: NDArray[np.int32]
    base: NDArray[np.int64]
    numerator: NDArray[np.int64]
    kind: NDArray[np.int32]
    cols: NDArray[np.int64]
    deltas: NDArray[np.int64]
    pairs: NDArray[np.int64]
    scales: U32
    constants: Constants
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
def empty_constants(slots: int) -> Any:
    return Constants(
        np.empty((slots, COMPONENTS + 1, DEGREE), np.uint32),
        np.empty((slots, COMPONENTS + 1, DEGREE), np.uint32),
        np.zeros((slots, 2, COMPONENTS, DEGREE), np.uint32),
        np.empty((slots, DEGREE), np.uint32),
        np.empty((slots, DEGREE), np.uint32),
    )


@bare_helper
def _set_digits(paired: Any, slot: int, pair: int, limb: int, second: bool, value: Any) -> None:
    """The digits for the first number of a pair, whose others are taken to be zero then, or for the second."""
    whole = centred(value)
    low = np.int64(np.int16(whole))
    for half, digit in enumerate((low, (whole - low) >> 16)):
        if second:
            paired[slot, half, pair, limb] |= np.uint32(digit << 16)
        else:
            paired[slot, half, pair, limb] = np.uint32(digit & 0xFFFF)


@bare_helper
def set_constant(constants: Any, slot: int, kind: int, m: int, limb: int, value: Any) -> None:
    """Limb `limb` of scale m, or of the offset (m = 3), as rows of this kind meet it."""
    if kind != HALVES and kind != WORDS:
        constants.low[slot, m, limb] = value & np.uint32(0xFFFF)
        constants.high[slot, m, limb] = value >> np.uint32(16)
    elif m == COMPONENTS:
        whole = centred(value)
        constants.offsets[slot, limb] = np.uint32(whole)
        constants.shares[slot, limb] = np.float32(whole / np.float64(P)).view(np.uint32)
    elif kind == HALVES:
        _set_digits(constants.paired, slot, m // 2, limb, m % 2 > 0, value)
    else:
        _set_digits(constants.paired, slot, m, limb, False, value)
        _set_digits(constants.paired, slot, m, limb, True, mmul(value, _SPLIT))


@kernel
def _job_constants(kinds: Any, scales: Any) -> Any:
    constants = empty_constants(len(kinds))
    for job in range(len(kinds)):
        for m in range(COMPONENTS + 1):
            for limb in range(DEGREE):
                set_constant(constants, job, kinds[job], m, limb, scales[job, m, limb])
    return constants


def job_constants(kinds: NDArray[np.int32], scales: U32) -> Constants:
    """Those of jobs with these kinds, and scales and offsets (jobs, 4, 5)."""
    return Constants(*_job_constants(kinds, scales))


def pair_count(kind: int, varying: int) -> int:
    """Pairs of 16-bit numbers that so many components take: two each, or one of its own."""
    return max(1, -(-varying // 2) if kind == HALVES else varying)


def split_words(values: NDArray[Any]) -> U32:
    """Integers as words whose halves, signed, are l and h with x = l + 2^16·h mod p."""
    if values.dtype in (np.int8, np.int16):
        words = values.astype(np.int32)
    elif values.dtype == np.int32 and (not values.size or (values.min() > -_FREE and values.max() < _FREE)):
        words = values.copy()
    else:
        words = to_signed(to_field(values)).astype(np.int32)
    words += 0x8000
    words ^= 0x8000
    return words.view(np.uint32)


@bare_helper
def _byte_row(
    q: Any, at: int, data: Any, base: int, deltas: Any, cols: int, low: Any, high: Any, slot: int
) -> None:
    for c in range(0, cols, LANES):
        to = DEGREE * (at + c)
        x0, x1, x2 = (
            vlifted(data, base + c, _BYTE),
            vlifted(data, base + c + deltas[0], _BYTE),
            vlifted(data, base + c + deltas[1], _BYTE),
        )
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


@bare_helper
def _begun(paired: Any, offsets: Any, shares: Any, slot: int, limb: int, x: Any) -> Any:
    low, high = vbroadcast(paired[slot, 0, 0, limb]), vbroadcast(paired[slot, 1, 0, limb])
    return add_pairs(vbroadcast(offsets[slot, limb]), vbroadcast(shares[slot, limb]), x, low, high)


@bare_helper
def _added(state: Any, paired: Any, slot: int, limb: int, pair: int, x: Any) -> Any:
    low, high = vbroadcast(paired[slot, 0, pair, limb]), vbroadcast(paired[slot, 1, pair, limb])
    return add_pairs(state[0], state[1], x, low, high)


@bare_helper
def _row_of_one(
    q: Any, at: int, data: Any, base: int, other: int, cols: int, paired: Any, offsets: Any, shares: Any, slot: int,
) -> None:  # fmt: skip
    """Pairs are words, or the 16-bit numbers at `base` and `other`."""
    for c in range(0, cols, LANES):
        x, to = eight_pairs(data, base + c, other + c), DEGREE * (at + c)
        for limb in range(DEGREE):
            total, estimate = _begun(paired, offsets, shares, slot, limb, x)
            vstore(q, to + LANES * limb, pairs_residue(total, estimate))


@bare_helper
def _row_of_more(
    q: Any, at: int, data: Any, base: int, first: int, second: int, third: int, pairs: int, cols: int,
    paired: Any, offsets: Any, shares: Any, slot: int,
) -> None:  # fmt: skip
    """As `_row_of_one`, of two pairs or three: those at `base` and `first`, at `second`, and at `third`."""
    for c in range(0, cols, LANES):
        x, y = eight_pairs(data, base + c, first + c), eight_pairs(data, second + c, second + c)
        z, to = eight_pairs(data, third + c, third + c), DEGREE * (at + c)
        for limb in range(DEGREE):
            state = _begun(paired, offsets, shares, slot, limb, x)
            state = _added(state, paired, slot, limb, np.int64(1), y)
            if pairs > 2:
                state = _added(state, paired, slot, limb, np.int64(2), z)
            vstore(q, to + LANES * limb, pairs_residue(state[0], state[1]))


@bare_helper
def _pair_row(
    q: Any, at: int, kind: int, data: Any, base: int, deltas: Any, cols: int, pairs: int,
    paired: Any, offsets: Any, shares: Any, slot: int,
) -> None:  # fmt: skip
    first, second = base + deltas[0], base + deltas[1]
    if pairs == 1:
        _row_of_one(q, at, data, base, first, cols, paired, offsets, shares, slot)
    elif kind == HALVES:
        _row_of_more(q, at, data, base, first, second, second, pairs, cols, paired, offsets, shares, slot)
    else:
        _row_of_more(q, at, data, base, base, first, second, pairs, cols, paired, offsets, shares, slot)


@bare_helper
def denominators(rows: Any, job: int, base: int, constants: Any, slot: int, q: Any, at: int) -> None:
    """A row's q in blocks from entry `at` on; `constants` are those of some jobs or multiples of them, the row's in
    place `slot`.
    """
    cols, deltas, kind = rows.cols[job], rows.deltas[job], rows.kind[job]
    if kind == WEIGHTS:
        _byte_row(q, at, rows.weights, base, deltas, cols, constants.low, constants.high, slot)
    elif kind == DIGITS:
        _byte_row(q, at, rows.digits, base, deltas, cols, constants.low, constants.high, slot)
    elif kind == HALVES:
        _pair_row(
            q, at, kind, rows.halves, base, deltas, cols, rows.pairs[job],
            constants.paired, constants.offsets, constants.shares, slot,
        )  # fmt: skip
    else:
        _pair_row(
            q, at, kind, rows.words, base, deltas, cols, rows.pairs[job],
            constants.paired, constants.offsets, constants.shares, slot,
        )  # fmt: skip


@bare_helper
def _ones(q: Any, start: int, stop: int) -> None:
    first, last = min(stop, -(-start // LANES) * LANES), max(start, stop // LANES * LANES)
    for i in range(first, last, LANES):
        vstore(q, DEGREE * i, vbroadcast(np.uint32(ONE)))
        for limb in range(1, DEGREE):
            vstore(q, DEGREE * i + LANES * limb, vbroadcast(np.uint32(0)))
    for i in range(start, stop):
        if i < first or i >= last:
            for limb in range(DEGREE):
                q[i // LANES, limb, i % LANES] = ONE if limb == 0 else 0


@bare_helper
def fill_denominators(rows: Any, tile: int, first: int, count: int, q: Any, at: int) -> bool:
    """q of `count` rows of a tile that fold onto each other, row `first` being the first of them; whether all of
    them are full and their numerators one.
    """
    step, w = rows.job.shape[1] // count, rows.w
    unit = True
    for j in range(count):
        row = first + j * step
        job = rows.job[tile, row]
        cols = 0
        if job >= 0:
            cols = rows.cols[job]
            denominators(rows, job, rows.base[tile, row], rows.constants, np.int64(job), q, at + j * w)
        if cols < w:
            _ones(q, at + j * w + cols, at + j * w + w)
        unit = unit and cols == w and rows.numerator[tile, row] < 0
    return unit


@bare_helper
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


@bare_helper
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
