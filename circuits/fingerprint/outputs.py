"""How the outputs are made from the terms of `paper`, and how 512 outputs are read: mean 0 and deviation 1.

`standardize` is the only reading of v that comparisons of `paper` and the index of a registry use.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huref.circuits.fingerprint.clamps import largest_clamp
from huref.circuits.fingerprint.hardened.vector import vector_segments
from huref.circuits.fingerprint.profiles import LAYERS, Profile
from huref.circuits.program.bounds import fits
from huref.circuits.program.program import OUTPUTS, Output
from huref.common.errors import UsageError

TERMS = 3 * LAYERS
MEANPOOL_BLOCKS = 256
"""Blocks per term of the reference's mean pooling: 6·256 blocks, three consecutive ones per output."""
MAX_TERM_WEIGHT = 127
_RUN = TERMS * MEANPOOL_BLOCKS // OUTPUTS


def term_clamp() -> int:
    """Largest clamp of the six terms that keeps what follows them below p/2."""
    return largest_clamp(linear=_RUN * MAX_TERM_WEIGHT)


def mean_pool(terms: tuple[str, ...], p: int, weights: tuple[int, ...]) -> Output:
    """reshape(512, −1).mean(1) of the stacked terms, up to a common factor (fingerprint §2).

    Block sums of K/256 rows are exact parts of the reference's 6K/512 consecutive rows, because three
    blocks make one output for every K divisible by 256. The terms have a scale of their own in the
    program, so each is multiplied by its public integer weight. Raises `UsageError` for sizes that do not suit.
    """
    if p != MEANPOOL_BLOCKS:
        raise UsageError(
            f"paper needs P = {MEANPOOL_BLOCKS} blocks, this program has P = {p}",
            hint=f"use at least {2 * MEANPOOL_BLOCKS} tokens and K a multiple of {MEANPOOL_BLOCKS}",
        )
    if len(weights) != len(terms) or not all(0 <= w <= MAX_TERM_WEIGHT for w in weights):
        raise UsageError(f"paper needs {len(terms)} term weights in 0..{MAX_TERM_WEIGHT}, got {weights}")
    block = np.arange(len(terms) * p, dtype=np.int16).reshape(len(terms), p, 1) // _RUN
    sign = tuple(np.full((p, 1), weight, dtype=np.int8) for weight in weights)
    bound = _RUN * max(weights) * term_clamp()
    if not fits(bound):
        raise UsageError(f"the static bound {bound} of v reaches p/2")
    return Output(terms, tuple(block), sign, bound)


def output_segments(profile: Profile) -> list[slice]:
    """Runs of v that share one scale: one per term, or in `paper` all of v."""
    return vector_segments() if profile.canonical else [slice(0, OUTPUTS)]


def standardize(v: ArrayLike, profile: Profile) -> NDArray[np.float64]:
    """v with mean 0 and standard deviation 1 in every segment: shape (512,), overall mean 0 and variance 1.

    Integer input is standardized by exact integer sums and correctly rounded float operations, so every
    machine gets the same bits. A constant segment becomes zero.
    """
    values = np.asarray(v)
    out = np.zeros(OUTPUTS)
    for part in output_segments(profile):
        out[part] = _standardize(values[part])
    return out


def _standardize(values: NDArray[np.generic]) -> NDArray[np.float64]:
    n = values.size
    if values.dtype.kind in "iu":
        entries = [int(x) for x in values]
        total = sum(entries)
        spread = n * sum(x * x for x in entries) - total * total  # n² · variance
        if spread == 0:
            return np.zeros(n)
        root = isqrt(spread << 64) / float(1 << 32)
        return np.array([(n * x - total) / root for x in entries])
    centred = values.astype(np.float64) - values.astype(np.float64).mean()
    deviation = float(np.sqrt((centred * centred).mean()))
    return centred / deviation if deviation > 0 else np.zeros(n)
