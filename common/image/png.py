"""PNG with one possible encoding per picture: 8-bit RGB, no filter, packed by the pinned rule of `deflate`.

Compressors differ between zlib builds; the rule does not, so a published picture can be compared byte by byte. The
reader takes only what the writer writes. It inflates no more than the pixels that the header promises, and a caller who
knows how large the picture has to be asks `png_sides` first.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed
from huref.common.image.deflate import packed

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DATA = 8 + 25 + 8
"""Where the compressed pixels begin; behind them lie a checksum and the chunk that ends the file."""
_TAIL = 4 + 12
MAX_SIDE = 4096


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) uint8, sides 1..4096."""
    height, width, channels = image.shape
    if (
        image.dtype != np.uint8
        or channels != 3
        or not 1 <= min(height, width) <= max(height, width) <= MAX_SIDE
    ):
        raise ValueError("png_bytes takes uint8 pixels of shape (H, W, 3), sides 1..4096")
    return _head(height, width) + _chunk(b"IDAT", packed(image)) + _chunk(b"IEND", b"")


def png_sides(data: bytes) -> tuple[int, int]:
    """Height and width, from the header alone. Raises Malformed for a header that `png_bytes` does not write."""
    if len(data) < _DATA + _TAIL:
        raise Malformed("picture: not a PNG as huref writes it")
    width, height = struct.unpack(">II", data[16:24])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise Malformed("picture: sides outside 1..4096")
    if not data.startswith(_head(height, width)):
        raise Malformed("picture: not a PNG as huref writes it")
    return height, width


def png_pixels(data: bytes) -> NDArray[np.uint8]:
    """Decode what `png_bytes` wrote; anything else raises Malformed."""
    height, width = png_sides(data)
    size = height * (1 + 3 * width)
    try:
        raw = zlib.decompressobj().decompress(data[_DATA:-_TAIL], size)
    except zlib.error:
        raise Malformed("picture: not a PNG as huref writes it") from None
    if len(raw) != size:
        raise Malformed("picture: truncated")
    image = np.frombuffer(raw, dtype=np.uint8).reshape(height, 1 + 3 * width)[:, 1:].reshape(height, width, 3)
    if png_bytes(image) != data:
        raise Malformed("picture: not a PNG as huref writes it")
    return image


def _head(height: int, width: int) -> bytes:
    return _SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
