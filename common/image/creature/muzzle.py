"""The lower face: chin and open mouth, two cushions, whiskers, nose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref.common.image.creature.curves import Points, closed, ellipse, grown, opened, points, stroke
from huref.common.image.creature.palette import INK, SHADE, WHITE, coloured, mixed
from huref.common.image.creature.pen import Pen, px
from huref.common.image.creature.raster import Colour
from huref.common.image.creature.traits import UNIT


@dataclass(frozen=True)
class _Muzzle:
    """Measures that several parts share, in 1/256 pixel; `line` is the height of the mouth."""

    y: int
    width: int
    height: int
    mouth: int
    line: int
    colour: Colour
    below: Colour


def paint_muzzle(pen: Pen) -> None:
    """All of it, from back to front."""
    t = pen.traits
    y = t.of("muzzle_place", px(53), px(57))
    width, height = t.of("muzzle_width", px(53), px(73)), t.of("muzzle_height", px(31), px(41))
    mouth = t.of("mouth_width", width * 138 >> 8, width * 198 >> 8)
    colour, below = (pen.ramp.at(t.of(name, 80, 252)) for name in ("muzzle_tone", "muzzle_low"))
    muzzle = _Muzzle(y, width, height, mouth, y + height * 5 // 8, colour, below)
    _paint_mouth(pen, muzzle)
    _paint_cushions(pen, muzzle)
    _paint_whiskers(pen, muzzle)
    _paint_nose(pen, muzzle)


def _symmetric(right: list[tuple[int, int]]) -> Points:
    """A closed curve through points from the middle above to the middle below, and their mirror images."""
    return closed(points([*right, *((-x, y) for x, y in reversed(right[1:-1]))]))


def _paint_mouth(pen: Pen, m: _Muzzle) -> None:
    t = pen.traits
    opening = t.grown("mouth_open", px(2), px(34))
    colour = pen.ramp.at(pen.tone(50, 250, ("chin_tone", 220)))
    chin = ellipse(0, m.line + px(6), m.mouth * 3 // 4 + px(8), opening + px(20))
    pen.canvas.fill(pen.on_head(grown(chin, px(3))), mixed(colour, SHADE, 110))
    pen.canvas.fill(pen.on_head(chin), colour, mixed(colour, SHADE, 40))
    corner = (m.mouth * 5 // 8, m.line - px(6))
    low = (m.mouth * 3 // 8, m.line + opening * 3 // 4)
    hole = pen.on_head(_symmetric([(0, m.line - px(10)), corner, low, (0, m.line + opening)]))
    pen.canvas.fill(hole, (58, 22, 34))
    tongue = pen.on_head(ellipse(0, m.line + opening, m.mouth * 3 // 8, opening * 5 // 8 + px(2)))
    if hole is not None and tongue is not None:
        pen.canvas.fill(tongue.within(hole.whole()), (232, 112, 118), (200, 78, 92))
    fang = t.grown("fangs", px(1), px(20))
    for x in (-m.mouth * 3 // 8, m.mouth * 3 // 8):
        tooth = points([(x - px(5), m.line), (x + px(5), m.line), (x, m.line + fang)])
        pen.canvas.fill(pen.on_head(tooth), (250, 246, 236))


def _paint_cushions(pen: Pen, m: _Muzzle) -> None:
    smile = pen.traits.of("smile", -px(5), px(13))
    lobes = []
    for side in (-1, 1):
        knots = [
            (-side * m.width // 12, m.y - m.height // 2),
            (side * m.width * 5 // 8, m.y - m.height * 3 // 4),
            (side * m.width, m.y - smile // 3),
            (side * m.mouth * 7 // 8, m.line + px(4) - smile),
            (side * m.width * 3 // 8, m.line + px(9)),
            (-side * m.width // 30, m.line - px(1)),
        ]
        lobes.append(closed(points(knots)[::side]))
    rims = [grown(lobe, px(4)) + np.array([0, px(1)]) for lobe in lobes]
    pen.canvas.fill(pen.on_head(*rims), mixed(m.colour, SHADE, 130))
    pen.canvas.fill(pen.on_head(*lobes), m.colour, m.below)
    split = stroke(points([(0, m.y - m.height * 5 // 8), (0, m.line)]), (px(2), px(3)))
    pen.canvas.fill(pen.on_head(split), mixed(m.colour, INK, 200))


def _paint_whiskers(pen: Pen, m: _Muzzle) -> None:
    length = pen.traits.of("whiskers", px(30), px(80))
    root, tip = m.width * 3 // 4, m.width * 3 // 4 + length
    for side in (-1, 1):
        for row in (-1, 0, 1):
            spot = ellipse(
                side * m.width * (4 + row) // 8, m.y + (1 - 2 * (row % 2)) * px(5), px(2), px(2), 0, 16
            )
            pen.canvas.fill(pen.on_head(spot), mixed(m.colour, INK, 170))
            start, end = m.y + row * px(7), m.y + row * (px(9) + length // 4) - px(4)
            knots = [
                (side * root, start),
                (side * (root + tip) // 2, (start + end) // 2 - px(5)),
                (side * tip, end),
            ]
            hair = stroke(opened(points(knots)), (px(2), px(2), 90))
            pen.canvas.fill(pen.on_head(hair), mixed(WHITE, INK, 40), opacity=190)


def _paint_nose(pen: Pen, m: _Muzzle) -> None:
    t = pen.traits
    w, h = t.of("nose_width", px(16), px(29)), t.of("nose_height", px(13), px(20))
    y = m.y - m.height * 5 // 8
    colour = coloured(t.of("nose_tone", 24, 150), t.of("nose_warm", -UNIT // 4, UNIT), -UNIT // 3, 200)
    right = [(w * 3 // 4, y - h * 5 // 8), (w, y - h // 8), (w // 2, y + h * 5 // 8)]
    shape = _symmetric([(0, y - h * 3 // 4), *right, (0, y + h)])
    pen.canvas.fill(pen.on_head(grown(shape, px(3)) + np.array([0, px(1)])), mixed(colour, SHADE, 190))
    pen.canvas.fill(pen.on_head(shape), mixed(colour, WHITE, 40), mixed(colour, SHADE, 80))
    pen.canvas.fill(pen.on_head(ellipse(-w // 4, y - h * 3 // 8, w // 3, h // 5)), WHITE, opacity=120)
