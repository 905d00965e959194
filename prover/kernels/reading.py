"""Compiled passes over tensors as they are read: widening, transposition, and the check for NaN and infinity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prover.kernels.threads import run_ranges

Float32 = NDArray[np.float32]

_TILE = 16
_EXPONENT = np.uint32(0x7F800000)


@njit(cache=True, nogil=True)
def _widen(raw: Any, out: Any, start: int, stop: int) -> None:
    for i in range(start, stop):
        out[i] = np.uint32(raw[i]) << np.uint32(16)


def widen_bfloat16(raw: NDArray[np.uint16]) -> Float32:
    """The float32 numbers whose upper halves are `raw`, in its shape."""
    flat = np.ascontiguousarray(raw).reshape(-1)
    out = np.empty(flat.shape, np.uint32)
    run_ranges(_widen, len(flat), 1 << 16, flat, out)
    return out.view(np.float32).reshape(raw.shape)


@njit(cache=True, nogil=True)
def _count_special(bits: Any, start: int, stop: int) -> int:
    found = 0
    for i in range(start, stop):
        found += (bits[i] & _EXPONENT) == _EXPONENT
    return found


def all_finite(tensor: Float32) -> bool:
    """Whether no entry is NaN or infinite."""
    flat = np.ascontiguousarray(tensor).reshape(-1).view(np.uint32)
    return sum(run_ranges(_count_special, len(flat), 1 << 16, flat)) == 0


@njit(cache=True, nogil=True)
def _transpose(matrix: Any, out: Any, start: int, stop: int) -> None:
    """Rows [start, stop) of `out`, tile by tile."""
    for left in range(start, stop, _TILE):
        right = min(stop, left + _TILE)
        for top in range(0, len(matrix), _TILE):
            bottom = min(len(matrix), top + _TILE)
            for i in range(left, right):
                for j in range(top, bottom):
                    out[i, j] = matrix[j, i]


def transpose(matrix: Float32) -> Float32:
    """The transposed matrix, contiguous."""
    out = np.empty(matrix.shape[::-1], np.float32)
    run_ranges(_transpose, len(out), 64, np.ascontiguousarray(matrix), out, align=_TILE)
    return out
