"""Two fingerprints for the eyes: their pictures side by side with the numbers, as a PNG and in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from huref.common.image.show import side_by_side, terminal_picture
from huref.common.text import escape, shorten

_GAP = 8
_TEXT, _LINE, _MARGIN = 14, 20, 6
_SMALL = 256
_NAME_LETTERS = 34

Name = str | tuple[str, str]
"""What a side is called; with a mark that is always shown after it."""


def captioned(
    pictures: Sequence[NDArray[np.uint8]],
    names: Sequence[Name],
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
    font = ImageFont.load_default(_TEXT * scale)
    space = large[0].shape[1] - 2 * margin
    captions = [[_fitted(_printable(name), font, space)] for name in names]
    for caption, said in zip(captions, words, strict=bool(words)):
        caption += _in_two(said)
    under = max(map(len, captions))
    canvas = Image.new("RGB", (width, height + step * (under + len(lines)) + 2 * margin), "white")
    canvas.paste(Image.fromarray(row), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for index, caption in enumerate(captions):
        left = index * (width + _GAP) // len(names) + margin
        for number, text in enumerate(caption):
            place = (left, height + margin + step * number)
            draw.text(place, text, fill=(90, 90, 90) if number == 0 else "black", font=font)
    for index, line in enumerate(lines):
        draw.text((margin, height + margin + step * (under + index)), escape(line), fill="black", font=font)
    return np.asarray(canvas).copy()


def in_terminal(
    pictures: Sequence[NDArray[np.uint8]],
    names: Sequence[Name],
    lines: Sequence[str],
    words: Sequence[str] = (),
    columns: int = 80,
) -> str:
    """The same as text in 24-bit colour, `columns` wide."""
    half = columns // len(names)
    labels = [
        [_printable(name) for name in names],
        *zip_longest(*(_in_two(said) for said in words), fillvalue=""),
    ]
    under = ["".join(label[: half - 1].ljust(half) for label in row).rstrip() for row in labels]
    return "\n".join([terminal_picture(side_by_side(pictures, _GAP), columns), *under, *map(escape, lines)])


def _in_two(words: str) -> list[str]:
    """Two lines of three words each, and what follows in a line of its own."""
    first, *more = words.split("\n")
    parts = first.split()
    return [" ".join(parts[: len(parts) // 2]), " ".join(parts[len(parts) // 2 :]), *more]


def _printable(name: Name) -> str:
    """The name in one line, cut where it is too long; the mark after it never is."""
    text, mark = (name, "") if isinstance(name, str) else name
    return shorten(escape(text), _NAME_LETTERS - len(mark)) + mark


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, space: int) -> str:
    """Cut in the middle to `space` pixels, so that no name is written under another's picture."""
    shown, cut = text, len(text)
    while font.getlength(shown) > space and cut > 2:
        cut -= 2
        shown = f"{text[: cut // 2]}…{text[-(cut // 2) :]}"
    return shown


def matrix_picture(matrix: Sequence[Sequence[float]], side: int = 16) -> NDArray[np.uint8]:
    """A matrix of cosines as squares of `side` pixels, (H, W, 3): white for 0 and below, black for 1."""
    shade = np.clip(np.asarray(matrix, dtype=np.float64), 0.0, 1.0)
    grey = np.rint(255 * (1 - shade)).astype(np.uint8).repeat(side, axis=0).repeat(side, axis=1)
    return np.stack([grey] * 3, axis=2)
