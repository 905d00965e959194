"""The picture of a fingerprint: a public, deterministic function of v in exact integer arithmetic.

A generator is named by its digest, which the statement carries. PNG files are written without compression, so
that the same picture is the same bytes on every machine whatever its zlib.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
_STORED = 65535


class Generator(Protocol):
    """What makes pictures: `digest` (hex SHA-256) names it exactly, `name` is for people."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    def render(self, v: Sequence[int]) -> Image:
        """(height, width, 3) of a vector of 512 integers."""
        ...


@dataclass(frozen=True)
class Waves:
    """Sixteen folded waves per colour whose directions, phases and heights are sums of v's entries."""

    name: str = "waves-1"
    side: int = 128

    @property
    def digest(self) -> str:
        """Its definition has no weights: the digest is of its name."""
        return hashlib.sha256(b"huref/generator/" + self.name.encode()).hexdigest()

    def render(self, v: Sequence[int]) -> Image:
        """(128, 128, 3); entries of v count in units of their mean absolute value."""
        scale = max(1, sum(abs(x) for x in v) // len(v))
        unit = np.array([max(-(1 << 14), min(1 << 14, (x << 12) // scale)) for x in v], np.int64)
        waves = unit.reshape(16, 8, 4).sum(2)  # per wave: direction (2), phase (2), colours (3), width
        y, x = np.mgrid[0 : self.side, 0 : self.side].astype(np.int64) * 2 - self.side
        colours = np.zeros((self.side, self.side, 3), np.int64)
        for dx, dy, phase, bend, *colour, width in waves.tolist():
            turn = dx * x + dy * y + 4 * phase + (bend * (x * x + y * y) >> 9)
            folded = np.abs((turn * (1 + abs(width) // 16384) >> 5) % 65536 - 32768) - 16384
            colours += folded[:, :, None] * np.array(colour, np.int64)
        low, high = colours.min((0, 1)), colours.max((0, 1))
        return ((colours - low) * 255 // np.maximum(high - low, 1)).astype(np.uint8)


DEFAULT: Generator = Waves()


def find_generator(digest: str) -> Generator | None:
    """The generator of this digest, or None where it is not installed."""
    return DEFAULT if digest == DEFAULT.digest else None


def png_bytes(image: Image) -> bytes:
    """An uncompressed PNG of an (height, width, 3) picture."""
    height, width, _ = image.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = image.reshape(height, -1)
    data = rows.tobytes()
    stored = bytearray(b"\x78\x01")
    for start in range(0, len(data), _STORED):
        part = data[start : start + _STORED]
        last = start + _STORED >= len(data)
        stored += struct.pack("<BHH", last, len(part), len(part) ^ 0xFFFF) + part
    stored += struct.pack(">I", zlib.adler32(data))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", bytes(stored)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
