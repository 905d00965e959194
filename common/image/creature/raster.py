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
    start = np.concatenate(outlines)
    end = np.concatenate([part for outline in outlines for part in (outline[1:], outline[:1])])
    (low_x, low_y), (high_x, high_y) = start.min(0).tolist(), start.max(0).tolist()
    left, right = max(0, low_x >> 8), min(SIZE - 1, high_x >> 8)
    top, bottom = max(0, low_y >> 8), min(SIZE - 1, high_y >> 8)
    if left > right or top > bottom:
        return None
    first = np.minimum(start[:, 1], end[:, 1])
    last = np.maximum(start[:, 1], end[:, 1])
    lowest = np.maximum((first + _STEP // 2 - 1) // _STEP, top * _LINES)
    highest = np.minimum((last + _STEP // 2 - 1) // _STEP, (bottom + 1) * _LINES)
    counts = np.maximum(highest - lowest, 0)
    edge = np.repeat(np.arange(len(start)), counts)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + lowest[edge]
    dy = (end[:, 1] - start[:, 1])[edge]
    height = line * _STEP + _STEP // 2 - start[edge, 1]
    x = start[edge, 0] + (end[:, 0] - start[:, 0])[edge] * height // dy
    x = np.clip(x - (left << 8), 0, (right + 1 - left) << 8)
    sign = np.where(dy > 0, 1, -1)
    width = right - left + 3
    cell = (line // _LINES - top) * width + (x >> 8)
    part = x & 255
    total = np.zeros((bottom - top + 1) * width, dtype=np.int64)
    np.add.at(total, cell, sign * (256 - part))
    np.add.at(total, cell + 1, sign * part)
    sums = np.abs(np.cumsum(total.reshape(-1, width), axis=1)[:, :-2])
    cover = np.minimum((sums + _LINES // 2) // _LINES, FULL).astype(np.int32)
    return Mask(top, left, cover)


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
