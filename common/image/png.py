"""PNG with one possible encoding per picture: 8-bit RGB, no filter, stored (uncompressed) deflate blocks.

Compressors differ between zlib builds; stored blocks do not, so a published picture can be compared byte by
byte. The reader takes only what the writer writes, so it never inflates hostile data.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ZLIB_HEADER = b"\x78\x01"
_BLOCK = 65535
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
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 1:] = image.reshape(height, -1)
    raw = rows.tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", _stored(raw)) + _chunk(b"IEND", b"")


def png_pixels(data: bytes) -> NDArray[np.uint8]:
    """Decode what `png_bytes` wrote; anything else raises Malformed."""
    if len(data) < 33 or data[:8] != _SIGNATURE or data[12:16] != b"IHDR":
        raise Malformed("picture: not a PNG as huref writes it")
    width, height = struct.unpack(">II", data[16:24])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise Malformed("picture: sides outside 1..4096")
    size = height * (1 + 3 * width)
    blocks = -(-size // _BLOCK)
    start = 8 + 25 + 8 + 2
    raw = b"".join(
        data[start + i * (_BLOCK + 5) + 5 : start + (i + 1) * (_BLOCK + 5)] for i in range(blocks)
    )[:size]
    if len(raw) != size:
        raise Malformed("picture: truncated")
    image = np.frombuffer(raw, dtype=np.uint8).reshape(height, 1 + 3 * width)[:, 1:].reshape(height, width, 3)
    if png_bytes(image) != data:
        raise Malformed("picture: not a PNG as huref writes it")
    return image


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _stored(raw: bytes) -> bytes:
    blocks = [raw[i : i + _BLOCK] for i in range(0, len(raw), _BLOCK)]
    parts = [
        struct.pack("<BHH", index == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
        for index, block in enumerate(blocks)
    ]
    return _ZLIB_HEADER + b"".join(parts) + struct.pack(">I", zlib.adler32(raw))
