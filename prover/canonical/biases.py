"""Biases as committed digits (circuits/model/tensors.py).

What is added to a row that reads the stream is its own bias and what the row gives for the shift of the norm before
it. A value's bias reaches the stream whatever attention weighs, so it is part of what o writes. A bias of k moves all
scores of a query alike where nothing is turned, so only turned rows have one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.model.tensors import BIAS, DIGIT, DIGITS, LOWEST_STEP, READ_UNIT, WRITE_UNIT
from huref.common.errors import Malformed
from huref.prover.canonical.factors import Layer, all_ones, folded, grouped, own, shifted
from huref.prover.canonical.steps import Rounded
from huref.prover.checkpoint.architectures.head import HeadReader
from huref.prover.kernels import pinned
from huref.prover.kernels.pinned import Float64

LIMIT = 63 << (DIGIT * (DIGITS - 1))
"""Larger numbers become this: they lie far beyond every clamp."""
BLOCK = 4096
"""Rows of the embedding or head that are held as floats at a time."""


def round_read(name: str, bias: Float64, steps: NDArray[np.int8]) -> Rounded:
    """The bias (rows,) of rows with these steps; a row of zeros has none. Raises `Malformed` for NaN and infinity."""
    unit = READ_UNIT - steps.astype(np.int32)
    return _digits(name, np.ldexp(np.where(steps > LOWEST_STEP, bias, 0.0), unit), READ_UNIT)


def round_written(name: str, bias: Float64, shape: ModelShape) -> Rounded:
    """What is added to the stream, (d,). Raises `Malformed` for NaN and infinity."""
    mixed = folded(bias.astype(np.float32)[None], None, all_ones(shape)).mixed()
    return _digits(name, np.ldexp(mixed[0].astype(np.float64), WRITE_UNIT), WRITE_UNIT)


def attended_bias(tensors: Layer, shape: ModelShape) -> Float64:
    """What attention adds to the stream, whatever it attends to, (d,)."""
    spread = grouped(shifted(tensors.v, tensors.v_bias, tensors.attn_shift), shape)
    found: Float64 = pinned.product(spread[None], tensors.o.astype(np.float64))[0]
    return found + own(tensors.o_bias, shape.hidden)


def head_bias(head: HeadReader, shape: ModelShape) -> Float64:
    """What is added to the logits, (vocab,)."""
    shift, found = head.shift(), np.empty(shape.vocab)
    for start in range(0, shape.vocab, BLOCK):
        ids = np.arange(start, min(start + BLOCK, shape.vocab))
        found[ids] = shifted(head.rows(ids), None, shift)
    return found + own(head.bias(), shape.vocab)


def _digits(name: str, real: Float64, unit: int) -> Rounded:
    if not np.isfinite(real).all():
        raise Malformed(f"tensor {name}{BIAS} holds NaN or infinity, or overflows where it is folded in")
    rest = np.clip(np.rint(real), -LIMIT, LIMIT).astype(np.int64)
    digits = np.empty((DIGITS, len(rest)), np.int8)
    half = 1 << (DIGIT - 1)
    for row in range(DIGITS):
        low = ((rest + half) & ((1 << DIGIT) - 1)) - half
        digits[row], rest = low, (rest - low) >> DIGIT
    steps = DIGIT * np.arange(DIGITS) - unit
    return Rounded(name + BIAS, digits, steps.astype(np.int8))
