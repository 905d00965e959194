"""How much a neuron or a row of a head may count: in proportion to its size, up to twice a quantile.

Every committed row is an int8 row times 2^step, so the sum of the steps of a neuron's rows is its size in octaves,
whatever scale was moved from one row to another. The cap lies octaves above a quantile of the whole model, which is
interpolated inside its octave: a model that drifts by a little moves the cap by a little.

The rows of heads have a cap that is far away; a head has one for the sum of its rows, and shares it with the heads of
its layer that are like it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALIVE = -64
"""An influence below this has a row of zeros among its factors, whose step is −100."""
IDLE = -128
"""Added to an influence whose gate's multiplier is zero."""
CAP_PARTS = 16
MEDIAN, LOWER_QUARTILE = 2, 3
"""Quarters of all that are as large as a quantile or larger."""
FULL = 5
"""Octaves by which a gate's multiplier may be below its largest before what it gates counts less."""
ROOTS = (
    65536,
    62757,
    60097,
    57549,
    55109,
    52773,
    50535,
    48393,
    46341,
    44376,
    42495,
    40693,
    38968,
    37316,
    35734,
    34219,
)
"""round(2^16 · 2^(−f/16)) for f = 0 … 15."""
_ROOT_BITS = 16

Int64 = NDArray[np.int64]
ALONE = 16
"""What a head's likeness to itself counts."""
MOST_HEADS = 1 << 8
"""Heads of a layer that can be compared."""
_MOST_HALVES = 16
"""Half octaves between a head that is alone and one that is as many as these."""


@dataclass(frozen=True)
class Cap:
    """The octave m of a quantile, with the counts that show it: of all influences of a kind, `alive` are ≥ ALIVE,
    `at` are ≥ m and `above` are ≥ m + 1. Of four, `quarters` are as large as a quantile or larger: 2 at the median."""

    octave: int
    alive: int
    at: int
    above: int

    def canonical(self, quarters: int = MEDIAN) -> bool:
        """m is the octave with at ≥ alive · quarters / 4 > above; ALIVE where nothing lives."""
        if self.alive == 0:
            return self.octave == ALIVE
        return 4 * self.at >= quarters * self.alive > 4 * self.above

    def part(self, quarters: int = MEDIAN) -> int:
        """How far into its octave the quantile lies, in sixteenths, if the influences fill it evenly."""
        inside = 4 * (self.at - self.above)
        reached = 4 * self.at - quarters * self.alive
        return min(CAP_PARTS - 1, CAP_PARTS * reached // inside) if inside else 0


def find_cap(influence: Int64, quarters: int = MEDIAN) -> Cap:
    """The canonical cap of all influences of one kind, of the whole model."""
    living = np.sort(influence[influence >= ALIVE])
    if not len(living):
        return Cap(ALIVE, 0, 0, 0)
    octave = int(living[len(living) - -(-quarters * len(living) // 4)])
    return Cap(octave, len(living), int((living >= octave).sum()), int((living > octave).sum()))


def multipliers(influence: Int64, cap: Cap, bits: int, *, interpolated: bool) -> Int64:
    """μ of every influence: 2^bits · 2^(influence − m − 1 − part/16), rounded, at most 2^bits; 0 for what is not alive.

    m is the median's octave. The part is that of the cap if `interpolated`, else 0: then multipliers are powers of two.
    """
    return octaves(influence, cap.octave, root_of(cap, interpolated), bits)


def root_of(cap: Cap, interpolated: bool, quarters: int = MEDIAN) -> int:
    """2^16 · 2^(−part/16)."""
    return ROOTS[cap.part(quarters) if interpolated else 0]


def lost(gate: Int64, bits: int) -> Int64:
    """What is added to an influence whose gate's multiplier, at most 2^bits, is this: an octave less for every octave
    that it is more than `FULL` below 2^bits, and `IDLE` where it is 0.
    """
    below = bits + 1 - np.searchsorted(1 << np.arange(bits + 1), gate, side="right")
    return np.where(gate == 0, IDLE, -np.maximum(0, below - FULL)).astype(np.int64)


def shared(multiplier: Int64, alike: Int64) -> Int64:
    """A multiplier divided by the root of a half octave that is next to alike / `ALONE`, never below 1; rounded."""
    powers = np.maximum(alike, ALONE).astype(np.int64) ** 4
    # the number c of half octaves: (alike / ALONE)^4 ≥ 2^(2c − 1)
    c = sum((powers >= (ALONE**4 << (2 * step - 1))).astype(np.int64) for step in range(1, _MOST_HALVES + 1))
    shift = _ROOT_BITS + c // 2
    scaled = multiplier * np.where(c % 2, ROOTS[CAP_PARTS // 2], ROOTS[0])
    return np.asarray((scaled + (np.int64(1) << (shift - 1))) >> shift)


def bounded(multiplier: Int64, total: Int64, root: int, unit: int) -> Int64:
    """A multiplier of a head whose multipliers sum to `total`, divided as by `shared`, by the ratio of that to unit ·
    2^16 / root.
    """
    return shared(multiplier, ALONE * total.astype(np.int64) * root // (unit << _ROOT_BITS))


def likeness(product: NDArray[np.integer], full: int, clamp: int) -> Int64:
    """clamp·(product / full)^4, rounded, for a product of two heads' scores, brought into [0, full]."""
    wide = np.clip(product, 0, full).astype(np.int64)
    return np.asarray((2 * clamp * wide**4 + full**4) // (2 * full**4))


def octaves(influence: Int64, octave: int, root: int, bits: int) -> Int64:
    """With j = octave + 1 − influence: 2^b for j < 0, else ⌊(root + 2^(j+15−b)) / 2^(j+16−b)⌋; 0 if not alive."""
    below = np.clip(octave + 1 - influence, -1, 2 * _ROOT_BITS)
    shift = _ROOT_BITS - bits + np.maximum(below, 0)
    found = (root + (np.int64(1) << (shift - 1))) >> shift
    return np.where(influence < ALIVE, 0, np.where(below < 0, 1 << bits, found)).astype(np.int64)


def octave_values(root: int, bits: int) -> tuple[int, ...]:
    """All multipliers that there can be, ascending."""
    falling = octaves(-np.arange(2 * _ROOT_BITS, dtype=np.int64), -1, root, bits)
    return tuple(sorted({0, 1 << bits, *(int(x) for x in falling)}))
