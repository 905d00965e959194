"""Compiled passes over tensors as they are read: widening, transposition, and the check for NaN and infinity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prover.kernels.threads import run_ranges

Float32 = NDArray[np.float32]

_TILE = 32
_EXPONENT = np.uint32(0x7F800000)


@njit(cache=True, nogil=True)
def _widen(raw: Any, out: Any, start: int, stop: int) -> None:
    source, target = raw[start:stop], out[start:stop]
    for i in range(len(source)):
        target[i] = np.uint32(source[i]) << 16


def widen_bfloat16(raw: NDArray[np.uint16]) -> Float32:
    """The float32 numbers whose upper halves are `raw`, in its shape."""
    flat = np.ascontiguousarray(raw).reshape(-1)
    out = np.empty(flat.shape, np.uint32)
    run_ranges(_widen, len(flat), 1 << 16, flat, out)
    return out.view(np.float32).reshape(raw.shape)


@njit(cache=True, nogil=True)
def _count_special(bits: Any, start: int, stop: int) -> int:
    found = 0
    part = bits[start:stop]
    for i in range(len(part)):
        found += (part[i] & _EXPONENT) == _EXPONENT
    return found


def all_finite(tensor: Float32) -> bool:
    """Whether no entry is NaN or infinite."""
    flat = np.ascontiguousarray(tensor).reshape(-1).view(np.uint32)
    return sum(run_ranges(_count_special, len(flat), 1 << 16, flat)) == 0


@njit(cache=True, nogil=True)
def _transpose(matrix: Any, out: Any, start: int, stop: int) -> None:
    """Rows [start, stop) of `out`, by way of tiles that stay in cache whatever the distance of rows."""
    tile = np.empty((_TILE, _TILE), np.float32)
    for left in range(start, stop, _TILE):
        wide = min(_TILE, stop - left)
        for top in range(0, len(matrix), _TILE):
            high = min(_TILE, len(matrix) - top)
            for j in range(high):
                source = matrix[top + j, left : left + wide]
                for i in range(wide):
                    tile[i, j] = source[i]
            for i in range(wide):
                target = out[left + i, top : top + high]
                for j in range(high):
                    target[j] = tile[i, j]


def transpose(matrix: Float32) -> Float32:
    """The transposed matrix, contiguous."""
    out = np.empty(matrix.shape[::-1], np.float32)
    run_ranges(_transpose, len(out), 64, np.ascontiguousarray(matrix), out, align=_TILE)
    return out
