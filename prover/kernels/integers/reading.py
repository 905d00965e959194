"""Compiled passes over tensors as they are read: widening, transposition, and the check for NaN and infinity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.prover.kernels.jit import frozen, kernel
from huref.prover.kernels.threads import run_ranges

Float32 = NDArray[np.float32]
Stored = NDArray[np.float32] | NDArray[np.uint16]
"""float32, or bfloat16 as the upper halves of float32 numbers."""

_TILE = 32
_EXPONENT = np.uint32(0x7F800000)


@kernel
def _widen(raw: Any, shift: Any, out: Any, start: int, stop: int) -> Any:
    """Entries [start, stop) as bits of float32; the highest exponent among them."""
    source, target = raw[start:stop], out[start:stop]
    highest = np.uint32(0)
    for i in range(len(source)):
        bits = np.uint32(source[i]) << shift
        target[i] = bits
        highest = max(highest, bits & _EXPONENT)
    return highest


@kernel
def _highest(bits: Any, start: int, stop: int) -> Any:
    highest = np.uint32(0)
    part = bits[start:stop]
    for i in range(len(part)):
        highest = max(highest, part[i] & _EXPONENT)
    return highest


@kernel
def _transpose(matrix: Any, shift: Any, out: Any, start: int, stop: int) -> Any:
    """Rows [start, stop) of `out` as `_widen`, by way of tiles that stay in cache whatever the distance of rows."""
    tile = np.empty((_TILE, _TILE), np.uint32)
    highest = np.uint32(0)
    for left in range(start, stop, _TILE):
        wide = min(_TILE, stop - left)
        for top in range(0, len(matrix), _TILE):
            high = min(_TILE, len(matrix) - top)
            for j in range(high):
                source = matrix[top + j, left : left + wide]
                for i in range(wide):
                    bits = np.uint32(source[i]) << shift
                    tile[i, j] = bits
                    highest = max(highest, bits & _EXPONENT)
            for i in range(wide):
                target = out[left + i, top : top + high]
                for j in range(high):
                    target[j] = tile[i, j]
    return highest


def _bits(stored: Stored) -> tuple[NDArray[Any], np.uint32]:
    """Contiguous unsigned integers, and by how much they are to be shifted to be bits of float32."""
    narrow = stored.dtype == np.uint16
    bits = np.ascontiguousarray(stored).view(np.uint16 if narrow else np.uint32)
    return frozen(bits), np.uint32(16 * narrow)


def widen(stored: Stored) -> tuple[Float32, bool]:
    """float32 numbers in the shape of `stored`, and whether all are finite.

    A float32 array that may be written to is returned itself, anything else gives a new array.
    """
    bits, shift = _bits(stored)
    flat = bits.reshape(-1)
    if stored.flags.writeable and not shift:
        return stored.view(np.float32), bool(max(run_ranges(_highest, len(flat), 1 << 16, flat)) < _EXPONENT)
    out = np.empty(stored.shape, np.float32)
    highest = run_ranges(_widen, len(flat), 1 << 16, flat, shift, out.view(np.uint32).reshape(-1))
    return out, bool(max(highest) < _EXPONENT)


def real_rows(stored: NDArray[np.int8], steps: NDArray[Any]) -> Float32:
    """stored[r] · 2^steps[r] for every row r, exact."""
    out, scale = np.empty(stored.shape, np.float32), np.ldexp(np.float32(1), steps.astype(np.int32))[:, None]

    def rows(start: int, stop: int) -> None:
        np.multiply(stored[start:stop], scale[start:stop], out=out[start:stop], dtype=np.float32)

    run_ranges(rows, len(out), 64)
    return out


def transpose(stored: Stored) -> tuple[Float32, bool]:
    """The transposed matrix as float32, contiguous, and whether all entries are finite."""
    bits, shift = _bits(stored)
    out = np.empty(stored.shape[::-1], np.float32)
    highest = run_ranges(_transpose, len(out), 64, bits, shift, out.view(np.uint32), align=_TILE)
    return out, bool(max(highest) < _EXPONENT)
