"""Columns of models with norms behind attention and FFN (docs/inference.md §1).

The gains of these norms tie the columns of the stream, a few of which are a hundred times as large as the others in
real models. So nothing is folded there: what reads the stream is brought to columns of one size, which stay beside it
as a gain of two rows, and so does the gain behind what is written, whose own size is free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.model.tensors import GAIN
from huref.prover.canonical.factors import Scaled, inverse
from huref.prover.canonical.steps import Rounded, round_gain
from huref.prover.checkpoint.formats.base import Float32
from huref.prover.kernels import pinned
from huref.prover.kernels.pinned import Float64

_BLOCK = 4096
_SMALLEST = 2.0**-15
"""Columns that are smaller than this share of the largest count as that."""


def side_columns(sides: Sequence[Scaled]) -> Float64:
    """Squared norms of the columns of all sides together, (d,)."""
    blocks = (
        side.rows[at : at + _BLOCK] * side.factor[at : at + _BLOCK, None]
        for side in sides
        for at in range(0, len(side.rows), _BLOCK)
    )
    return sum_columns(blocks)


def sum_columns(blocks: Iterable[Float32 | Float64]) -> Float64:
    """Squared norms of the columns of blocks of rows, (d,)."""
    found: Float64 = np.zeros(1)
    for block in blocks:
        found = found + pinned.tree_sum(block.T.astype(np.float64) ** 2)
    return found


def column_gain(name: str, squares: Float64) -> Rounded:
    """The norms of columns as a gain. Raises `Malformed` for NaN and infinity."""
    norms = np.sqrt(squares)
    return round_gain(name + GAIN, np.maximum(norms, norms.max() * _SMALLEST).astype(np.float32))


def without(gain: Rounded) -> Float32:
    """One over the gain, as it is committed, (d,)."""
    real = gain.real().astype(np.float64)
    return inverse(real[0] + real[1]).astype(np.float32)


def divide(side: Scaled, gain: Rounded) -> None:
    """Divide the columns of a side by the gain."""
    side.squares = pinned.fold(side.rows, without(gain), None)


def one_size(side: Scaled, count: int) -> Float64:
    """The factor (m,) that makes the squared norms of rows add up to `count`."""
    squares = pinned.fold(side.rows, None, None) * side.factor * side.factor
    return np.full(len(squares), count * inverse(pinned.tree_sum(squares)))


def output_gain(name: str, gain: Float32 | None, shape: ModelShape) -> Rounded:
    """The gain of a norm behind what is written, ones where it has none."""
    return round_gain(name + GAIN, np.ones(shape.hidden, np.float32) if gain is None else gain)
