"""Public functions as tables of integers nearest to real numbers (docs/inference.md §3).

An entry is the integer nearest to a real number, which float64 gives unless that number lies within rounding error of
the middle between two integers; there 60 decimal digits decide. So no table depends on a mathematical library.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache, lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]

_DIGITS = 60
_DOUBTFUL = 1e-6
_KEPT = 8
"""Tables of a kind that stay in memory: a verifier meets parameters of strangers."""

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
RECIPROCAL_BITS = 31


def nearest(approximate: Reals, exact: Callable[[int], Decimal]) -> Ints:
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
    return nearest(approximate, lambda i: Decimal(2) ** (EXP_BITS + Decimal(int(z[i])) / OCTAVE))


@lru_cache(maxsize=_KEPT)
def inverse_roots(hidden: int, x: int) -> Ints:
    """Entry m − 2^12 is c(m) = round(√hidden · 2^x / √m), for m in [2^12, 2^14)."""
    m = np.arange(ROOT_LOW, ROOT_HIGH)
    approximate = np.sqrt(hidden / m) * 2.0**x
    return nearest(approximate, lambda i: (Decimal(hidden) / Decimal(int(m[i]))).sqrt() * Decimal(2) ** x)


def multiples(square: int, high: int) -> Ints:
    """Entry s ≤ `high` is round(√square · 2^s)."""
    return np.array([(isqrt(square << (2 * s + 2)) + 1) // 2 for s in range(high + 1)], np.int64)


@lru_cache(maxsize=_KEPT)
def odds(unit: int, bits: int, size: int) -> Ints:
    """Entry D < size is 2^bits · e^(−D · 2^−unit), rounded up: how likely a token is beside another one."""
    distance = np.arange(size)
    approximate = 2.0**bits * np.exp(-distance * 2.0**-unit)
    found = np.ones(size, np.int64)
    near = np.flatnonzero(approximate > 2.0**-18)  # what is less is 1, like everything below it

    def exact(i: int) -> Decimal:
        return Decimal(2) ** bits * (-Decimal(int(near[i])) / Decimal(2) ** unit).exp() + Decimal("0.5")

    found[near] = nearest(approximate[near] + 0.5, exact)  # no other entry than the first is an integer
    found[0] = 1 << bits
    return found


@lru_cache(maxsize=_KEPT)
def score_caps(height: int, cap: int) -> Ints:
    """Entry x + height is round(L · tanh(x / L)), L = 256 · log2(e) · cap: a score in 256ths of an octave, capped."""
    return _capped(np.arange(-height, height), lambda: Decimal(OCTAVE * cap) / Decimal(2).ln())


@lru_cache(maxsize=_KEPT)
def logit_caps(height: int, clamp: int, cap: int, unit: int) -> Ints:
    """Entry x + height is round(L · tanh(x' / L)), L = cap · 2^unit, x' = x brought into ±clamp."""
    x = np.clip(np.arange(-height, height), -clamp, clamp)
    return _capped(x, lambda: Decimal(cap) * Decimal(2) ** unit)


def _capped(x: Ints, limit: Callable[[], Decimal]) -> Ints:
    """round(L · tanh(x / L)), the limit L with 60 digits."""
    with localcontext() as context:
        context.prec = _DIGITS
        real = float(limit())

    def exact(i: int) -> Decimal:
        cap = limit()
        power = (-2 * abs(Decimal(int(x[i]))) / cap).exp()
        return (cap * (1 - power) / (1 + power)).copy_sign(Decimal(int(x[i])))

    return nearest(real * np.tanh(x / real), exact)


def reciprocal(total: Ints) -> Ints:
    """R = round(2^31 / total), halves up, for positive totals."""
    return ((1 << (RECIPROCAL_BITS + 1)) + total) // (2 * total)


def _silu(x: Reals) -> Reals:
    with np.errstate(over="ignore"):
        return x / (1 + np.exp(-x))


def _silu_exact(x: Decimal) -> Decimal:
    return x / (1 + (-x).exp())


def _gelu_tanh(x: Reals) -> Reals:
    # (1 + tanh y) / 2 = 1 / (1 + e^(−2y)), which keeps its digits where it is small
    with np.errstate(over="ignore"):
        return x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _gelu_tanh_exact(x: Decimal) -> Decimal:
    return x / (1 + (-2 * (2 / _PI).sqrt() * (x + Decimal("0.044715") * x**3)).exp())


def _gelu(x: Reals) -> Reals:
    found = np.empty_like(x)
    found[:] = [math.erfc(-real) for real in (x / math.sqrt(2)).tolist()]
    return x * found / 2


def _gelu_exact(x: Decimal) -> Decimal:
    """x · (1 + erf(x / √2)) / 2, by the series of erf; far from zero the tail is below every unit."""
    if abs(x) > 12:
        return x if x > 0 else Decimal(0)
    with localcontext() as context:
        context.prec = _DIGITS + 80  # the series loses as many digits as its largest term has
        z = x / Decimal(2).sqrt()
        term = total = z
        n = 0
        while abs(term) > Decimal(10) ** -_DIGITS:
            n += 1
            term = -term * z * z / n
            total += term / (2 * n + 1)
        found = x * (1 + 2 * total / _PI.sqrt()) / 2
    return found


_PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798"
)
_ACTIVATIONS: dict[str, tuple[Callable[[Reals], Reals], Callable[[Decimal], Decimal]]] = {
    "silu": (_silu, _silu_exact),
    "gelu": (_gelu, _gelu_exact),
    "gelu_tanh": (_gelu_tanh, _gelu_tanh_exact),
}


@lru_cache(maxsize=_KEPT)
def activation(kind: str, unit: int, out_unit: int, bits: int) -> Ints:
    """Entry h + 2^(bits−1) is round(2^out_unit · f(x)), x = h · 2^−unit, f one of silu, gelu, gelu_tanh.

    silu x = x / (1 + e^−x); gelu x = x · Φ(x); gelu_tanh x = x / (1 + e^−2y), y = √(2/π) · (x + 0.044715 · x³).
    """
    plain, exactly = _ACTIVATIONS[kind]
    h = np.arange(-(1 << (bits - 1)), 1 << (bits - 1))

    def exact(i: int) -> Decimal:
        return Decimal(2) ** out_unit * exactly(Decimal(int(h[i])) / Decimal(2) ** unit)

    return nearest(2.0**out_unit * plain(h / 2.0**unit), exact)
