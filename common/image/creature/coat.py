"""The fur: locks of cut paper in rings about the face, each of one tone from a smooth field over the head.

The field is a sum of bumps whose heights are traits, half of them alike on both sides. A lock that changes its
tone changes the picture in proportion, so distance follows the cosine; its edges stay where they are, so the
picture stays sharp.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import numpy as np

from huref.common.image.creature.curves import Points, closed, points
from huref.common.image.creature.palette import SHADE, mixed
from huref.common.image.creature.pen import Painted, Pen, bounded, px
from huref.common.image.creature.raster import Colour
from huref.common.image.creature.traits import COAT_MODES, UNIT

_MIDDLE = ((0, -262), (0, -205), (0, -140), (0, -75), (0, -10), (0, 80), (0, 170), (0, 235), (0, 290))
_SIDES = (
    (75, -250), (150, -225), (65, -180), (135, -150), (205, -160), (75, -110), (170, -80), (245, -85),
    (110, -25), (200, 0), (262, 15), (150, 60), (225, 90), (255, 150), (150, 140), (195, 185),
    (95, 190), (130, 240), (65, 260),
)  # fmt: skip
_CHEST = ((0, 350), (0, 450), (110, 360), (-110, 360), (200, 440), (-200, 440), (110, 460), (-110, 460))
_REACH = 128
"""Of a bump; places are in 1/256 of the head's half width and half height."""

_UNEVEN = 170
"""Share in 1/256 of the modes that differ between left and right."""


def _bumps() -> tuple[tuple[tuple[int, int, int], ...], ...]:
    """For each mode, the places (x, y, weight) of its bumps."""
    modes: list[tuple[tuple[int, int, int], ...]] = [((x, y, 256),) for x, y in _MIDDLE + _CHEST]
    for x, y in _SIDES:
        modes.append(((x, y, 256), (-x, y, 256)))
        modes.append(((x, y, _UNEVEN), (-x, y, -_UNEVEN)))
    return tuple(modes)


MODES = _bumps()
if len(MODES) != COAT_MODES:
    raise ImportError("the coat's modes and their traits differ in number")


class Coat:
    """The field of tones of one creature."""

    def __init__(self, pen: Pen) -> None:
        self._heights = [pen.traits.raw(f"coat_{index}") for index in range(COAT_MODES)]
        self._base = pen.traits.raw("coat")
        self._ramp = pen.ramp

    def tone(self, x: int, y: int) -> int:
        """Tone 0..256 at a place of the head."""
        total, squares = 0, 1
        for height, mode in zip(self._heights, MODES, strict=True):
            weight = 0
            for u, v, share in mode:
                near = _REACH * _REACH - (x - u) ** 2 - (y - v) ** 2
                if near > 0:
                    weight += share * (near * near // (_REACH**4 >> 10)) >> 8
            total += height * weight
            squares += weight * weight
        value = bounded((self._base * 52 + (total // isqrt(squares)) * 256) >> 8, UNIT * 44 // 100)
        return 133 + (value * 119 >> 12)

    def colour(self, x: int, y: int, change: int = 0) -> Colour:
        """Colour at a place of the head, `change` tones lighter."""
        return self._ramp.at(self.tone(x, y) + change)


class Head:
    """The outline of the head, from its traits; places on it by fractions of its radius."""

    def __init__(self, pen: Pen) -> None:
        t = pen.traits
        self.height = t.of("head_height", px(122), px(128))
        crown, temple = t.of("crown", px(75), px(87)), t.of("temple", px(119), px(131))
        self.cheek, jaw = t.of("cheek", px(123), px(141)), t.of("jaw", px(81), px(105))
        self.width = (temple + self.cheek) // 2
        h, chin = self.height, t.of("chin", 255, 281)
        right = [
            (crown, -h * 208 >> 8), (temple, -h * 84 >> 8), (self.cheek, h * 76 >> 8), (jaw, h * 196 >> 8)
        ]  # fmt: skip
        self.outline = _outline(h, right, h * chin >> 8)
        self._middle = _outline(px(125), MIDDLE, px(131))

    def at(self, turn: int, fraction: int) -> tuple[Points, Points]:
        """Place at `turn` (1/65536 of the outline, from the top clockwise) and the direction outwards there."""
        count = len(self.outline)
        index, part = divmod((turn % 65536) * count, 65536)
        here, there = self.outline[index], self.outline[(index + 1) % count]
        moved = here + ((there - here) * part >> 16)
        middle = self._middle[index] + (
            (self._middle[(index + 1) % count] - self._middle[index]) * part >> 16
        )
        edge = middle + ((moved - middle) * (fraction**3 >> 16) >> 8)
        along = self.outline[(index + 3) % count] - self.outline[(index - 2) % count]
        outward = np.array([along[1], -along[0]]) + edge // 24
        return edge * fraction >> 8, outward


MIDDLE = ((px(81), -px(101)), (px(125), -px(41)), (px(132), px(37)), (px(93), px(96)))
"""Right side of the mean outline, which the inner locks keep to."""


def _outline(height: int, right: Sequence[tuple[int, int]], chin: int) -> Points:
    left = [(-x, y) for x, y in reversed(right)]
    return closed(points([(0, -height), *right, (0, chin), *left]), steps=32)


def lock(length: int, half: int, point: int) -> Points:
    """One lock, its root at the origin and its tip at (length, 0); `point` 0..256 from round to pointed."""
    tip = half * (230 - (point * 190 >> 8)) >> 8
    rows = [(-length * 6 // 10, half * 7 // 10), (length * 2 // 10, half), (length * 72 // 100, tip)]
    return closed(points([*rows, (length, 0), *((a, -b) for a, b in reversed(rows))])[::-1], steps=5)


def grown_at(shape: Points, base: Points, outward: Points) -> Points:
    """A lock moved to `base` and turned outwards."""
    along = outward * 4096 // max(1, isqrt(int(outward[0] ** 2 + outward[1] ** 2)))
    side = np.array([-along[1], along[0]])
    return base + ((shape[:, :1] * along + shape[:, 1:] * side) >> 12)


RINGS = ((256, 26), (216, 24), (176, 20), (136, 16), (96, 12), (56, 8), (20, 5))
"""Fraction of the head's radius, in 1/256, and number of locks."""


def paint_fur(pen: Pen, head: Head, coat: Coat) -> None:
    """All rings of the head, the outer ones first."""
    t = pen.traits
    point = t.of("lock_point", 0, 256)
    locks: list[Painted] = []
    for ring, (fraction, count) in enumerate(RINGS):
        reach = t.of("lock_length", px(20), px(27)) * (200 + fraction // 4) // 256
        half = head.width * fraction * 21 // (256 * 6 * count) + px(4)
        shape = lock(reach, half, point)
        places = [(2 * index + ring % 2) * 32768 // count for index in range(count)]
        for turn in sorted(places, key=lambda turn: abs(32768 - turn)):
            base, outward = head.at(turn, fraction - 22)
            locks += lock_parts(coat, head, grown_at(shape, base, outward), base, ring)
    pen.fill_all(locks)


def lock_parts(coat: Coat, head: Head, shape: Points, base: Points, ring: int) -> tuple[Painted, Painted]:
    """One lock: a darker edge below it, and itself with a lighter root."""
    x, y = int(base[0]) * 256 // head.width, int(base[1]) * 256 // head.height
    colour = coat.colour(x, y, (ring % 2) * 8)
    edge = shape + base // 30 + np.array([0, px(2)])
    return (edge, mixed(colour, SHADE, 76), None), (shape, colour, mixed(colour, SHADE, 24))
