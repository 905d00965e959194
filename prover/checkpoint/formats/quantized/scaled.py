"""8-bit floats and integers with scales: one scale per tensor, row, column, group or block.

Covers DeepSeek's block scales, FBGEMM's and compressed-tensors' rows, bitsandbytes int8 (SCB, 127 steps), and
plain `.scale`. A value is number · scale, or (number − zero point) · scale, rounded once to float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.formats.base import Float32
from huref.prover.checkpoint.formats.dtypes import FLOATS
from huref.prover.checkpoint.formats.quantized.scheme import (
    DEQUANTIZE,
    Entries,
    Packed,
    Part,
    Rows,
    settings_of,
)

_NUMBERS = ("F8_E4M3", "F8_E5M2", "I8")
_BLOCK = 128  # DeepSeek's, where the config does not say
_INT8_STEPS = 127


def find(entries: Entries, settings: Mapping[str, Any], source: object) -> dict[str, Packed]:
    """Every weight of 8-bit numbers that has a scale. Raises `Malformed`: a scale that does not fit."""
    found = {}
    for name, entry in entries.items():
        if entry.dtype not in _NUMBERS:
            continue
        scale, steps = _scale_of(entries, name, entry.dtype)
        if scale is not None:
            found[name] = _scaled(entries, name, scale, steps, settings, source)
    return found


def _scale_of(entries: Entries, name: str, dtype: str) -> tuple[str | None, int]:
    base = name.removesuffix(".weight")
    if dtype == "I8" and f"{base}.SCB" in entries:
        return f"{base}.SCB", _INT8_STEPS
    candidates = (
        f"{name}_scale_inv",
        f"{name}_scale",
        f"{name}.scale",
        f"{base}.scale",
        f"{base}.scale_weight",
    )
    return next((scale for scale in candidates if scale in entries and scale != name), None), 1


def _scaled(
    entries: Entries, name: str, scale: str, steps: int, settings: Mapping[str, Any], source: object
) -> Packed:
    shape, given = entries[name].shape, entries[scale].shape
    blocks = _blocks(shape, given, settings_of(settings, "weight_block_size"))
    if blocks is None:
        raise Malformed(f"{source}: scale {scale} of shape {given} does not fit {name} of shape {shape}")
    zero = f"{name}_zero_point"
    if entries[scale].dtype not in FLOATS or (zero in entries and entries[zero].shape != given):
        raise Unsupported(
            f"{source}: {scale} and {zero} scale {name} in a way that is not known", hint=DEQUANTIZE
        )
    parts = (name, scale, zero) if zero in entries else (name, scale)

    def load(part: Part, rows: Rows) -> Float32:
        numbers = part(name).astype(np.float32)
        if zero in parts:
            numbers -= _spread(part(zero).astype(np.float32), shape, blocks)
        factor = part(scale).astype(np.float64) / steps
        # powers of two aside, only this product rounds
        values: Float32 = (numbers * _spread(factor, shape, blocks)).astype(np.float32)
        return values if rows is None else values[rows]

    return Packed(shape, parts, load)


def _blocks(shape: tuple[int, ...], scale: tuple[int, ...], stated: object) -> tuple[int, ...] | None:
    """How many entries along each axis share a scale, None if the scale fits in no known way."""
    if 0 in shape or 0 in scale:
        return None
    if prod(scale) == 1:
        return shape
    if len(scale) == 1 and scale[0] == shape[0]:
        return (1, *shape[1:])
    if len(scale) == len(shape) - 1 and scale == shape[:-1]:
        return (*(1 for _ in scale), shape[-1])
    if len(scale) != len(shape):
        return None
    blocks = []
    size = dict(zip((-2, -1), stated, strict=True)) if isinstance(stated, list) and len(stated) == 2 else {}
    for axis, (count, pieces) in enumerate(zip(shape, scale, strict=True)):
        wanted = size.get(axis - len(shape), _BLOCK)
        if pieces in (1, count):
            blocks.append(count // pieces)
        elif type(wanted) is int and wanted > 0 and -(-count // wanted) == pieces:
            blocks.append(wanted)
        elif pieces and count % pieces == 0 and not size:
            blocks.append(count // pieces)
        else:
            return None
    return tuple(blocks)


def _spread(values: NDArray[Any], shape: tuple[int, ...], blocks: tuple[int, ...]) -> NDArray[Any]:
    """Scales repeated over their blocks, broadcastable to `shape`."""
    pieces = tuple(-(-count // block) for count, block in zip(shape, blocks, strict=True))
    values = values.reshape(pieces)
    for axis, (count, block) in enumerate(zip(shape, blocks, strict=True)):
        if pieces[axis] > 1:
            values = values.repeat(block, axis).take(np.arange(count), axis)
    return values
