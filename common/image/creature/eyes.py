"""The upper face: a bridge down to the nose, patches about the eyes, eyes and brows."""

from __future__ import annotations

import numpy as np

from huref.common.image.creature.coat import Head
from huref.common.image.creature.curves import closed, ellipse, opened, points, rotated, stroke
from huref.common.image.creature.palette import INK, SHADE, WHITE, coloured, mixed
from huref.common.image.creature.pen import Pen, px


def paint_markings(pen: Pen, head: Head) -> None:
    """A bridge from the forehead to the nose, and a patch about each eye."""
    t = pen.traits
    wide, h = t.of("bridge_width", px(15), px(37)), head.height
    colour = pen.ramp.at(pen.tone(16, 250, ("bridge_tone", 230)))
    right = [(wide * 5 // 8, -h * 110 >> 8), (wide // 2, -h * 10 >> 8), (wide, h * 100 >> 8)]
    shape = closed(points([(0, -h * 150 >> 8), *right, *((-x, y) for x, y in reversed(right))]))
    pen.canvas.fill(pen.on_head(shape), colour, mixed(colour, SHADE, 20))
    x, y, eye = _eye_place(pen)
    across = eye * t.of("patch_size", 330, 420) >> 8
    slant = t.of("patch_slant", -2500, 2500)
    for side, name in ((1, "patch_right"), (-1, "patch_left")):
        colour, below = (pen.ramp.at(pen.tone(14, 250, (trait, 210))) for trait in (name, f"{name}_low"))
        patch = ellipse(side * x, y + px(3), across, across + eye * 40 // 256, side * slant)
        pen.canvas.fill(pen.on_head(patch), colour, below)


def _eye_place(pen: Pen) -> tuple[int, int, int]:
    """Distance from the middle, height, and half axis of an eye."""
    t = pen.traits
    return (
        t.of("eye_apart", px(56), px(61)),
        t.of("eye_height", -px(22), -px(16)),
        t.of("eye_size", px(24), px(28)),
    )


def paint_eyes(pen: Pen) -> None:
    """Both eyes: rim, iris, pupil, lid, lights, brow."""
    t = pen.traits
    x, y, size = _eye_place(pen)
    down = size * t.of("eye_aspect", 222, 258) >> 8
    slant = t.of("eye_slant", -1900, 1900)
    iris = coloured(t.of("iris_tone", 115, 205), t.raw("iris_warm"), t.raw("iris_green"), 300)
    pupil = t.of("pupil", 148, 182)
    narrow = t.of("pupil_shape", 145, 256)
    lid = (down * t.grown("lid", 20, 120) >> 7) - 3 * down
    hood_colour = mixed(INK, pen.ramp.at(90), 90)
    width = t.of("brow_width", px(4), px(8))
    line = opened(points([(-size, px(3)), (0, -px(5)), (size, px(4))]))
    for side in (-1, 1):
        middle = side * x
        pen.canvas.fill(pen.on_head(ellipse(middle, y, size + px(5), down + px(5), side * slant)), INK)
        eye = pen.on_head(ellipse(middle, y, size, down, side * slant))
        pen.canvas.fill(eye, mixed(iris, SHADE, 90), mixed(iris, WHITE, 60))
        inner = ellipse(middle, y, (size * pupil >> 8) * narrow >> 8, down * pupil >> 8, side * slant // 2)
        pen.canvas.fill(pen.on_head(inner), (16, 12, 20))
        hood = pen.on_head(ellipse(middle, y + lid, size * 2, down * 2, side * slant))
        if eye is not None and hood is not None:
            pen.canvas.fill(eye.within(hood.whole()), hood_colour)
        large = ellipse(middle - size // 3, y - down // 3, size // 4, size // 4)
        small = ellipse(middle + size // 3, y + down // 3, size // 8, size // 8)
        pen.canvas.fill(pen.on_head(large), WHITE)
        pen.canvas.fill(pen.on_head(small), WHITE, opacity=190)
        bent = rotated(line, side * t.of("brow_angle", -2100, 2100)) + np.array([middle, y - down - px(17)])
        brow = stroke(bent, (width // 2, width, width // 2))
        pen.canvas.fill(pen.on_head(brow), pen.ramp.at(t.of("brow_tone", 10, 235)))
