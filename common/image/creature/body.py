"""Below and behind the head: chest, scarf, mane."""

from __future__ import annotations

import numpy as np

from huref.common.image.creature.coat import Coat, Head, grown_at, lock, lock_parts
from huref.common.image.creature.curves import closed, opened, points, stroke
from huref.common.image.creature.palette import SHADE, coloured, mixed
from huref.common.image.creature.pen import Painted, Pen, px
from huref.common.image.creature.raster import soft

_ROWS = ((258, 9), (226, 8), (194, 7), (162, 6), (130, 5))
"""Rows of locks on the chest: height below the head's origin in pixels, number of locks."""

_DOWN = np.array([0, 1 << 12])


def paint_body(pen: Pen, head: Head, coat: Coat) -> None:
    """Shoulders of locks in rows, hanging down."""
    t = pen.traits
    neck, shoulders = t.of("neck", px(66), px(92)), t.of("shoulders", px(146), px(190))
    point = t.of("lock_point", 0, 256)
    locks: list[Painted] = []
    for row, (y, count) in enumerate(_ROWS):
        part = min(256, (y - 110) * 256 // 110)
        width = neck + ((shoulders - neck) * (512 - part) * part >> 16)
        half = width * 3 // (2 * count)
        shape = lock(px(40), half, point)
        for index in sorted(range(count), key=lambda i: -abs(2 * i - count + 1)):
            place = (2 * index - count + 1) * width // count
            base = points([(place, px(y - 24) + abs(place) // 6)])[0]
            outward = _DOWN + np.array([place // 24, 0])
            locks += lock_parts(coat, head, grown_at(shape, base, outward), base, row)
    pen.fill_all(locks)


def paint_scarf(pen: Pen, head: Head) -> None:
    """The head's soft shadow on the chest, a scarf about the neck, and its knot."""
    t = pen.traits
    shadow = pen.on_head(head.outline + np.array([0, px(18)]))
    if shadow is not None:
        pen.canvas.darken(soft(shadow.whole(), 12), 120)
    tone = t.of("scarf_tone", 50, 235)
    colour = coloured(tone, t.raw("scarf_warm"), t.raw("scarf_green"), 330)
    dark = mixed(colour, SHADE, 80)
    half, reach = t.of("scarf_width", px(13), px(29)), t.of("neck", px(120), px(142))
    y = px(150)
    knots = [
        (-reach, y - px(58)),
        (-reach * 5 // 8, y - px(14)),
        (0, y + px(12)),
        (reach * 5 // 8, y - px(14)),
    ]
    line = opened(points([*knots, (reach, y - px(58))]))
    shape = stroke(line, (half * 3 // 4, half, half, half, half * 3 // 4))
    pen.canvas.fill(pen.on_head(shape + np.array([0, px(6)])), SHADE, opacity=110)
    pen.canvas.fill(pen.on_head(shape), colour, dark)
    for share in (-1, 1):
        fold = stroke(line[4:-4] + np.array([0, share * half // 3]), (px(1), px(2), px(2), px(2), px(1)))
        pen.canvas.fill(pen.on_head(fold), dark)
    size, x, y = t.grown("scarf_knot", px(13), px(34)), px(52), y + px(2)
    for turn in (-1, 1):
        end = closed(
            points(
                [
                    (x, y),
                    (x + turn * size // 3 - size // 2, y + size * 9 // 4),
                    (x + turn * size + size // 2, y + size * 2),
                ]
            )[::-turn]
        )
        pen.canvas.fill(pen.on_head(end + np.array([0, px(3)])), SHADE, opacity=110)
        pen.canvas.fill(pen.on_head(end), colour, dark)
    knot = closed(
        points(
            [
                (x - size * 2 // 3, y - size // 3),
                (x, y - size * 2 // 3),
                (x + size * 2 // 3, y - size // 4),
                (x + size // 2, y + size * 2 // 3),
                (x - size // 2, y + size * 2 // 3),
            ]
        )
    )
    pen.canvas.fill(pen.on_head(knot + np.array([0, px(3)])), SHADE, opacity=90)
    pen.canvas.fill(pen.on_head(knot), mixed(colour, (255, 255, 255), 30), dark)


def paint_mane(pen: Pen, head: Head) -> None:
    """A ring of long locks behind the head."""
    t = pen.traits
    reach = t.grown("mane", px(13), px(39))
    tone = pen.tone(24, 236, ("mane_tone", 215))
    point = t.of("lock_point", 40, 256)
    locks: list[Painted] = []
    for fraction, count, change in ((262, 22, -34), (236, 22, 0)):
        colour = pen.ramp.at(tone + change)
        local = lock(reach, head.width * 52 // 256, point)
        for index in range(count):
            turn = (2 * index + (change != 0)) * 32768 // count
            base, outward = head.at(turn, fraction)
            shape = grown_at(local, base, outward)
            edge = shape + np.array([0, px(2)])
            locks += [(edge, mixed(colour, SHADE, 84), None), (shape, colour, None)]
    pen.fill_all(locks)
