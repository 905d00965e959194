"""Lookup tables of the inference program, by kind (protocol §6.5). Tuples and parameters:

- limbs (H, b): hi in [−H, H), lo in [−2^(b−1), 2^(b−1)) → (hi, lo)
- joined (H, b): the same → (hi, lo, hi · 2^b + lo)
- power (low, high): s in [low, high] → (s, 2^s, ⌊2^s / 2⌋)
- coarse (low, high, most): s in [low, high] → (s, s − most where that is above 0, else 0)
- shifted (C, low, H₀, H₁, …): s = low + i, h in [−H_i, H_i) → (s, h, h clipped to ±C)
- quads (start, width, top): e in [0, top] → (e, f, b), f = 2^(2e − start) if that is in [1, 2^width), else 0;
  b = 2e − start brought into [0, width]
- powers (): z in [−2^18, 256) → (z, 2^(16 + z/256)), with 0 below −17·256
- reciprocals (low, high): S in [low, high) → (S, 2^31 / S)
- silu, gelu, gelu_tanh (H, C, finer, k₁, k₂, …): for every k ascending, h in [−H, H) → (k, h, the function of h·2^−k
  clipped to ±C, at the unit k + finer)
- roots (d, x): m in [2^12, 2^14) → (m, √d · 2^x / √m)
- odds (k, b): D in [0, 2^17) → (D, E div 2^b, E mod 2^b), E = 2^(2b) · e^(−D · 2^−k), rounded up
- multiples (n, high): s in [0, high] → (s, √n · 2^s)
- score_caps (H, n): x in [−H, H) → (x, L · tanh(x / L)), L = 256 · log2(e) · n
- logit_caps (H, C, n, k): x in [−H, H) → (x, L · tanh(x' / L)), L = n · 2^k, x' = x clipped to ±C
- scales (d, x, top): e in [0, top], m in [2^12, 2^14) → (e, m, c(m) · 2^(top − e)), c as in roots
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.functions import (
    EXP_LOW,
    EXP_ZERO,
    OCTAVE,
    ROOT_HIGH,
    ROOT_LOW,
    activation,
    inverse_roots,
    logit_caps,
    multiples,
    odds,
    powers,
    reciprocal,
    score_caps,
)

Ints = NDArray[np.int64]
ACTIVATION_BITS = 16
DISTANCE_BITS = 17
"""No logit is further below the claimed one."""


class Kind(Protocol):
    """A kind of table with its parameters."""

    @property
    def size(self) -> int:
        """Number of entries."""
        ...

    def columns(self, index: Ints) -> tuple[Ints, ...]:
        """Tuple components of these entries."""
        ...

    def index(self, values: tuple[Ints, ...]) -> Ints:
        """Entries of honest tuples, from the components that determine them."""
        ...


@dataclass(frozen=True)
class Limbs:
    """Pairs of signed limbs."""

    height: int
    bits: int

    @property
    def size(self) -> int:
        return 2 * self.height << self.bits

    def columns(self, index: Ints) -> tuple[Ints, ...]:
        return (index >> self.bits) - self.height, (index & ((1 << self.bits) - 1)) - (1 << (self.bits - 1))

    def index(self, values: tuple[Ints, ...]) -> Ints:
        return ((values[0] + self.height) << self.bits) + values[1] + (1 << (self.bits - 1))


@dataclass(frozen=True)
class Joined(Limbs):
    """Pairs of signed limbs, and the number that they are."""

    def columns(self, index: Ints) -> tuple[Ints, ...]:
        high, low = super().columns(index)
        return high, low, (high << self.bits) + low


@dataclass(frozen=True)
class Power:
    """Powers of two, with what rounding adds."""

    low: int
    high: int

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    def columns(self, index: Ints) -> tuple[Ints, ...]:
        power = np.left_shift(1, index + self.low)
        return index + self.low, power, power >> 1

    def index(self, values: tuple[Ints, ...]) -> Ints:
        return values[0] - self.low


class Shifted:
    """A clamp whose reach depends on the shift before it."""

    def __init__(self, clamp: int, low: int, *heights: int) -> None:
        self.clamp, self.low, self.heights = clamp, low, np.array(heights, np.int64)
        self.starts = np.array([0, *accumulate(2 * height for height in heights)], np.int64)

    @property
    def size(self) -> int:
        return int(self.starts[-1])

    def columns(self, index: Ints) -> tuple[Ints, ...]:
        run = np.searchsorted(self.starts, index, side="right") - 1
        h = index - self.starts[run] - self.heights[run]
        return run + self.low, h, np.clip(h, -self.clamp, self.clamp)

    def index(self, values: tuple[Ints, ...]) -> Ints:
        run = np.clip(values[0] - self.low, 0, len(self.heights) - 1)
        return np.asarray(self.starts[run] + values[1] + self.heights[run])


@dataclass(frozen=True)
class Quads:
    """A digit of 4^e, and how many bits a remainder below 4^e has there."""

    start: int
    width: int
    top: int

    @property
    def size(self) -> int:
        return self.top + 1

    def columns(self, index: Ints) -> tuple[Ints, ...]:
        bit = 2 * index - self.start
        inside = (bit >= 0) & (bit < self.width)
        digit = np.where(inside, np.left_shift(1, np.where(inside, bit, 0)), 0)
        return index, digit, np.clip(bit, 0, self.width)

    def index(self, values: tuple[Ints, ...]) -> Ints:
        return values[0]


@dataclass(frozen=True)
class Function:
    """Pairs (x, values[x − first])."""

    first: int
    values: Ints

    @property
    def size(self) -> int:
        return len(self.values)

    def columns(self, index: Ints) -> tuple[Ints, ...]:
        return index + self.first, self.values[index]

    def index(self, values: tuple[Ints, ...]) -> Ints:
        return values[0] - self.first


class Activation:
    """An activation at several units."""

    def __init__(self, kind: str, height: int, clamp: int, finer: int, *units: int) -> None:
        self.height, self.units, half = height, np.array(units, np.int64), 1 << (ACTIVATION_BITS - 1)
        inner = np.clip(np.arange(-height, height), -clamp, clamp) + half
        tables = [activation(kind, unit, unit + finer, ACTIVATION_BITS) for unit in units]
        self.values = np.concatenate([table[inner] for table in tables])

    @property
    def size(self) -> int:
        return len(self.values)

    def columns(self, index: Ints) -> tuple[Ints, ...]:
        which, place = np.divmod(index, 2 * self.height)
        return self.units[which], place - self.height, self.values[index]

    def index(self, values: tuple[Ints, ...]) -> Ints:
        return np.searchsorted(self.units, values[0]) * (2 * self.height) + values[1] + self.height


@dataclass(frozen=True)
class Scales:
    """What brings a head of a given length to norm one, by mantissa and exponent of its square."""

    size_of_head: int
    scale: int
    top: int

    @property
    def size(self) -> int:
        return (self.top + 1) * (ROOT_HIGH - ROOT_LOW)

    def columns(self, index: Ints) -> tuple[Ints, ...]:
        e, place = np.divmod(index, ROOT_HIGH - ROOT_LOW)
        found = inverse_roots(self.size_of_head, self.scale)[place]
        return e, place + ROOT_LOW, np.left_shift(found, self.top - e)

    def index(self, values: tuple[Ints, ...]) -> Ints:
        return values[0] * (ROOT_HIGH - ROOT_LOW) + values[1] - ROOT_LOW


@dataclass(frozen=True)
class Odds:
    """How likely a token is beside one that is so much better, in two digits."""

    unit: int
    bits: int

    @property
    def size(self) -> int:
        return 1 << DISTANCE_BITS

    def columns(self, index: Ints) -> tuple[Ints, ...]:
        found = odds(self.unit, 2 * self.bits, self.size)[index]
        return index, found >> self.bits, found & ((1 << self.bits) - 1)

    def index(self, values: tuple[Ints, ...]) -> Ints:
        return values[0]


def _powers() -> Function:
    zeros = np.zeros(EXP_ZERO - EXP_LOW, np.int64)
    values = np.concatenate([zeros, powers()])
    if len(values) != OCTAVE - EXP_LOW:
        raise AssertionError("the table of powers does not end at an octave")
    return Function(EXP_LOW, values)


def _reciprocals(low: int, high: int) -> Function:
    return Function(low, reciprocal(np.arange(low, high)))


def _multiples(square: int, high: int) -> Function:
    return Function(0, multiples(square, high))


def _coarse(low: int, high: int, most: int) -> Function:
    return Function(low, np.maximum(0, np.arange(low, high + 1) - most))


def _roots(hidden: int, scale: int) -> Function:
    return Function(ROOT_LOW, inverse_roots(hidden, scale)[: ROOT_HIGH - ROOT_LOW])


def _score_caps(height: int, cap: int) -> Function:
    return Function(-height, score_caps(height, cap))


def _logit_caps(height: int, clamp: int, cap: int, unit: int) -> Function:
    return Function(-height, logit_caps(height, clamp, cap, unit))


KINDS: dict[str, tuple[int, Callable[..., Kind]]] = {
    "limbs": (2, Limbs),
    "joined": (3, Joined),
    "power": (3, Power),
    "coarse": (2, _coarse),
    "shifted": (3, Shifted),
    "quads": (3, Quads),
    "powers": (2, _powers),
    "reciprocals": (2, _reciprocals),
    "silu": (3, partial(Activation, "silu")),
    "gelu": (3, partial(Activation, "gelu")),
    "gelu_tanh": (3, partial(Activation, "gelu_tanh")),
    "roots": (2, _roots),
    "multiples": (2, _multiples),
    "scales": (3, Scales),
    "odds": (3, Odds),
    "score_caps": (2, _score_caps),
    "logit_caps": (2, _logit_caps),
}
"""Length of the tuples, and what makes the kind from its parameters."""
