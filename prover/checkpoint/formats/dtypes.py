"""Float formats of safetensors files, decoded from raw little-endian storage to float32 or bfloat16 halves."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.prover.checkpoint.formats.base import Float32
from huref.prover.kernels.integers.reading import Stored

Decoder = Callable[[NDArray[Any]], Stored]


def _keep(raw: NDArray[Any]) -> Stored:
    return raw


def _cast(raw: NDArray[np.generic]) -> Float32:
    # float64 beyond float32's range becomes infinity here and is reported by the caller's finite check
    with np.errstate(over="ignore"):
        return raw.astype(np.float32)


@cache
def _float8_table(exponent_bits: int, finite_only: bool) -> Float32:
    """Values of the 256 codes of an 8-bit float (OCP 8-bit floating point specification, E4M3 and E5M2)."""
    mantissa_bits = 7 - exponent_bits
    bias = (1 << (exponent_bits - 1)) - 1
    code = np.arange(128)
    exponent, mantissa = code >> mantissa_bits, code & ((1 << mantissa_bits) - 1)
    fraction = mantissa / (1 << mantissa_bits)
    value = np.where(exponent == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (exponent - bias))
    if finite_only:
        value[127] = np.nan
    else:
        top = exponent == (1 << exponent_bits) - 1
        value[top] = np.where(mantissa[top] == 0, np.inf, np.nan)
    return np.concatenate([value, -value]).astype(np.float32)


def _float8_e4m3(raw: NDArray[np.generic]) -> Float32:
    return _float8_table(4, True)[raw]


def _float8_e5m2(raw: NDArray[np.generic]) -> Float32:
    return _float8_table(5, False)[raw]


@cache
def _powers_of_two() -> Float32:
    """Values of E8M0, the scales of the OCP microscaling formats: 2^(code−127), the last code NaN."""
    values = np.ldexp(1.0, np.arange(256) - 127)
    values[255] = np.nan
    return values.astype(np.float32)


def _e8m0(raw: NDArray[np.generic]) -> Float32:
    return _powers_of_two()[raw]


# safetensors name -> (storage dtype, decoder)
FLOATS: dict[str, tuple[np.dtype[np.generic], Decoder]] = {
    "F64": (np.dtype("<f8"), _cast),
    "F32": (np.dtype("<f4"), _keep),
    "F16": (np.dtype("<f2"), _cast),
    "BF16": (np.dtype("<u2"), _keep),
    "F8_E4M3": (np.dtype("u1"), _float8_e4m3),
    "F8_E5M2": (np.dtype("u1"), _float8_e5m2),
    "F8_E8M0": (np.dtype("u1"), _e8m0),
}

INTEGERS: dict[str, np.dtype[np.generic]] = {
    name: np.dtype(storage)
    for name, storage in (
        *(("U8", "u1"), ("I8", "i1"), ("U16", "<u2"), ("I16", "<i2")),
        *(("U32", "<u4"), ("I32", "<i4"), ("U64", "<u8"), ("I64", "<i8")),
    )
}
"""Parts of quantized weights; no weights by themselves."""

_OTHER_SIZES = {"BOOL": 1, "C64": 8}


def item_size(dtype: str) -> int | None:
    """Bytes per entry, or None for a dtype that is not known."""
    known = FLOATS[dtype][0] if dtype in FLOATS else INTEGERS.get(dtype)
    return _OTHER_SIZES.get(dtype) if known is None else known.itemsize
