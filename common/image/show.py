"""Pictures for people: side by side in one image, and as coloured half blocks in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def side_by_side(pictures: Sequence[Picture], gap: int = 8) -> Picture:
    """Join (H, W, 3) pictures of one size in a row on white, `gap` pixels apart."""
    height = pictures[0].shape[0]
    space = np.full((height, gap, 3), 255, dtype=np.uint8)
    parts = [part for picture in pictures for part in (space, picture)][1:]
    return np.concatenate(parts, axis=1)


def grid(pictures: Sequence[Picture], columns: int) -> Picture:
    """Join pictures of one size row by row without gaps; the last row is filled up with white."""
    blank = np.full_like(pictures[0], 255)
    filled = [*pictures, *[blank] * (-len(pictures) % columns)]
    rows = [np.concatenate(filled[i : i + columns], axis=1) for i in range(0, len(filled), columns)]
    return np.concatenate(rows, axis=0)


def terminal_picture(picture: Picture, columns: int = 48) -> str:
    """Text of `columns` characters a line: each shows two pixels, one above the other (24-bit ANSI colour)."""
    height, width = picture.shape[:2]
    rows = max(1, round(columns * height / width / 2)) * 2
    down = (np.arange(rows) * 2 + 1) * height // (2 * rows)
    across = (np.arange(columns) * 2 + 1) * width // (2 * columns)
    small = picture[down][:, across]
    lines = []
    for above, below in zip(small[::2], small[1::2], strict=True):
        cells = [
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]}m\x1b[48;2;{b[0]};{b[1]};{b[2]}m\u2580"
            for a, b in zip(above, below, strict=True)
        ]
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)
