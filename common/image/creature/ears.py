"""Ears and horns: a bent axis with a width along it."""

from __future__ import annotations

import numpy as np

from huref.common.image.creature.coat import Head
from huref.common.image.creature.curves import Points, closed, cosine, lengths, mirrored, sine
from huref.common.image.creature.palette import SHADE, coloured, mixed
from huref.common.image.creature.pen import Pen, px
from huref.common.image.creature.traits import UNIT

_PARTS = 10


def _axis(base: Points, length: int, angle: int, bend: int) -> Points:
    """Points along an arc that starts at `base` at `angle` from upright and turns by `bend` in all."""
    place, found = base.astype(np.int64), [base.astype(np.int64)]
    for part in range(_PARTS):
        turn = angle + bend * (part * 2 + 1) * (part * 2 + 1) // (4 * _PARTS * _PARTS)
        place = place + (np.array([int(sine(turn)), -int(cosine(turn))]) * (length // _PARTS) >> 14)
        found.append(place)
    return np.array(found)


def _leaf(axis: Points, width: int, tip: int, share: int = 256) -> Points:
    """Outline about an axis: narrow root, wide middle, a tip of half width `tip`, all times share/256."""
    profile = (210, 240, 256, 262, 260, 250, 232, 206, 172, 130, 80)
    steps = np.arange(_PARTS + 1)
    narrow = np.array(profile) * width >> 8
    blunt = np.minimum(256, (_PARTS - steps) * 40 + 205) * width >> 8
    half = (narrow + (blunt - narrow) * tip // 256) * share >> 8
    ahead = np.concatenate([axis[1:], axis[-1:]]) - np.concatenate([axis[:1], axis[:-1]])
    norm = lengths(ahead)
    side = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1) * half[:, None] // norm[:, None]
    end = axis[-1:] + ahead[-1:] * (half[-1] * 9 // 10) // norm[-1:, None]
    knots = np.concatenate([(axis - side)[::2], end, (axis + side)[::-2]])
    return closed(knots, steps=6)


def paint_ears(pen: Pen, head: Head) -> None:
    """Both ears with their inner side and tips."""
    t = pen.traits
    inner_tone = t.of("ear_inner_tone", 70, 240)
    inner = mixed(pen.ramp.at(inner_tone), coloured(inner_tone, UNIT, -UNIT, 200), 120)
    outer = pen.ramp.at(pen.tone(20, 244, ("ear_tone", 210)))
    end_colour = pen.ramp.at(pen.tone(20, 244, ("ear_tip_tone", 230), ("ear_tone", 50)))
    base, _ = head.at(t.of("ear_place", 5800, 7000), 216)
    length, width, tip = (
        t.of("ear_length", px(76), px(140)),
        t.of("ear_width", px(29), px(44)),
        t.of("ear_tip", 0, 256),
    )
    angle, bend = t.of("ear_splay", 1700, 5200), t.grown("ear_bend", -1000, 12000)
    share = t.of("ear_tip_size", 40, 150)
    for side in (-1, 1):
        axis = _axis(base, length, angle, bend + side * t.raw("ear_uneven") * 1300 // UNIT)
        inside = axis + (axis[0] - axis) // 6 + (axis[4] - axis[0]) // 10
        shapes = (_leaf(axis, width + px(5), tip), _leaf(axis, width, tip), _beyond(axis, share))
        rim, flap, far, hollow = (
            shape if side > 0 else mirrored(shape, 0) for shape in (*shapes, _leaf(inside, width, tip, 140))
        )
        pen.canvas.fill(pen.on_head(rim + np.array([0, px(1)])), mixed(outer, SHADE, 120))
        mask, tips = pen.on_head(flap), pen.on_head(far)
        pen.canvas.fill(mask, outer, mixed(outer, SHADE, 30))
        if mask is not None and tips is not None:
            pen.canvas.fill(mask.within(tips.whole()), end_colour, mixed(end_colour, SHADE, 30))
        pen.canvas.fill(pen.on_head(hollow), mixed(inner, SHADE, 60), inner)


def _beyond(axis: Points, share: int) -> Points:
    """All that lies farther out than share/256 from the tip of an ear, with a notch in the middle."""
    end = axis[_PARTS]
    cut = end + ((axis[0] - end) * share >> 8)
    way = end - axis[_PARTS - 5]
    across = np.array([-way[1], way[0]])
    near = (cut - across * 3 - way // 3, cut, cut + across * 3 - way // 3)
    return np.stack([*near, end + way * 3 + across * 3, end + way * 3 - across * 3])


def paint_horns(pen: Pen, head: Head) -> None:
    """Two horns between the ears; very short ones are hidden in the fur."""
    t = pen.traits
    length = t.grown("horn_length", px(8), px(110))
    tone = t.of("horn_tone", 30, 240)
    colour = coloured(tone, UNIT // 2, 0, 150)
    for side in (-1, 1):
        base, _ = head.at(3400, 220)
        axis = _axis(base, length, 1800, t.of("horn_bend", -9000, 15000))
        half = px(13) + length // 16
        shape = _leaf(axis, half, 0)
        placed = shape if side > 0 else mirrored(shape, 0)
        pen.canvas.fill(pen.on_head(placed + np.array([px(2), px(2)])), mixed(colour, SHADE, 140))
        mask = pen.on_head(placed)
        pen.canvas.fill(mask, colour, mixed(colour, SHADE, 70))
