"""Outlines in integers: points are int64 (n, 2) arrays of x, y in 1/256 pixel, y downwards.

Angles are in 1/65536 of a turn, clockwise on the screen from the x axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.int64]

TURN = 1 << 16
_UNIT_BITS = 14
_STEPS = 1024  # of the sine table, per turn
_COS_STEP, _SIN_STEP = 1152899801185339687, 7074193361797233  # of 1/1024 turn, 60 fractional bits


def _sine_table() -> NDArray[np.int64]:
    """Sine of one turn and a step in 14 fractional bits, by rotating with 60 bits: no floating point."""
    cosine, sine, found = 1 << 60, 0, []
    for _ in range(_STEPS + 1):
        found.append((sine + (1 << 45)) >> 46)
        cosine, sine = (
            (cosine * _COS_STEP - sine * _SIN_STEP) >> 60,
            (sine * _COS_STEP + cosine * _SIN_STEP) >> 60,
        )
    return np.array(found, dtype=np.int64)


_SINE = _sine_table()


def sine(angle: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Sine in 14 fractional bits, interpolated linearly between 1024 places."""
    wrapped = np.asarray(angle, dtype=np.int64) % TURN
    index, part = wrapped >> 6, wrapped & 63
    return (_SINE[index] * (64 - part) + _SINE[index + 1] * part + 32) >> 6


def cosine(angle: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Cosine in 14 fractional bits."""
    return sine(np.asarray(angle, dtype=np.int64) + TURN // 4)


def points(rows: Sequence[tuple[int, int]]) -> Points:
    """An array of points."""
    return np.array(rows, dtype=np.int64)


def rotated(shape: Points, angle: int, centre: tuple[int, int] = (0, 0)) -> Points:
    """Turned clockwise by `angle` about `centre`."""
    c, s = int(cosine(angle)), int(sine(angle))
    x, y = shape[:, 0] - centre[0], shape[:, 1] - centre[1]
    turned = np.stack([x * c - y * s, x * s + y * c], axis=1)
    return ((turned + (1 << (_UNIT_BITS - 1))) >> _UNIT_BITS) + np.array(centre, dtype=np.int64)


def mirrored(shape: Points, axis: int) -> Points:
    """Left and right exchanged about the vertical line x = axis, with the same sense of rotation."""
    flipped = shape[::-1].copy()
    flipped[:, 0] = 2 * axis - flipped[:, 0]
    return flipped


def ellipse(x: int, y: int, across: int, down: int, angle: int = 0, count: int = 64) -> Points:
    """Half axes `across` and `down`, turned by `angle`."""
    turns = np.arange(count, dtype=np.int64) * TURN // count
    round_ = np.stack([cosine(turns) * across, sine(turns) * down], axis=1)
    flat = ((round_ + (1 << (_UNIT_BITS - 1))) >> _UNIT_BITS) + np.array([x, y], dtype=np.int64)
    return rotated(flat, angle, (x, y)) if angle else flat


def closed(knots: Points, steps: int = 8) -> Points:
    """Closed Catmull-Rom curve through the knots; a knot given twice is a corner."""
    return _spline(np.concatenate([knots[-1:], knots, knots[:2]]), steps)


def opened(knots: Points, steps: int = 8) -> Points:
    """Open Catmull-Rom curve from the first to the last knot."""
    first, last = 2 * knots[:1] - knots[1:2], 2 * knots[-1:] - knots[-2:-1]
    return np.concatenate([_spline(np.concatenate([first, knots, last]), steps), knots[-1:]])


@cache
def _spline_weights(n: int) -> NDArray[np.int64]:
    """Weights (n, 4, 1) of four knots, times 2 n^3, at n places from the second on."""
    t = np.arange(n, dtype=np.int64)
    weights = np.stack(
        [
            -t * n * n + 2 * t * t * n - t**3,
            2 * n**3 - 5 * t * t * n + 3 * t**3,
            t * n * n + 4 * t * t * n - 3 * t**3,
            t**3 - t * t * n,
        ],
        axis=1,
    )
    return weights[:, :, None]


def _spline(knots: Points, steps: int) -> Points:
    """Uniform Catmull-Rom segments between all knots but the outer two, `steps` points each."""
    w, count = _spline_weights(steps), len(knots) - 3
    first, second, third, fourth = (w[None, :, i] * knots[i : i + count, None] for i in range(4))
    sums = first + second + third + fourth
    return ((sums + steps**3) // (2 * steps**3)).reshape(-1, 2)


def lengths(vectors: Points) -> NDArray[np.int64]:
    """Length of each vector, rounded down, at least 1."""
    return np.array([max(1, isqrt(x * x + y * y)) for x, y in vectors.tolist()], dtype=np.int64)


def stroke(line: Points, widths: Sequence[int]) -> Points:
    """Outline of a brush stroke along a line; half widths are interpolated from `widths`, ends are round."""
    count = len(line)
    places = np.arange(count, dtype=np.int64) * (len(widths) - 1) * 256 // max(1, count - 1)
    index = np.minimum(places >> 8, len(widths) - 2)
    part = places - (index << 8)
    given = np.array(widths, dtype=np.int64)
    half = (given[index] * (256 - part) + given[index + 1] * part) >> 8
    ahead = np.concatenate([line[1:], line[-1:]]) - np.concatenate([line[:1], line[:-1]])
    length = lengths(ahead)
    side = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1) * half[:, None] // length[:, None]
    along = ahead * half[:, None] // length[:, None]
    start = line[:1] - along[:1]
    end = line[-1:] + along[-1:]
    return np.concatenate([start, line - side, end, (line + side)[::-1]])


def grown(shape: Points, by: int) -> Points:
    """Every point moved outwards by `by` along the outline's normal (clockwise on the screen)."""
    ahead = np.concatenate([shape[1:], shape[:1]]) - np.concatenate([shape[-1:], shape[:-1]])
    length = lengths(ahead)
    outward: Points = np.stack([ahead[:, 1], -ahead[:, 0]], axis=1)
    return shape + outward * by // length[:, None]
