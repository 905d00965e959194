"""The PNG file: one encoding per picture, by the rule of docs/picture.md, and a reader that takes no other."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from huref.common.errors import Malformed
from huref.common.image import deflate
from huref.common.image.generator import render
from huref.common.image.png import MAX_SIDE, png_bytes, png_pixels, png_sides

BASE = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
        227, 258]  # fmt: skip
EXTRA = [0] * 8 + [bits for bits in range(1, 6) for _ in range(4)] + [0]
FAR = [1, 2, 3, 4] + [(2 + odd << bits) + 1 for bits in range(1, 14) for odd in (0, 1)]
FAR_EXTRA = [0] * 4 + [bits for bits in range(1, 14) for _ in range(2)]
"""RFC 1951 §3.2.5: first length and distance of each symbol, and its number of extra bits."""


def reference(image: np.ndarray) -> bytes:
    """The rule read from docs/picture.md, bit by bit and pixel by pixel."""
    bits: list[int] = [1, 1, 0]

    def code(value: int, size: int) -> None:
        bits.extend(value >> size - 1 - place & 1 for place in range(size))

    def symbol(number: int) -> None:
        if number < 144:
            code(0x30 + number, 8)
        elif number < 256:
            code(0x190 + number - 144, 9)
        elif number < 280:
            code(number - 256, 7)
        else:
            code(0xC0 + number - 280, 8)

    def match(length: int, distance: int) -> None:
        place = max(i for i in range(29) if BASE[i] <= length)
        far = max(i for i in range(30) if FAR[i] <= distance)
        symbol(257 + place)
        bits.extend(length - BASE[place] >> i & 1 for i in range(EXTRA[place]))
        code(far, 5)
        bits.extend(distance - FAR[far] >> i & 1 for i in range(FAR_EXTRA[far]))

    width = image.shape[1]
    pixels = [[tuple(int(x) for x in pixel) for pixel in row] for row in image]
    for y, row in enumerate(pixels):
        symbol(0)
        kinds = [
            "above" if y and pixels[y - 1][x] == row[x] else "left" if x and row[x - 1] == row[x] else "new"
            for x in range(width)
        ]
        x = 0
        while x < width:
            run = 1
            while x + run < width and kinds[x + run] == kinds[x] and run < 86:
                run += 1
            if kinds[x] == "new":
                run = 1
                for channel in row[x]:
                    symbol(channel)
            else:
                match(3 * run, 1 + 3 * width if kinds[x] == "above" else 3)
            x += run
    symbol(256)
    bits += [0] * (-len(bits) % 8)
    body = bytes(sum(bit << i for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))
    raw = b"".join(b"\0" + row.tobytes() for row in image)
    return b"\x78\x01" + body + struct.pack(">I", zlib.adler32(raw))


def _pictures() -> list[np.ndarray]:
    random = np.random.default_rng(3)
    found = [
        random.integers(0, 256, (9, 11, 3)),
        random.integers(0, 2, (40, 200, 3)) * 255,
        np.zeros((1, 1, 3)),
    ]
    found += [np.full((3, width, 3), 200) for width in (1, 2, 85, 86, 87, 171, 172, 173, 259, 700)]
    found += [random.integers(0, 3, (7, 1, 1)) * np.ones((1, 400, 3)), np.zeros((2, MAX_SIDE, 3))]
    blocks = random.integers(0, 256, (6, 20, 3)).repeat(4, axis=0).repeat(13, axis=1)
    return [picture.astype(np.uint8) for picture in (*found, blocks)]


def test_the_rule_is_the_documented_one() -> None:
    for picture in _pictures():
        assert deflate.packed(picture) == reference(picture), picture.shape
        raw = b"".join(b"\0" + row.tobytes() for row in picture)
        assert zlib.decompress(deflate.packed(picture)) == raw


def test_png_is_standard_and_round_trips() -> None:
    image = np.random.default_rng(2).integers(0, 256, (160, 150, 3), dtype=np.uint8)
    data = png_bytes(image)
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.asarray(opened), image)
    assert np.array_equal(png_pixels(data), image)
    for broken in (
        data[:-1],
        data + b"\0",
        data[:50] + b"\1" + data[51:],
        b"",
        b"\x89PNG\r\n\x1a\n" + bytes(60),
    ):
        with pytest.raises(Malformed):
            png_pixels(broken)


def test_a_creature_is_small_and_its_bytes_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """No compressor whose choices a library may change has a hand in it."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a compressor was asked")

    monkeypatch.setattr(zlib, "compress", never)
    monkeypatch.setattr(zlib, "compressobj", never)
    picture = render([(-1) ** i * (i * i % 1009) for i in range(512)])
    data = png_bytes(picture)
    assert picture.shape == (512, 512, 3) and len(data) <= 150_000
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == "RGB" and np.array_equal(np.asarray(opened), picture)
    assert (
        hashlib.sha256(data).hexdigest() == "62f87b4a3b64d211ca5f1a2da4025d43a178e62ef9f5d6e28d21cbfa5ea7e40b"
    )


def _file(height: int, width: int, stream: bytes) -> bytes:
    """A well-formed PNG with these sides and any compressed stream."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_the_same_pixels_packed_otherwise_are_refused(level: int) -> None:
    picture = np.full((20, 30, 3), 7, dtype=np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in picture)
    assert png_pixels(_file(20, 30, deflate.packed(picture))).tolist() == picture.tolist()
    with pytest.raises(Malformed, match="not a PNG as huref writes it"):
        png_pixels(_file(20, 30, zlib.compress(raw, level)))


def test_no_more_is_inflated_than_the_header_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    plain = zlib.decompressobj

    class Watched:
        def decompress(self, data: bytes, most: int) -> bytes:
            asked.append(most)
            return plain().decompress(data, most)

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    bomb = zlib.compress(bytes(1 << 24))
    for height, width, stream in ((8, 8, bomb), (8, 8, bomb[:20]), (8, 8, b""), (8, 8, b"\xff" * 50)):
        with pytest.raises(Malformed):
            png_pixels(_file(height, width, stream))
    assert asked == [8 * 25] * 4


def test_sides_come_from_a_header_as_it_is_written() -> None:
    data = png_bytes(np.zeros((5, 6, 3), dtype=np.uint8))
    assert png_sides(data) == (5, 6) and png_sides(data[:50] + bytes(50)) == (5, 6)
    for height, width in ((MAX_SIDE, 1), (1, MAX_SIDE)):
        assert png_sides(_file(height, width, b"x" * 50)) == (height, width)
    for height, width in ((0, 6), (5, 0), (MAX_SIDE + 1, 6), (5, MAX_SIDE + 1), (2**32 - 1, 2**32 - 1)):
        with pytest.raises(Malformed, match=r"1\.\.4096"):
            png_sides(_file(height, width, b"x" * 50))
    for at in (0, 12, 17, 24, 25, 26, 27, 28, 30):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(Malformed):
            png_sides(changed)
    for short in (b"", data[:40], data[:56]):
        with pytest.raises(Malformed):
            png_sides(short)


@pytest.mark.parametrize("shape", [(MAX_SIDE, 1, 3), (1, MAX_SIDE, 3)])
def test_the_longest_side_is_written_and_read(shape: tuple[int, ...]) -> None:
    picture = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    assert MAX_SIDE == 4096 and np.array_equal(png_pixels(png_bytes(picture)), picture)


@pytest.mark.parametrize(
    "shape", [(0, 5, 3), (5, 0, 3), (5, 5, 4), (5, MAX_SIDE + 1, 3), (MAX_SIDE + 1, 5, 3)]
)
def test_what_cannot_be_written(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="sides"):
        png_bytes(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        png_bytes(np.zeros((5, 5, 3), dtype=np.int16))  # type: ignore[arg-type]
