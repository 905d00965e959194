"""2-, 4- and 8-bit integers packed into 32-bit words: GPTQ, AWQ, and compressed-tensors.

GPTQ packs along the inputs, AWQ along the outputs in an order of its own, compressed-tensors along a row's
entries; all put the first number into the lowest bits. A value is (number − zero point) · scale of its group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.formats.base import Float32
from huref.prover.checkpoint.formats.quantized.scheme import (
    DEQUANTIZE,
    Entries,
    Packed,
    Part,
    Rows,
    settings_of,
)

_WORD = 32
_AWQ_ORDER = np.array([0, 4, 1, 5, 2, 6, 3, 7])  # column i of eight lies in nibble _AWQ_ORDER[i]


def find(entries: Entries, settings: Mapping[str, Any], source: object) -> dict[str, Packed]:
    """Every packed weight. Raises `Malformed` (parts that do not fit), `Unsupported` (3 bits, marlin)."""
    found = {}
    for name in entries:
        base, _, kind = name.rpartition(".")
        if kind == "qweight":
            found[f"{base}.weight"] = _words(entries, base, settings, source)
        elif kind == "weight_packed" and entries[name].dtype == "I32":
            found[f"{base}.weight"] = _compressed(entries, base, settings, source)
    return found


def _words(entries: Entries, base: str, settings: Mapping[str, Any], source: object) -> Packed:
    names = [f"{base}.{part}" for part in ("qweight", "qzeros", "scales")]
    if any(name not in entries or len(entries[name].shape) != 2 for name in names):
        raise Unsupported(f"{source}: {names[0]} without matching qzeros and scales", hint=DEQUANTIZE)
    (rows, cols), zeros, (groups, out) = (entries[name].shape for name in names)
    bits = settings_of(settings, "bits") or settings_of(settings, "w_bit") or 4
    kinds = {entries[name].dtype for name in names[:2]}
    if bits not in (4, 8) or kinds != {"I32"}:
        raise Unsupported(f"{source}: {names[0]} packs {bits} bits, only 4 and 8 are read", hint=DEQUANTIZE)
    if settings.get("checkpoint_format") == "marlin" or settings.get("is_marlin_format"):
        raise Unsupported(f"{source}: {names[0]} is in marlin order, which is not read", hint=DEQUANTIZE)
    if settings.get("quant_method") == "awq" and str(settings.get("version", "gemm")).lower() != "gemm":
        order = settings["version"]
        raise Unsupported(f"{source}: {names[0]} is in {order} order, which is not read", hint=DEQUANTIZE)
    if "auto-round" in str(settings.get("quant_method")):
        order = str(settings.get("packing_format"))
        if "auto_gptq" not in order and "awq" not in order:
            raise Unsupported(f"{source}: {names[0]} is in {order} order, which is not read", hint=DEQUANTIZE)
    per_word = _WORD // bits
    awq = cols * per_word == out and bits == 4
    if not awq and cols != out:
        raise Malformed(f"{source}: {names[0]} of shape {(rows, cols)} does not fit {out} outputs")
    width = rows if awq else rows * per_word
    if (
        groups == 0
        or zeros != (groups, out // per_word)
        or (width % groups and f"{base}.g_idx" not in entries)
    ):
        raise Malformed(f"{source}: {names[1]} of shape {zeros} does not fit {names[0]}")
    index = f"{base}.g_idx"
    _integers(entries, source, index)
    parts = (*names, index) if index in entries else tuple(names)
    offset = 0 if awq or settings.get("checkpoint_format") == "gptq_v2" else 1

    def load(part: Part, taken: Rows) -> Float32:
        number = _unpack(part(names[0]), bits, 1) if awq else _unpack(part(names[0]).T, bits, 1).T
        zero = _unpack(part(names[1]), bits, 1)
        if awq:
            number, zero = (
                x.reshape(len(x), -1, 8)[:, :, _AWQ_ORDER].reshape(len(x), -1) for x in (number, zero)
            )
        group = _groups(part(index) if index in parts else None, width, groups, source, index)
        scale = part(names[2]).astype(np.float32)
        values = (number - (zero + offset)[group]).astype(np.float32) * scale[group]
        weight = np.ascontiguousarray(values.T)
        return weight if taken is None else weight[taken]

    return Packed((out, width), parts, load)


def _compressed(entries: Entries, base: str, settings: Mapping[str, Any], source: object) -> Packed:
    name, scale, size = (f"{base}.{part}" for part in ("weight_packed", "weight_scale", "weight_shape"))
    if scale not in entries or len(entries[name].shape) != 2 or len(entries[scale].shape) != 2:
        raise Unsupported(f"{source}: {name} without a matching {scale}", hint=DEQUANTIZE)
    bits = settings_of(settings, "num_bits") or 4
    if bits not in (2, 4, 8):
        raise Unsupported(f"{source}: {name} packs {bits} bits, only 2, 4 and 8 are read", hint=DEQUANTIZE)
    (out, words), (rows, groups) = entries[name].shape, entries[scale].shape
    width = words * (_WORD // bits)
    if rows != out or groups == 0:
        raise Malformed(f"{source}: scale {scale} of shape {(rows, groups)} does not fit {name}")
    zero, index = f"{base}.weight_zero_point", f"{base}.weight_g_idx"
    _integers(entries, source, zero, index)
    if zero in entries and entries[zero].shape != (-(-out * bits // _WORD), groups):
        raise Malformed(f"{source}: {zero} of shape {entries[zero].shape} does not fit {name}")
    parts = tuple(part for part in (name, scale, size, zero, index) if part in entries)

    def load(part: Part, taken: Rows) -> Float32:
        half = 1 << (bits - 1)
        number = _unpack(part(name), bits, 1) - half
        group = _groups(part(index) if index in parts else None, width, groups, source, index)
        if zero in parts:
            number = number - (_unpack(part(zero).T, bits, 1).T[:out] - half)[:, group]
        values: Float32 = number.astype(np.float32) * part(scale).astype(np.float32)[:, group]
        return values if taken is None else values[taken]

    return Packed((out, width), parts, load)


def _integers(entries: Entries, source: object, *names: str) -> None:
    for name in names:
        if name in entries and entries[name].dtype != "I32":
            raise Unsupported(f"{source}: {name} has dtype {entries[name].dtype}, not I32", hint=DEQUANTIZE)


def _groups(
    index: NDArray[Any] | None, width: int, groups: int, source: object, name: str
) -> NDArray[np.int64]:
    """The group of each input."""
    if index is None:
        return np.arange(width) // -(-width // groups)
    group = np.asarray(index, np.int64)
    if group.shape != (width,) or not width or not 0 <= int(group.min()) <= int(group.max()) < groups:
        raise Malformed(f"{source}: {name} names groups outside 0..{groups - 1}")
    return group


def _unpack(words: NDArray[Any], bits: int, axis: int) -> NDArray[np.int32]:
    """The numbers in each word, lowest bits first, along the last axis."""
    shifts = np.arange(0, _WORD, bits, dtype=np.uint32)
    numbers = (np.ascontiguousarray(words).view(np.uint32)[..., None] >> shifts) & np.uint32((1 << bits) - 1)
    return numbers.reshape(*words.shape[:axis], -1).astype(np.int32)
