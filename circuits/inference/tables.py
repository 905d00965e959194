"""Public tables of the inference program: integers nearest to real numbers (docs/inference.md §3).

An entry is the integer nearest to a real number, which float64 gives unless that number lies within rounding error of
the middle between two integers; there 60 decimal digits decide. So no table depends on a mathematical library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.profiles import PROTOCOL_LABEL

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]

_DIGITS = 60
_DOUBTFUL = 1e-6

OCTAVE = 256
"""Scores count 1/256 of an octave, a factor of two."""
EXP_BITS = 16
"""exp(z) = 2^(16 + z/256), rounded."""
EXP_LOW = -(1 << 18)
"""Smallest score that the table of powers holds."""
EXP_ZERO = -17 * OCTAVE
"""Scores below this have the power zero."""
ROOT_LOW, ROOT_HIGH = 1 << 12, 1 << 14
"""Mantissas m of a mean square."""
ROTARY_BITS = 10
"""Sines and cosines count 2^−10."""
RECIPROCAL_BITS = 31


def _nearest(approximate: Reals, exact: Callable[[int], Decimal]) -> Ints:
    """The nearest integers; `exact(i)` gives entry i with 60 digits where float64 leaves a doubt."""
    rounded = np.floor(approximate + 0.5)
    doubtful = np.flatnonzero(np.abs(approximate + 0.5 - np.rint(approximate + 0.5)) < _DOUBTFUL)
    found = rounded.astype(np.int64)
    with localcontext() as context:
        context.prec = _DIGITS
        for i in doubtful:
            found[i] = int((exact(int(i)) + Decimal("0.5")).to_integral_value(rounding="ROUND_FLOOR"))
    return found


@cache
def powers() -> Ints:
    """Entry i is round(2^(16 + z/256)) for z = EXP_ZERO + i, up to z = 255; below EXP_ZERO it is zero."""
    z = np.arange(EXP_ZERO, OCTAVE)
    approximate = np.exp2(EXP_BITS + z / OCTAVE)
    return _nearest(approximate, lambda i: Decimal(2) ** (EXP_BITS + Decimal(int(z[i])) / OCTAVE))


def inverse_root_scale(hidden: int) -> tuple[int, int]:
    """x with √hidden · 2^x in (2^16, 2^17], and the shift x − 9 that brings r · c to the unit 2^−9."""
    x = 0
    while hidden << (2 * x) <= 1 << 32:
        x += 1
    return x, x - 9


@cache
def inverse_roots(hidden: int) -> Ints:
    """Entry m − 2^12 is c(m) = round(√hidden · 2^x / √m), for m in [2^12, 2^14)."""
    x, _ = inverse_root_scale(hidden)
    m = np.arange(ROOT_LOW, ROOT_HIGH)
    approximate = np.sqrt(hidden / m) * 2.0**x
    return _nearest(approximate, lambda i: (Decimal(hidden) / Decimal(int(m[i]))).sqrt() * 2**x)


def reciprocal(total: Ints) -> Ints:
    """R = round(2^31 / total), halves up, for positive totals."""
    return ((1 << (RECIPROCAL_BITS + 1)) + total) // (2 * total)


@cache
def silu(unit: int, out_unit: int, bits: int) -> Ints:
    """Entry h + 2^(bits−1) is round(2^out_unit · x/(1 + e^−x)), x = h · 2^−unit."""
    h = np.arange(-(1 << (bits - 1)), 1 << (bits - 1))
    x = h / 2.0**unit
    with np.errstate(over="ignore"):
        approximate = 2.0**out_unit * x / (1 + np.exp(-x))

    def exact(i: int) -> Decimal:
        real = Decimal(int(h[i])) / 2**unit
        return 2**out_unit * real / (1 + (-real).exp())

    return _nearest(approximate, exact)


def turns(positions: int, pairs: int, size: int, theta: int, scale: tuple[int, int]) -> tuple[Ints, Ints]:
    """cos and sin (positions × pairs): round(1024 · κ · cos(t · θ^(−2i/size))) and the same with sin.

    Args:
        theta: θ, the base of the frequencies.
        scale: (n, f): κ = log2(e) · 2^f / √n; (0, 0) means κ = 1.
    """
    frequency = np.float64(theta) ** (-2 * np.arange(pairs) / size)
    angle = np.arange(positions)[:, None] * frequency
    factor = 2.0**ROTARY_BITS * (
        1 if scale == (0, 0) else np.log2(np.e) * 2.0 ** scale[1] / np.sqrt(scale[0])
    )

    def exact(i: int, part: int) -> Decimal:
        t, pair = divmod(i, pairs)
        turned = Decimal(t) * Decimal(theta) ** (Decimal(-2 * pair) / Decimal(size))
        kappa = Decimal(1)
        if scale != (0, 0):
            kappa = Decimal(2) ** scale[1] / Decimal(2).ln() / Decimal(scale[0]).sqrt()
        return 2**ROTARY_BITS * kappa * _circle(turned)[part]

    both = [
        _nearest((factor * values).reshape(-1), lambda i, part=part: exact(i, part)).reshape(positions, pairs)
        for part, values in enumerate((np.cos(angle), np.sin(angle)))
    ]
    return both[0], both[1]


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
    seed = PROTOCOL_LABEL + b"|head|" + str(size).encode()
    bits = np.frombuffer(hashlib.shake_256(seed).digest(size), dtype=np.uint8) & 1
    return 1 - 2 * bits.astype(np.int64)


def block(size: int) -> int:
    """The largest power of two that divides a head's size: entries are mixed in blocks of so many."""
    return size & -size
