"""Float rows → int8 rows with a power-of-two step each, pinned (prover/kernels/pinned.py).

The step of a row is 2^e, e = ⌈log2(size / 127) − 0.1⌉, where size = min(largest |entry|, 4.5 · rms): entries beyond 127
steps are clipped. No step is below 2^−6 of the tensor's median step, so that every exponent of a tensor lies in a
window that a lookup table can hold; what such small rows lose is far below the rounding of the others. A row of zeros
has the lowest step of all, −100, which says that it is one.

In the head, where all rows give numbers at one unit and those of zeros are as good as others, no step is below a
quarter of the median one: what smaller rows would gain from finer steps is lost behind the others, and a proof needs
rows of like size. A row of zeros has the lowest of these steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.model.tensors import GAIN_BITS, HIGHEST_STEP, LARGEST, LOWEST_STEP
from huref.common.errors import Malformed
from huref.prover.checkpoint.formats.base import Float32
from huref.prover.kernels.integers.canonical import measure_rows, round_each
from huref.prover.kernels.integers.reading import real_rows
from huref.prover.kernels.pinned import Float64

CLIP_SIGMAS = 4.5
_CLIPPED = float.fromhex("0x1.125fbee250664p+0")  # 2^0.1: a step may be too small by this factor
BELOW_MEDIAN = 6
"""How far an exponent may lie below the median of its tensor."""
ALIKE_BELOW = 2
"""The same in the head."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Rounded:
    """A committed tensor: row r of `values` (int8, rows × cols) stands for values[r] · 2^steps[r] (int8, rows)."""

    name: str
    values: NDArray[np.int8]
    steps: NDArray[np.int8]

    def real(self) -> Float32:
        """The numbers that are committed, exact in float32."""
        return real_rows(self.values, self.steps)


def sizes(name: str, rows: Float32) -> Float64:
    """min(largest |entry|, 4.5 · rms) of every row, (rows,).

    Raises:
        Malformed: an entry is NaN or infinite; names the tensor.
    """
    squares, peaks = measure_rows(rows)
    if not np.isfinite(squares).all():
        raise Malformed(
            f"tensor {name} holds NaN or infinity, or overflows when norms and gains are folded in"
        )
    return np.minimum(peaks.astype(np.float64), CLIP_SIGMAS * np.sqrt(squares / rows.shape[1]))


def exponents(size: Float64) -> Ints:
    """The e of every row of this size; the lowest for a row of zeros."""
    mantissa, exponent = np.frexp(size / (LARGEST * _CLIPPED))
    above = exponent.astype(np.int64) - (mantissa == 0.5)
    return np.where(size > 0, np.clip(above, LOWEST_STEP, HIGHEST_STEP), LOWEST_STEP)


def median(found: Ints, size: Float64) -> int:
    """The lower median of the exponents of rows that are not zero; 0 if all are."""
    alive = np.sort(found[size > 0])
    return int(alive[(len(alive) - 1) // 2]) if len(alive) else 0


def _raised(found: Ints, size: Float64, alike: bool = False) -> Ints:
    lowest = median(found, size) - (ALIKE_BELOW if alike else BELOW_MEDIAN)
    return np.where(size > 0, np.maximum(found, lowest), lowest if alike else LOWEST_STEP)


def _round(rows: Float32, steps: Ints, out: NDArray[np.int8]) -> None:
    round_each(rows, np.ldexp(np.float32(1), -steps.astype(np.int32)), LARGEST, out)


def round_tensor(name: str, rows: Float32) -> Rounded:
    """Round a tensor (rows × cols). Raises `Malformed` as `sizes` does."""
    size = sizes(name, rows)
    steps = _raised(exponents(size), size)
    values = np.empty(rows.shape, np.int8)
    _round(rows, steps, values)
    return Rounded(name, values, steps.astype(np.int8))


def round_full(
    name: str, rows: Float32, common: Callable[[Float64], Float64] | None = None
) -> tuple[Rounded, Float64]:
    """Round rows (m × n) whose scale is free, each scaled such that its size is 127 steps, all in one step.

    `common`, from sizes (m,) to sizes, makes those of rows equal that have to keep their ratio.

    Returns the tensor, and the factor per row (m,) that its counterpart takes; 0 for rows of zeros.
    Raises `Malformed` as `sizes` does.
    """
    size = sizes(name, rows)
    size = size if common is None else common(size)
    step = median(exponents(size), size)
    values, alive = np.empty(rows.shape, np.int8), size > 0
    factors = np.where(alive, LARGEST, 0.0) / np.where(alive, size, 1.0)
    round_each(rows, factors.astype(np.float32), LARGEST, values)
    steps = np.where(alive, step, LOWEST_STEP).astype(np.int8)
    return Rounded(name, values, steps), size / (LARGEST * np.ldexp(1.0, step))


def round_blocks(
    name: str,
    shape: tuple[int, int],
    blocks: Iterator[Float32],
    again: Callable[[Ints], Float32],
    *,
    alike: bool = False,
) -> Rounded:
    """Round a tensor of this shape that comes in blocks of rows; `again` gives the rows of these numbers anew.

    With `alike` rows are of like size, as in the head.

    Raises `Malformed` as `sizes` does.
    """
    values, size, start = np.empty(shape, np.int8), np.empty(shape[0]), 0
    for block in blocks:
        stop = start + len(block)
        size[start:stop] = sizes(name, block)
        _round(block, exponents(size[start:stop]), values[start:stop])
        start = stop
    found = exponents(size)
    steps = _raised(found, size, alike)
    low = np.flatnonzero((steps != found) & (size > 0))
    if len(low):
        few = np.empty((len(low), shape[1]), np.int8)
        _round(again(low), steps[low], few)
        values[low] = few
    return Rounded(name, values, steps.astype(np.int8))


def round_gain(name: str, gain: Float32) -> Rounded:
    """A vector (n,) as two rows, the second being what the first leaves, in steps 2^−7 as large.

    Raises `Malformed` as `sizes` does.
    """
    row = gain[None]
    sizes(name, row)
    step = exponents(np.abs(row).max(axis=1).astype(np.float64) * _CLIPPED)  # nothing is clipped here
    first = np.empty(row.shape, np.int8)
    _round(row, step, first)
    rest = row - np.ldexp(first.astype(np.float32), step.astype(np.int32)[:, None])
    second = np.empty(row.shape, np.int8)
    _round(rest, step - GAIN_BITS, second)
    both = np.concatenate([step, step - GAIN_BITS])
    return Rounded(name, np.concatenate([first, second]), both.astype(np.int8))
