"""Painting in integers: exact horizontal coverage on four lines a pixel, soft shadows, layers on a canvas.

An outline is cut by four horizontal lines in every row of pixels; each crossing (in 1/256 pixel) adds its part of
the pixel that it falls in, and a running sum fills the row. Nothing is rounded but crossings and colours, to
integers, so that every machine paints the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.common.image.creature.curves import Points

SIZE = 512
"""Side of the picture in pixels."""

FULL = 256
"""Coverage of a pixel that lies wholly inside."""

_LINES = 4  # sampled in each row of pixels
_STEP = 256 // _LINES

Colour = tuple[int, int, int]
Plane = NDArray[np.int32]


@dataclass(frozen=True)
class Mask:
    """Coverage 0..256 of the pixels from (top, left) on."""

    top: int
    left: int
    cover: Plane

    @property
    def rows(self) -> slice:
        """Rows of the picture that it lies in."""
        return slice(self.top, self.top + self.cover.shape[0])

    @property
    def columns(self) -> slice:
        """Columns of the picture that it lies in."""
        return slice(self.left, self.left + self.cover.shape[1])

    def whole(self) -> Plane:
        """The same over the whole picture."""
        plane = np.zeros((SIZE, SIZE), dtype=np.int32)
        plane[self.rows, self.columns] = self.cover
        return plane

    def within(self, plane: Plane) -> Mask:
        """Cut by coverage over the whole picture."""
        return Mask(self.top, self.left, (self.cover * plane[self.rows, self.columns]) >> 8)


def coverage(outlines: Sequence[Points]) -> Mask | None:
    """Pixels covered by closed outlines of one sense of rotation together; None when they miss the picture."""
    return coverages([outlines])[0]


def coverages(shapes: Sequence[Sequence[Points]]) -> list[Mask | None]:
    """The coverage of each of several shapes, all cut at once: most are small."""
    start = np.concatenate([part for outlines in shapes for part in outlines])
    end = np.concatenate(
        [part for outlines in shapes for outline in outlines for part in (outline[1:], outline[:1])]
    )
    sizes = np.array([sum(map(len, outlines)) for outlines in shapes], dtype=np.int64)
    firsts, of = np.cumsum(sizes) - sizes, np.repeat(np.arange(len(shapes)), sizes)
    low, high = np.minimum.reduceat(start, firsts) >> 8, np.maximum.reduceat(start, firsts) >> 8
    (left, top), (right, bottom) = np.maximum(low, 0).T, np.minimum(high, SIZE - 1).T
    rows, width = np.maximum(bottom + 1 - top, 0), np.maximum(right + 3 - left, 2)
    place = np.cumsum(rows * width) - rows * width
    first = np.minimum(start[:, 1], end[:, 1])
    last = np.maximum(start[:, 1], end[:, 1])
    lowest = np.maximum((first + _STEP // 2 - 1) // _STEP, top[of] * _LINES)
    highest = np.minimum((last + _STEP // 2 - 1) // _STEP, (bottom[of] + 1) * _LINES)
    counts = np.maximum(highest - lowest, 0)
    edge = np.repeat(np.arange(len(start)), counts)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + lowest[edge]
    dy = (end[:, 1] - start[:, 1])[edge]
    height = line * _STEP + _STEP // 2 - start[edge, 1]
    x = start[edge, 0] + (end[:, 0] - start[:, 0])[edge] * height // dy
    shape = of[edge]
    x = np.clip(x - (left[shape] << 8), 0, (width[shape] - 2) << 8)
    sign = np.where(dy > 0, 1, -1)
    cell = place[shape] + (line // _LINES - top[shape]) * width[shape] + (x >> 8)
    part = x & 255
    total = np.zeros(int((rows * width).sum()), dtype=np.int64)
    np.add.at(total, cell, sign * (256 - part))
    np.add.at(total, cell + 1, sign * part)
    sums = np.abs(np.cumsum(total))  # what a line crosses adds up to zero: every row begins with nothing
    cover = np.minimum((sums + _LINES // 2) // _LINES, FULL).astype(np.int32)
    found = zip(place.tolist(), top.tolist(), left.tolist(), rows.tolist(), width.tolist(), strict=True)
    return [
        Mask(y, x, cover[at : at + n * m].reshape(n, m)[:, :-2]) if n and m > 2 else None
        for at, y, x, n, m in found
    ]


def soft(plane: Plane, radius: int) -> Plane:
    """Blurred by two box filters of 2 radius + 1 pixels in each direction; the border counts as empty."""
    wide = plane.astype(np.int64)
    for _ in range(2):
        for axis in (0, 1):
            pad = [(radius + 1, radius) if i == axis else (0, 0) for i in range(2)]
            sums = np.cumsum(np.pad(wide, pad), axis=axis)
            count = 2 * radius + 1
            ahead = sums[count:] if axis == 0 else sums[:, count:]
            behind = sums[:-count] if axis == 0 else sums[:, :-count]
            wide = (ahead - behind) // count
    return wide.astype(np.int32)


class Canvas:
    """Three planes of levels in 8 fractional bits."""

    def __init__(self, colour: Colour) -> None:
        self._planes = np.empty((3, SIZE, SIZE), dtype=np.int32)
        self._planes[:] = np.array(colour, dtype=np.int32)[:, None, None] << 8

    def fill(
        self, mask: Mask | None, colour: Colour, below: Colour | None = None, opacity: int = FULL
    ) -> None:
        """Paint a mask in one colour, or from `colour` at its top to `below` at its bottom."""
        if mask is None:
            return
        region = self._planes[:, mask.rows, mask.columns]
        upper = np.array(colour, dtype=np.int32)[:, None, None] << 8
        if below is not None:
            height = mask.cover.shape[0]
            down = np.arange(height, dtype=np.int32)[None, :, None] * 256 // height
            lower = np.array(below, dtype=np.int32)[:, None, None] << 8
            upper = upper + ((lower - upper) >> 8) * down
        cover = mask.cover if opacity == FULL else (mask.cover * opacity) >> 8
        region += ((upper - region) * cover) >> 8

    def darken(self, plane: Plane, strength: int) -> None:
        """Multiply by 1 - strength/256 where the plane is full; a cool shadow, so blue loses less."""
        for channel, share in enumerate((256, 256, 208)):
            factor = 65536 - plane * (strength * share >> 8)
            self._planes[channel] = (self._planes[channel] * (factor >> 6)) >> 10

    def lighten(self, plane: Plane, strength: int) -> None:
        """Towards white by strength/256 where the plane is full."""
        amount = (plane * strength) >> 8
        self._planes += (((255 << 8) - self._planes) * amount[None]) >> 8

    def picture(self) -> NDArray[np.uint8]:
        """Levels (SIZE, SIZE, 3)."""
        levels = np.clip((self._planes + 128) >> 8, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 2, 0))
