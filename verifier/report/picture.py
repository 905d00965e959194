"""Two fingerprints for the eyes: their pictures side by side with the numbers, as a PNG and in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from huref.common.image.show import side_by_side, terminal_picture
from huref.common.text import escape

_GAP = 8
_TEXT, _LINE, _MARGIN = 14, 20, 6
_SMALL = 256
_NAME_LETTERS = 34


def captioned(
    pictures: Sequence[NDArray[np.uint8]], names: Sequence[str], lines: Sequence[str]
) -> NDArray[np.uint8]:
    """One picture (H, W, 3): the pictures, small ones enlarged, a name under each, and lines under all."""
    factor = max(1, _SMALL // pictures[0].shape[1])
    large = [picture.repeat(factor, axis=0).repeat(factor, axis=1) for picture in pictures]
    row = side_by_side(large, _GAP)
    height, width = row.shape[:2]
    canvas = Image.new("RGB", (width, height + _LINE * (1 + len(lines)) + 2 * _MARGIN), "white")
    canvas.paste(Image.fromarray(row), (0, 0))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_TEXT)
    for index, name in enumerate(names):
        place = (index * (width + _GAP) // len(names) + _MARGIN, height + _MARGIN)
        draw.text(place, _printable(name), fill=(90, 90, 90), font=font)
    for index, line in enumerate(lines):
        draw.text((_MARGIN, height + _MARGIN + _LINE * (1 + index)), line, fill="black", font=font)
    return np.asarray(canvas).copy()


def in_terminal(
    pictures: Sequence[NDArray[np.uint8]], names: Sequence[str], lines: Sequence[str], columns: int = 80
) -> str:
    """The same as text in 24-bit colour, `columns` wide."""
    half = columns // len(names)
    labels = "".join(_printable(name)[: half - 1].ljust(half) for name in names).rstrip()
    return "\n".join([terminal_picture(side_by_side(pictures, _GAP), columns), labels, *lines])


def _printable(name: str) -> str:
    shown = escape(name)
    return shown if len(shown) <= _NAME_LETTERS else shown[: _NAME_LETTERS - 1] + "…"
