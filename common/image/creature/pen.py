"""What all parts of a creature share: the canvas, the traits, the fur's ramp and the place of the head."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import numpy as np

from huref.common.image.creature.curves import Points
from huref.common.image.creature.palette import coat_ramp
from huref.common.image.creature.raster import Canvas, Colour, Mask, coverage, coverages
from huref.common.image.creature.traits import UNIT, Traits

CENTRE = np.array([256 << 8, 286 << 8], dtype=np.int64)
"""Origin of the head's coordinates in the picture. It never moves: a moved picture is far away for every distance."""

Painted = tuple[Points, Colour, Colour | None]
"""An outline in the head's coordinates with its colour, and the colour at its bottom if that is another."""


def px(value: int) -> int:
    """Pixels as 1/256 pixel."""
    return value << 8


class Pen:
    """Masks of outlines, given in the picture or in the head's coordinates (origin between the eyes' height)."""

    def __init__(self, canvas: Canvas, traits: Traits) -> None:
        self.canvas, self.traits = canvas, traits
        self.ramp = coat_ramp(traits)

    def on_head(self, *outlines: Points) -> Mask | None:
        """Coverage of outlines in the head's coordinates."""
        return coverage([outline + CENTRE for outline in outlines])

    @staticmethod
    def on_picture(*outlines: Points) -> Mask | None:
        """Coverage of outlines in the picture's coordinates."""
        return coverage(outlines)

    def fill_all(self, painted: Sequence[Painted]) -> None:
        """Fill outlines in the head's coordinates, one after the other."""
        masks = coverages([[outline + CENTRE] for outline, _, _ in painted])
        for mask, (_, colour, below) in zip(masks, painted, strict=True):
            self.canvas.fill(mask, colour, below)

    def tone(self, low: int, high: int, *shares: tuple[str, int]) -> int:
        """A tone from low to high, by a sum of traits with shares in 1/256, bounded smoothly."""
        return low + ((high - low) * (self.mix(*shares) + UNIT) >> 13)

    def mix(self, *shares: tuple[str, int]) -> int:
        """Sum of traits with shares in 1/256, between -UNIT and UNIT."""
        return bounded(sum(self.traits.raw(name) * share for name, share in shares) >> 8)


def bounded(value: int, knee: int = UNIT * 6 // 10) -> int:
    """value / sqrt(value^2 + knee^2), times UNIT: steep about 0, flat far out."""
    return value * UNIT // isqrt(value * value + knee * knee)
