"""From the terms to the 512 outputs: `sketch`, `meanpool` (here) and `cnn` (circuits/fingerprint/encoder_cnn.py).

`standardize` is the only reading of v that comparisons and pictures use.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huref.circuits.fingerprint.clamps import largest_clamp
from huref.circuits.fingerprint.encoder_cnn import cnn_sites, input_clamp
from huref.circuits.fingerprint.profiles import LAYERS, Profile
from huref.circuits.fingerprint.sketch import bucket_map, largest_bucket, segments
from huref.circuits.program.bounds import FIELD_PRIME, fits
from huref.circuits.program.program import OUTPUTS, Output, Site
from huref.common.errors import UsageError

TERMS = 3 * LAYERS
MEANPOOL_BLOCKS = 256
"""Blocks per term of the reference's mean pooling: 6·256 blocks, three consecutive ones per output."""
MAX_TERM_WEIGHT = 127


def term_clamp(profile: Profile, encoder: str, p: int) -> int:
    """Largest clamp of the six terms that keeps what follows them below p/2."""
    if encoder == "cnn":
        return min(input_clamp(FIELD_PRIME), profile.max_clamp)
    if encoder == "sketch":
        return largest_clamp(profile, linear=largest_bucket(TERMS, p))
    return largest_clamp(profile, linear=_meanpool_run() * MAX_TERM_WEIGHT)


def encode(
    encoder: str, terms: tuple[str, ...], clamp: int, p: int, weights: tuple[int, ...]
) -> tuple[tuple[Site, ...], Output]:
    """The sites (none unless cnn) and the output map of `encoder` over six terms clamped to `clamp`.

    `weights` are the meanpool encoder's term weights. Raises `UsageError` or `Unsupported` for sizes that
    the encoder cannot take.
    """
    if encoder == "cnn":
        return cnn_sites(terms, clamp, p, FIELD_PRIME)
    build: Callable[[], Output] = (
        (lambda: _sketch(terms, clamp, p))
        if encoder == "sketch"
        else (lambda: _meanpool(terms, clamp, p, weights))
    )
    output = build()
    if not fits(output.bound):
        raise UsageError(f"encoder {encoder}: the static bound {output.bound} of v reaches p/2")
    return (), output


def _sketch(terms: tuple[str, ...], clamp: int, p: int) -> Output:
    maps = [bucket_map(t, len(terms), p) for t in range(len(terms))]
    bound = largest_bucket(len(terms), p) * clamp
    return Output(terms, tuple(bucket for bucket, _ in maps), tuple(sign for _, sign in maps), bound)


def _meanpool_run() -> int:
    return TERMS * MEANPOOL_BLOCKS // OUTPUTS


def _meanpool(terms: tuple[str, ...], clamp: int, p: int, weights: tuple[int, ...]) -> Output:
    """reshape(512, −1).mean(1) of the stacked terms, up to a common factor (fingerprint §2).

    Block sums of K/256 rows are exact parts of the reference's 6K/512 consecutive rows, because three
    blocks make one output for every K divisible by 256. The terms have a scale of their own in the
    program, so each is multiplied by its public integer weight.
    """
    if p != MEANPOOL_BLOCKS:
        raise UsageError(
            f"meanpool needs P = {MEANPOOL_BLOCKS} blocks, this program has P = {p}",
            hint=f"use at least {2 * MEANPOOL_BLOCKS} tokens and K a multiple of {MEANPOOL_BLOCKS}",
        )
    if len(weights) != len(terms) or not all(0 <= w <= MAX_TERM_WEIGHT for w in weights):
        raise UsageError(f"meanpool needs {len(terms)} term weights in 0..{MAX_TERM_WEIGHT}, got {weights}")
    block = np.arange(len(terms) * p, dtype=np.int16).reshape(len(terms), p, 1) // _meanpool_run()
    sign = tuple(np.full((p, 1), weight, dtype=np.int8) for weight in weights)
    return Output(terms, tuple(block), sign, _meanpool_run() * max(weights) * clamp)


def output_segments(encoder: str) -> list[slice]:
    """Runs of v that share one scale: one per term for `sketch` and `cnn`, all of v for `meanpool`."""
    return [slice(0, OUTPUTS)] if encoder == "meanpool" else segments(TERMS)


def standardize(v: ArrayLike, encoder: str) -> NDArray[np.float64]:
    """v with mean 0 and standard deviation 1 in every segment: shape (512,), overall mean 0 and variance 1.

    Integer input is standardized by exact integer sums and correctly rounded float operations, so every
    machine gets the same bits. A constant segment becomes zero.
    """
    values = np.asarray(v)
    out = np.zeros(OUTPUTS)
    for part in output_segments(encoder):
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
