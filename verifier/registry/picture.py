"""Small pictures for the registry's pages."""

from __future__ import annotations

import io

from PIL import Image

from huref.common.image.png import png_pixels


def thumbnail(picture: bytes, side: int) -> bytes:
    """A bundle's picture as a compressed PNG of `side` pixels. Raises `Malformed`."""
    small = Image.fromarray(png_pixels(picture)).resize((side, side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "PNG", optimize=True)
    return data.getvalue()
