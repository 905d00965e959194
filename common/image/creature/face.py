"""Eyes, muzzle and markings of the face."""

from __future__ import annotations

import numpy as np

from huref.common.image.creature.coat import Head
from huref.common.image.creature.curves import closed, ellipse, grown, opened, points, rotated, stroke
from huref.common.image.creature.palette import INK, coloured, mixed
from huref.common.image.creature.pen import Pen, px
from huref.common.image.creature.traits import UNIT

_SHADE = (20, 12, 30)
_WHITE = (255, 255, 255)


def paint_markings(pen: Pen, head: Head) -> None:
    """A bridge from the forehead to the nose, and a patch about each eye."""
    t = pen.traits
    wide = t.of("bridge_width", px(12), px(40))
    colour = pen.ramp.at(pen.tone(16, 250, ("bridge_tone", 230), ("muzzle_tone", 60)))
    h = head.height
    knots = [
        (0, -h * 150 >> 8),
        (wide * 5 // 8, -h * 110 >> 8),
        (wide // 2, -h * 10 >> 8),
        (wide, h * 100 >> 8),
    ]
    shape = closed(points(knots + [(-x, y) for x, y in reversed(knots[1:])]))
    pen.canvas.fill(pen.on_head(shape), colour, mixed(colour, _SHADE, 20))
    size = t.of("patch_size", 330, 500)
    x, y, eye = eye_place(pen, head)
    for side, name in ((1, "patch_right"), (-1, "patch_left")):
        tone = pen.tone(14, 250, (name, 200), ("coat", -70))
        patch = ellipse(
            side * x,
            y + px(3),
            eye * size >> 8,
            eye * (size + 40) >> 8,
            side * t.of("patch_slant", -3500, 3500),
        )
        patch_colour = pen.ramp.at(tone)
        pen.canvas.fill(pen.on_head(patch), patch_colour, mixed(patch_colour, _SHADE, 20))


def eye_place(pen: Pen, head: Head) -> tuple[int, int, int]:
    """Distance from the middle, height, and half axis of an eye."""
    t = pen.traits
    x = t.of("eye_apart", px(49), px(65))
    return x, t.of("eye_height", -px(27), -px(11)), t.of("eye_size", px(22), px(30))


def paint_eyes(pen: Pen, head: Head) -> None:
    """Both eyes: rim, iris, pupil, lights, lid, brow."""
    t = pen.traits
    x, y, size = eye_place(pen, head)
    down = size * t.of("eye_aspect", 190, 275) >> 8
    slant = t.of("eye_slant", -4200, 4200)
    tone = t.of("iris_tone", 105, 215)
    iris = coloured(tone, t.raw("iris_warm"), t.raw("iris_green"), 300)
    pupil = t.of("pupil", 120, 205)
    narrow = t.of("pupil_shape", 90, 256)
    lid = t.grown("lid", 20, 190)
    brow_tone = t.of("brow_tone", 10, 235)
    for side in (-1, 1):
        middle = side * x
        rim = ellipse(middle, y, size + px(5), down + px(5), side * slant)
        pen.canvas.fill(pen.on_head(rim), INK)
        eye = pen.on_head(ellipse(middle, y, size, down, side * slant))
        pen.canvas.fill(eye, mixed(iris, _SHADE, 90), mixed(iris, _WHITE, 60))
        inner = ellipse(middle, y, (size * pupil >> 8) * narrow >> 8, down * pupil >> 8, side * slant // 2)
        pen.canvas.fill(pen.on_head(inner), (16, 12, 20))
        if eye is not None:
            drop = y - down * 2 + (2 * down * lid >> 8)
            top = ellipse(middle, drop - down, size * 2, down * 2, side * slant)
            hood = pen.on_head(top)
            if hood is not None:
                pen.canvas.fill(eye.within(hood.whole()), mixed(INK, pen.ramp.at(90), 90))
        pen.canvas.fill(pen.on_head(ellipse(middle - size // 3, y - down // 3, size // 4, size // 4)), _WHITE)
        pen.canvas.fill(
            pen.on_head(ellipse(middle + size // 3, y + down // 3, size // 8, size // 8)), _WHITE, opacity=190
        )
        brow = opened(points([(-size, px(3)), (0, -px(5)), (size, px(4))]))
        width = t.of("brow_width", px(3), px(9))
        bent = rotated(brow, side * t.of("brow_angle", -4200, 4200)) + np.array([middle, y - down - px(17)])
        colour = pen.ramp.at(brow_tone)
        pen.canvas.fill(pen.on_head(stroke(bent, (width // 2, width, width // 2))), colour)


def paint_muzzle(pen: Pen, head: Head) -> None:
    """Chin, mouth, two cushions, nose, whiskers."""
    t = pen.traits
    y = t.of("muzzle_place", px(52), px(58))
    width, height = t.of("muzzle_width", px(44), px(84)), t.of("muzzle_height", px(26), px(46))
    tone = t.of("muzzle_tone", 84, 252)
    colour = pen.ramp.at(tone)
    dark = mixed(colour, _SHADE, 150)
    line_y = y + height * 5 // 8
    # chin and open mouth
    smile = t.of("smile", -px(7), px(17))
    mouth = t.of("mouth_width", width * 110 >> 8, width * 220 >> 8)
    opening = t.grown("mouth_open", px(2), px(44))
    chin_colour = pen.ramp.at(pen.tone(50, 250, ("chin_tone", 220), ("muzzle_tone", 60)))
    chin = ellipse(0, line_y + px(6), mouth * 3 // 4 + px(8), opening + px(20))
    pen.canvas.fill(pen.on_head(grown(chin, px(3))), mixed(chin_colour, _SHADE, 110))
    pen.canvas.fill(pen.on_head(chin), chin_colour, mixed(chin_colour, _SHADE, 40))
    gape = closed(
        points(
            [
                (-mouth * 5 // 8, line_y - px(6)),
                (0, line_y - px(10)),
                (mouth * 5 // 8, line_y - px(6)),
                (mouth * 3 // 8, line_y + opening * 3 // 4),
                (0, line_y + opening),
                (-mouth * 3 // 8, line_y + opening * 3 // 4),
            ]
        )
    )
    hole = pen.on_head(gape)
    pen.canvas.fill(hole, (58, 22, 34))
    tongue = pen.on_head(ellipse(0, line_y + opening, mouth * 3 // 8, opening * 5 // 8 + px(2)))
    if hole is not None and tongue is not None:
        pen.canvas.fill(tongue.within(hole.whole()), (232, 112, 118), (200, 78, 92))
    fang = t.grown("fangs", px(1), px(20))
    for side in (-1, 1):
        x = side * mouth * 3 // 8
        shape = points([(x - px(5), line_y), (x + px(5), line_y), (x, line_y + fang)])
        pen.canvas.fill(pen.on_head(shape), (250, 246, 236))
    # cushions
    rims, lobes = [], []
    for side in (-1, 1):
        knots = [
            (-side * width // 12, y - height // 2),
            (side * width * 5 // 8, y - height * 3 // 4),
            (side * width, y - smile // 3),
            (side * mouth * 7 // 8, line_y + px(4) - smile),
            (side * width * 3 // 8, line_y + px(9)),
            (-side * width // 30, line_y - px(1)),
        ]
        lobe = closed(points(knots if side > 0 else knots)[::side], steps=8)
        lobes.append(lobe)
        rims.append(grown(lobe, px(4)) + np.array([0, px(1)]))
    pen.canvas.fill(pen.on_head(*rims), dark)
    pen.canvas.fill(pen.on_head(*lobes), mixed(colour, _WHITE, 40), mixed(colour, _SHADE, 30))
    nose_w, nose_h = t.of("nose_width", px(14), px(32)), t.of("nose_height", px(11), px(23))
    nose_y = y - height * 5 // 8
    split = stroke(points([(0, nose_y), (0, line_y)]), (px(2), px(3)))
    pen.canvas.fill(pen.on_head(split), mixed(colour, INK, 200))
    for side in (-1, 1):
        for index in range(3):
            spot = ellipse(
                side * (width * (3 + index) // 8), y + ((index % 2) * 2 - 1) * px(5), px(2), px(2), count=16
            )
            pen.canvas.fill(pen.on_head(spot), mixed(colour, INK, 170))
    length = t.of("whiskers", px(30), px(80))
    for side in (-1, 1):
        for index in range(3):
            start = (side * width * 3 // 4, y + (index - 1) * px(7))
            end = (side * (width * 3 // 4 + length), y + (index - 1) * (px(9) + length // 4) - px(4))
            half_way = ((start[0] + end[0]) // 2, (start[1] + end[1]) // 2 - px(5))
            hair = stroke(opened(points([start, half_way, end])), (px(2), px(2), 90))
            pen.canvas.fill(pen.on_head(hair), mixed(_WHITE, INK, 40), opacity=190)
    nose_tone = t.of("nose_tone", 24, 150)
    nose = coloured(nose_tone, t.of("nose_warm", -UNIT // 4, UNIT), -UNIT // 3, 200)
    outline = closed(
        points(
            [
                (0, nose_y - nose_h * 3 // 4),
                (nose_w * 3 // 4, nose_y - nose_h * 5 // 8),
                (nose_w, nose_y - nose_h // 8),
                (nose_w // 2, nose_y + nose_h * 5 // 8),
                (0, nose_y + nose_h),
                (-nose_w // 2, nose_y + nose_h * 5 // 8),
                (-nose_w, nose_y - nose_h // 8),
                (-nose_w * 3 // 4, nose_y - nose_h * 5 // 8),
            ]
        )
    )
    pen.canvas.fill(pen.on_head(grown(outline, px(3)) + np.array([0, px(1)])), mixed(nose, _SHADE, 190))
    pen.canvas.fill(pen.on_head(outline), mixed(nose, _WHITE, 40), mixed(nose, _SHADE, 80))
    shine = ellipse(-nose_w // 4, nose_y - nose_h * 3 // 8, nose_w // 3, nose_h // 5)
    pen.canvas.fill(pen.on_head(shine), _WHITE, opacity=120)
