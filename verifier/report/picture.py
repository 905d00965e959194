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
    pictures: Sequence[NDArray[np.uint8]],
    names: Sequence[str],
    lines: Sequence[str],
    words: Sequence[str] = (),
) -> NDArray[np.uint8]:
    """One picture (H, W, 3): the pictures, small ones enlarged, a name and its words under each, lines under all."""
    factor = max(1, _SMALL // pictures[0].shape[1])
    large = [picture.repeat(factor, axis=0).repeat(factor, axis=1) for picture in pictures]
    row = side_by_side(large, _GAP)
    height, width = row.shape[:2]
    scale = max(1, large[0].shape[1] // _SMALL)
    step, margin = _LINE * scale, _MARGIN * scale
    captions = [[_printable(name)] for name in names]
    for caption, said in zip(captions, words, strict=bool(words)):
        caption += _in_two(said)
    under = len(captions[0])
    canvas = Image.new("RGB", (width, height + step * (under + len(lines)) + 2 * margin), "white")
    canvas.paste(Image.fromarray(row), (0, 0))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_TEXT * scale)
    for index, caption in enumerate(captions):
        left = index * (width + _GAP) // len(names) + margin
        for number, text in enumerate(caption):
            place = (left, height + margin + step * number)
            draw.text(place, text, fill=(90, 90, 90) if number == 0 else "black", font=font)
    for index, line in enumerate(lines):
        draw.text((margin, height + margin + step * (under + index)), line, fill="black", font=font)
    return np.asarray(canvas).copy()


def in_terminal(
    pictures: Sequence[NDArray[np.uint8]],
    names: Sequence[str],
    lines: Sequence[str],
    words: Sequence[str] = (),
    columns: int = 80,
) -> str:
    """The same as text in 24-bit colour, `columns` wide."""
    half = columns // len(names)
    labels = [[_printable(name) for name in names], *zip(*(_in_two(said) for said in words), strict=True)]
    under = ["".join(label[: half - 1].ljust(half) for label in row).rstrip() for row in labels]
    return "\n".join([terminal_picture(side_by_side(pictures, _GAP), columns), *under, *lines])


def _in_two(words: str) -> list[str]:
    """Two lines of three words each."""
    parts = words.split()
    return [" ".join(parts[: len(parts) // 2]), " ".join(parts[len(parts) // 2 :])]


def _printable(name: str) -> str:
    shown = escape(name)
    return shown if len(shown) <= _NAME_LETTERS else shown[: _NAME_LETTERS - 1] + "…"
