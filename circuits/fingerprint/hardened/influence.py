"""How much a neuron or a row of a head may count: octaves below a cap that three quarters of all reach.

Every committed row is an int8 row times 2^step, so the sum of the steps of a neuron's rows is its influence in octaves,
whatever scale was moved from one row to another. Above the cap all count alike, below it in proportion, and what has a
row of zeros among its factors (a closed gate, an output that is not written) counts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.constants import ALIVE, NOTHING


@dataclass(frozen=True)
class Cap:
    """The public cap c with the counts that show that it is the canonical one.

    `alive` neurons have an influence ≥ ALIVE, `at` of all ≥ c, `above` ≥ c + 1.
    """

    octave: int
    alive: int
    at: int
    above: int

    @property
    def canonical(self) -> bool:
        """c is the largest octave that three quarters of the living reach; ALIVE where nothing lives."""
        if self.alive == 0:
            return self.octave == ALIVE
        return 4 * self.at >= 3 * self.alive > 4 * self.above


def find_cap(influence: NDArray[np.int64]) -> Cap:
    """The canonical cap of all influences of one kind, of the whole model."""
    living = np.sort(influence[influence >= ALIVE])
    if not len(living):
        return Cap(ALIVE, 0, 0, 0)
    octave = int(living[len(living) - -(-3 * len(living) // 4)])
    at, above = int((living >= octave).sum()), int((living > octave).sum())
    return Cap(octave, len(living), at, above)


def octaves_below(influence: NDArray[np.int64], cap: int) -> NDArray[np.int64]:
    """t = min(max(cap − influence, 0), NOTHING), and NOTHING for what is not alive."""
    below = np.clip(cap - influence, 0, NOTHING)
    return np.where(influence < ALIVE, NOTHING, below).astype(np.int64)
