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


# safetensors name -> (storage dtype, decoder)
FLOATS: dict[str, tuple[np.dtype[np.generic], Decoder]] = {
    "F64": (np.dtype("<f8"), _cast),
    "F32": (np.dtype("<f4"), _keep),
    "F16": (np.dtype("<f2"), _cast),
    "BF16": (np.dtype("<u2"), _keep),
    "F8_E4M3": (np.dtype("u1"), _float8_e4m3),
    "F8_E5M2": (np.dtype("u1"), _float8_e5m2),
}

# safetensors dtypes that are sized but are not weights we can read
OTHER_SIZES: dict[str, int] = {
    "BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8, "I64": 8, "C64": 8,
}  # fmt: skip


def item_size(dtype: str) -> int | None:
    """Bytes per entry, or None for a dtype that is not known."""
    if dtype in FLOATS:
        return FLOATS[dtype][0].itemsize
    return OTHER_SIZES.get(dtype)
