"""4-bit floats (E2M1): MXFP4 with a power of two per 32 entries, NVFP4 with an 8-bit float per 16.

Two numbers to a byte, the first in the low half. GPT-OSS stores its experts as `…_blocks` (…, outputs, groups,
16 bytes) and `…_scales` (…, outputs, groups); the tensor that transformers dequantizes them to has inputs
before outputs, and so has ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.formats.base import Float32
from huref.prover.checkpoint.formats.quantized.scheme import DEQUANTIZE, Entries, Packed, Part, Rows

_HALF = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
VALUES = np.concatenate([_HALF, -_HALF])
_BIAS = 127  # of a scale's exponent
_NAN = 255


def find(entries: Entries, settings: Mapping[str, Any], source: object) -> dict[str, Packed]:
    """Every weight of 4-bit floats. Raises `Malformed`: parts that do not fit each other."""
    found = {}
    for name, entry in entries.items():
        stem = name.removesuffix("_blocks")
        if stem != name and f"{stem}_scales" in entries and entry.dtype == "U8":
            found[stem] = _blocks(entries, stem, source)
        base = name.removesuffix(".weight_packed").removesuffix(".weight")
        if (
            entry.dtype == "U8"
            and base != name
            and len(entry.shape) == 2
            and f"{base}.weight_scale" in entries
        ):
            found[f"{base}.weight"] = _nvfp4(entries, name, base, source)
    return found


def _blocks(entries: Entries, stem: str, source: object) -> Packed:
    numbers, scales = f"{stem}_blocks", f"{stem}_scales"
    shape = entries[numbers].shape
    if len(shape) < 3 or entries[scales].shape != shape[:-1] or entries[scales].dtype != "U8":
        raise Malformed(f"{source}: {scales} does not fit {numbers} of shape {shape}")
    *outer, out, groups, size = shape

    def load(part: Part, rows: Rows) -> Float32:
        raw, exponent = part(numbers), part(scales)
        if rows is not None:
            raw, exponent = raw[rows], exponent[rows]
        if (exponent == _NAN).any():
            raise Malformed(f"{source}: {scales} holds NaN")
        power = np.ldexp(np.float32(1), exponent.astype(np.int32) - _BIAS).astype(np.float32)
        values = _decode(raw) * power[..., None]
        flat = values.reshape(*values.shape[:-2], groups * size * 2)
        return np.ascontiguousarray(np.swapaxes(flat, -1, -2)) if outer else flat

    plain = (*outer, groups * size * 2, out) if outer else (out, groups * size * 2)
    return Packed(plain, (numbers, scales), load)


def _nvfp4(entries: Entries, name: str, base: str, source: object) -> Packed:
    scale, shape = f"{base}.weight_scale", entries[name].shape
    divisor, factor = f"{base}.weight_global_scale", f"{base}.weight_scale_2"
    other = next((part for part in (divisor, factor) if part in entries), None)
    groups = entries[scale].shape
    if other is None or entries[scale].dtype != "F8_E4M3":
        raise Unsupported(f"{source}: {name} packs bytes in a way that is not known here", hint=DEQUANTIZE)
    if len(groups) != 2 or groups[0] != shape[0] or not groups[1] or (2 * shape[1]) % groups[1]:
        raise Malformed(f"{source}: scale {scale} of shape {groups} does not fit {name} of shape {shape}")

    def load(part: Part, rows: Rows) -> Float32:
        whole = np.float32(part(other).reshape(-1)[0])
        scales = part(scale) / whole if other == divisor else part(scale) * whole
        values = (_decode(part(name)) * scales.repeat(2 * shape[1] // groups[1], axis=1)).astype(np.float32)
        return values if rows is None else values[rows]

    return Packed((shape[0], 2 * shape[1]), (name, scale, other), load)


def _decode(raw: NDArray[np.uint8]) -> Float32:
    """Two values per byte along the last axis."""
    pairs = np.stack([VALUES[raw & 15], VALUES[raw >> 4]], axis=-1)
    return pairs.reshape(*raw.shape[:-1], 2 * raw.shape[-1])
