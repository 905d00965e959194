"""Public maps on the heads of the inference program: rotary embedding, signs and blocks (docs/inference.md §3)."""

from __future__ import annotations

from decimal import Decimal
from functools import cache, lru_cache

import numpy as np

from huref.circuits.program.functions import Ints, nearest
from huref.circuits.program.rotation import hadamard, public_signs

ROTARY_BITS = 10
"""Sines and cosines count 2^−10."""


@lru_cache(maxsize=8)  # every layer asks for the same
def turns(
    positions: int, pairs: int, size: int, theta: int, scale: tuple[int, int], stretch: int = 1
) -> tuple[Ints, Ints]:
    """cos and sin (positions × pairs): round(1024 · κ · cos(t/stretch · θ^(−2i/size))) and the same with sin.

    Args:
        theta: θ, the base of the frequencies.
        scale: (n, f): κ = log2(e) · 2^f / √n; (0, 0) means κ = 1.
    """
    frequency = np.float64(theta) ** (-2 * np.arange(pairs) / max(1, size))
    angle = np.arange(positions)[:, None] / stretch * frequency
    factor = 2.0**ROTARY_BITS * (
        1 if scale == (0, 0) else np.log2(np.e) * 2.0 ** scale[1] / np.sqrt(scale[0])
    )

    def exact(i: int, part: int) -> Decimal:
        t, pair = divmod(i, pairs)
        turned = Decimal(t) / stretch * Decimal(theta) ** (Decimal(-2 * pair) / Decimal(size))
        kappa = Decimal(1)
        if scale != (0, 0):
            kappa = Decimal(2) ** scale[1] / Decimal(2).ln() / Decimal(scale[0]).sqrt()
        return 2**ROTARY_BITS * kappa * _circle(turned)[part]

    cosine = nearest((factor * np.cos(angle)).reshape(-1), lambda i: exact(i, 0))
    sine = nearest((factor * np.sin(angle)).reshape(-1), lambda i: exact(i, 1))
    for table in (cosine, sine):
        table.flags.writeable = False  # kept for the next call
    return cosine.reshape(angle.shape), sine.reshape(angle.shape)


def _circle(angle: Decimal) -> tuple[Decimal, Decimal]:
    """cos and sin by their series, after halving the angle until it is small."""
    halvings = 0
    while abs(angle) > Decimal("0.01"):
        angle /= 2
        halvings += 1
    cosine, sine, term = Decimal(1), Decimal(0), Decimal(1)
    for n in range(1, 40):
        term = term * angle / n
        signed = term if n % 4 in (0, 1) else -term
        if n % 2:
            sine += signed
        else:
            cosine += signed
    for _ in range(halvings):
        cosine, sine = cosine * cosine - sine * sine, 2 * sine * cosine
    return cosine, sine


@cache
def head_signs(size: int) -> Ints:
    """Public random signs of the entries of a head, (size,)."""
    return public_signs("head", size).astype(np.int64)


def block(size: int) -> int:
    """The largest power of two up to 128 that divides a head's size: entries are mixed in blocks of so many."""
    return min(128, size & -size)


@cache
def block_signs(n: int) -> Ints:
    """How a block is mixed: −1 where i & j has an odd number of ones, else 1, (n, n), n a power of two."""
    signs = hadamard(np.eye(n, dtype=np.int32)).astype(np.int64)
    signs.flags.writeable = False
    return signs
