"""Rows of the lookup's leaves from 16-bit numbers and words, against q = offset + Σ scale·x."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from huref.common.algebra.field import DEGREE, P, fadd, kscale, to_field
from huref.prover.kernels.field.field import k_from_mont, to_mont
from huref.prover.kernels.field.limbs import from_blocks
from huref.prover.kernels.lookup.rows import (
    COMPONENTS,
    HALVES,
    WORDS,
    LeafRows,
    fill_tiles,
    job_constants,
    pair_count,
    split_words,
)

W, ROWS = 32, 16
HALF, WHOLE = (1 << 15) - 1, (P - 1) // 2
EDGES = {
    HALVES: [0, 1, -1, 255, -256, HALF, -HALF],
    WORDS: [0, -1, 0x7FFF, 0x8000, -0x8000, 0x8001, WHOLE, -WHOLE],
}


def edges(rng: np.random.Generator, count: int) -> NDArray[Any]:
    """K elements whose limbs and digits of 16 bits are at their edges, among random ones."""
    limbs = np.array(
        [0, 1, P - 1, (P - 1) // 2, (P + 1) // 2, 0x8000, 0x7FFF, 0x18000, P - 0x8000], np.uint64
    )
    found = rng.integers(0, P, (count, DEGREE)).astype(np.uint64)
    return np.where(rng.integers(2, size=found.shape) > 0, rng.choice(limbs, found.shape), found)


def numbers(rng: np.random.Generator, kind: int, count: int) -> NDArray[np.int64]:
    most = HALF if kind == HALVES else WHOLE
    found = rng.integers(-most, most + 1, count)
    return np.where(rng.integers(2, size=count) > 0, rng.choice(EDGES[kind], count), found)


@pytest.mark.parametrize("kind", [HALVES, WORDS])
@pytest.mark.parametrize("varying", [0, 1, 2, 3])
@pytest.mark.parametrize("cols", [W, W - 8, 5, 0])
def test_rows(kind: int, varying: int, cols: int) -> None:
    rng = np.random.default_rng(kind + 4 * varying + cols)
    size = ROWS * W
    components = [numbers(rng, kind, size) for _ in range(max(1, varying))]
    scales = np.zeros((ROWS, COMPONENTS + 1, DEGREE), np.uint64)
    for row in scales:
        row[:varying], row[COMPONENTS] = edges(rng, varying), edges(rng, 1)
    flat = np.concatenate(components)
    deltas = [m * size for m in range(1, len(components))] + [0] * (COMPONENTS - len(components))
    kinds, mont = np.full(ROWS, kind, np.int32), to_mont(scales)
    halves = flat.astype(np.int16) if kind == HALVES else np.empty(0, np.int16)
    words = split_words(flat.astype(np.int32)) if kind == WORDS else np.empty(0, np.uint32)
    rows = LeafRows(
        job=np.arange(ROWS, dtype=np.int32)[None],
        base=(np.arange(ROWS) * W)[None],
        numerator=np.full((1, ROWS), -1, np.int64),
        kind=kinds,
        cols=np.full(ROWS, cols, np.int64),
        deltas=np.tile(np.array(deltas[: COMPONENTS - 1], np.int64), (ROWS, 1)),
        pairs=np.full(ROWS, pair_count(kind, varying), np.int64),
        scales=mont,
        constants=job_constants(kinds, mont),
        weights=np.empty(0, np.int8),
        digits=np.empty(0, np.int8),
        halves=halves,
        words=words,
        counts=np.empty(0, np.int32),
        w=W,
    )
    p, q = fill_tiles(rows, 0, 1)
    found = k_from_mont(from_blocks(q)).reshape(ROWS, W, DEGREE)
    wanted = np.zeros((ROWS, W, DEGREE), np.uint64)
    for row in range(ROWS):
        wanted[row] = scales[row, COMPONENTS]
        for m in range(varying):
            x = to_field(components[m][row * W : (row + 1) * W])
            wanted[row] = fadd(wanted[row], kscale(np.broadcast_to(scales[row, m], (W, DEGREE)), x))
    wanted[:, cols:], wanted[:, cols:, 0] = 0, 1
    assert np.array_equal(found, wanted)
    present = np.arange(W) < cols
    assert np.array_equal(p.reshape(ROWS, W) != 0, np.broadcast_to(present, (ROWS, W)))


def test_words_are_split_whatever_their_type() -> None:
    values = np.array([0, 1, -1, 0x7FFF, 0x8000, -0x8000, -0x8001, WHOLE, -WHOLE])
    for given in (
        values,
        values.astype(np.int32),
        values + P,
        np.array([3, -4], np.int16),
        np.array([-7], np.int8),
    ):
        words = split_words(given)
        halves = words.view(np.int16).reshape(-1, 2).astype(np.int64)
        assert np.array_equal((halves[:, 0] + (halves[:, 1] << 16) - given) % P, np.zeros(len(given)))
        assert np.abs(halves[:, 1]).max() <= 1 << 14
    large = np.array([(1 << 31) - 1, -(1 << 31)], np.int32)
    assert np.abs(split_words(large).view(np.int16)[1::2].astype(int)).max() <= 1 << 14
