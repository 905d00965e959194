"""Colours in integers. Tones run from 0 (dark) to 256 (light); colour moves away from grey at equal lightness."""

from __future__ import annotations

from dataclasses import dataclass

from huref.common.image.creature.raster import Colour
from huref.common.image.creature.traits import UNIT, Traits

_WARM = (62, -14, -74)
_GREEN = (-34, 20, -14)
"""Directions of equal lightness: orange against blue, green against magenta."""

INK = (38, 30, 40)
SHADE = (20, 12, 30)
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Ramp:
    """Knots of one material from dark to light, at tones 0, 96, 176 and 256."""

    knots: tuple[Colour, Colour, Colour, Colour]

    def at(self, tone: int) -> Colour:
        """Colour of a tone, clamped to 0..256."""
        tone = min(256, max(0, tone))
        for index, (low, high) in enumerate(((0, 96), (96, 176), (176, 256))):
            if tone <= high:
                part = (tone - low) * 256 // (high - low)
                return mixed(self.knots[index], self.knots[index + 1], part)
        raise AssertionError


def mixed(first: Colour, second: Colour, part: int) -> Colour:
    """From the first (0) to the second (256)."""
    a, b, c = (x + ((y - x) * part >> 8) for x, y in zip(first, second, strict=True))
    return a, b, c


def coloured(level: int, warm: int, green: int, strength: int = 256) -> Colour:
    """A colour of a lightness 0..255; warm and green between -UNIT and UNIT."""
    a, b, c = (
        min(255, max(0, level + ((x * warm + y * green) * strength // (UNIT << 8))))
        for x, y in zip(_WARM, _GREEN, strict=True)
    )
    return a, b, c


def coat_ramp(traits: Traits) -> Ramp:
    """The fur's ramp: near black, two middle tones that carry most of the colour, cream."""
    warm, green = (
        traits.of("coat_warm", -UNIT * 6 // 10, UNIT * 11 // 10),
        traits.of("coat_green", -UNIT, UNIT) // 2,
    )
    return Ramp(
        (
            coloured(34, warm, green, 60),
            coloured(104, warm, green, 210),
            coloured(178, warm, green, 210),
            coloured(243, warm, green, 50),
        )
    )
