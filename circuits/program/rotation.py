"""The public orthogonal matrix Q that mixes the hidden dimension, as integers (docs/inference.md §3).

Q is a transform of signs and a Walsh–Hadamard matrix of W entries, W the largest power of two up to the width; where
that is not all of it, a second one follows, with signs of its own, on the last W entries.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from math import isqrt
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", np.int32, np.float64)
PROTOCOL_LABEL = b"huref protocol 1"
"""Public pseudo-random tables that no challenge changes are drawn from SHAKE-256 of this label and their own name."""
MIX = "mix hidden"


def public_signs(name: str, size: int) -> NDArray[np.int32]:
    """Public random signs (size,)."""
    seed = PROTOCOL_LABEL + b"|" + name.encode() + b"|" + str(size).encode()
    bits = np.frombuffer(hashlib.shake_256(seed).digest(size), dtype=np.uint8) & 1
    return 1 - 2 * bits.astype(np.int32)


def windows(width: int) -> tuple[int, list[int]]:
    """W, and where the transforms of so many entries begin."""
    window = 1 << (width.bit_length() - 1)
    return window, [0] if window == width else [0, width - window]


def hadamard(columns: NDArray[Number]) -> NDArray[Number]:
    """The unscaled Walsh–Hadamard transform of every column of (W, n), W a power of two."""
    out, step = columns.copy(), 1
    while step < len(out):
        pairs = out.reshape(-1, 2, step, out.shape[1])
        out = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(out.shape)
        step *= 2
    return out


@lru_cache(maxsize=4)
def rotation(width: int, bits: int) -> NDArray[np.int32]:
    """Entry (i, j) is round(2^bits · Q[i, j]), halves up; a row x becomes x · Q."""
    window, starts = windows(width)
    first = public_signs(f"{MIX} 0", width)
    one = (isqrt((4 << (2 * bits)) // window) + 1) // 2  # 2^bits / √W, rounded
    h = hadamard(np.eye(window, dtype=np.int32))
    if len(starts) == 1:
        return np.asarray(first[:, None] * h * np.int32(one), np.int32)
    second, begin = public_signs(f"{MIX} 1", width), starts[1]
    out = np.zeros((width, width), np.int32)
    out[:window, :begin] = h[:, :begin] * one * second[:begin]
    inner = np.zeros((window, window), np.int32)
    inner[: window - begin] = (h[:, begin:] * second[begin:window]).T
    both = hadamard(inner).T  # row i, column j − begin: Σ_k H[i, k] · sign_k · H[k − begin, j − begin]
    below = window.bit_length() - 1 - bits
    out[:window, begin:] = both << -below if below <= 0 else (both + (1 << below >> 1)) >> below
    out[window:, begin:] = second[window:, None] * h[window - begin :] * one
    return np.asarray(first[:, None] * out, np.int32)
