"""How much a neuron or a row of a head may count: in proportion to its size, up to twice the median.

Every committed row is an int8 row times 2^step, so the sum of the steps of a neuron's rows is its size in octaves,
whatever scale was moved from one row to another. The cap lies one octave above the median of the whole model, which is
interpolated inside its octave: a model that drifts by a little moves the cap by a little.
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


@dataclass(frozen=True)
class Cap:
    """The octave m of the median, with the counts that show it: of all influences of a kind, `alive` are ≥ ALIVE,
    `at` are ≥ m and `above` are ≥ m + 1."""

    octave: int
    alive: int
    at: int
    above: int

    @property
    def canonical(self) -> bool:
        """m is the octave with at ≥ alive / 2 > above; ALIVE where nothing lives."""
        if self.alive == 0:
            return self.octave == ALIVE
        return 2 * self.at >= self.alive > 2 * self.above

    @property
    def part(self) -> int:
        """How far into its octave the median lies, in sixteenths, if the influences fill it evenly."""
        inside = 2 * (self.at - self.above)
        return min(CAP_PARTS - 1, CAP_PARTS * (2 * self.at - self.alive) // inside) if inside else 0


def find_cap(influence: Int64) -> Cap:
    """The canonical cap of all influences of one kind, of the whole model."""
    living = np.sort(influence[influence >= ALIVE])
    if not len(living):
        return Cap(ALIVE, 0, 0, 0)
    octave = int(living[len(living) - -(-len(living) // 2)])
    return Cap(octave, len(living), int((living >= octave).sum()), int((living > octave).sum()))


def multipliers(influence: Int64, cap: Cap, bits: int, *, interpolated: bool) -> Int64:
    """μ of every influence: 2^bits · 2^(influence − m − 1 − part/16), rounded, at most 2^bits; 0 for what is not alive.

    The part is that of the cap if `interpolated`, else 0: then multipliers are powers of two.
    """
    return octaves(influence, cap.octave, root_of(cap, interpolated), bits)


def root_of(cap: Cap, interpolated: bool) -> int:
    """2^16 · 2^(−part/16)."""
    return ROOTS[cap.part if interpolated else 0]


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
