"""Pixels packed by one pinned rule into a zlib stream: every machine packs the same bytes, any PNG reader unpacks them.

Compressors choose differently from one version to the next, so none is asked. The rule ("The file" in docs/picture.md)
suits flat areas with sharp edges: whole pixels, matched with the one above or the one to the left, in one block of
fixed Huffman codes (RFC 1951 §3.2.6). A bit string is a pair of arrays (values, sizes), lowest bit of a value first.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_Bits = tuple[NDArray[np.int64], NDArray[np.int64]]

_ZLIB_HEADER = b"\x78\x01"
_BLOCK_HEADER = (0b011, 3)
"""The last block, of fixed codes."""
_END = 256
_LONGEST = 86
"""Pixels of the longest match, 258 bytes."""
_NEW, _ABOVE, _LEFT = 0, 1, 2


def packed(image: NDArray[np.uint8]) -> bytes:
    """The zlib stream of (H, W, 3) uint8, a filter byte 0 before each row; W at most 10922, the window's reach."""
    height, width, _ = image.shape
    kinds = _kinds(image)
    starts = np.flatnonzero(_starts(kinds))
    lengths = np.diff(starts, append=height * width)
    kind = kinds.reshape(-1)[starts]
    distances = np.where(kind == _ABOVE, 1 + 3 * width, 3)
    literals, matches = _literals(image.reshape(-1, 3)[starts]), _matches(3 * lengths, distances)
    (filter_code,), (filter_size,) = _symbols(np.zeros(1, dtype=np.int64))
    (end_code,), (end_size,) = _symbols(np.array([_END]))
    rows = np.searchsorted(starts, np.arange(height) * width)
    frame = ((_BLOCK_HEADER[0], filter_code, end_code), (_BLOCK_HEADER[1], filter_size, end_size))
    values, sizes = (
        np.concatenate(([first], np.insert(np.where(kind == _NEW, new, old), rows, row), [last]))
        for new, old, (first, row, last) in zip(literals, matches, frame, strict=True)
    )
    raw = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    raw[:, 1:] = image.reshape(height, -1)
    return _ZLIB_HEADER + _joined(values, sizes) + struct.pack(">I", zlib.adler32(raw.tobytes()))


def _kinds(image: NDArray[np.uint8]) -> NDArray[np.int8]:
    """(H, W): whether a pixel equals the one above, else the one to its left, else is new."""
    kinds = np.full(image.shape[:2], _NEW, dtype=np.int8)
    kinds[:, 1:][(image[:, 1:] == image[:, :-1]).all(axis=2)] = _LEFT
    kinds[1:][(image[1:] == image[:-1]).all(axis=2)] = _ABOVE
    return kinds


def _starts(kinds: NDArray[np.int8]) -> NDArray[np.bool_]:
    """(H, W): where a new pixel is, or a match begins: at another kind, at a row, and after `_LONGEST` pixels."""
    first = np.ones(kinds.shape, dtype=bool)
    first[:, 1:] = (kinds[:, 1:] != kinds[:, :-1]) | (kinds[:, 1:] == _NEW)
    columns = np.arange(kinds.shape[1])
    since = columns - np.maximum.accumulate(np.where(first, columns, 0), axis=1)
    return since % _LONGEST == 0


def _literals(pixels: NDArray[np.uint8]) -> _Bits:
    """Three symbols for each of (n, 3) pixels."""
    codes, sizes = _symbols(pixels.astype(np.int64))
    ends = np.cumsum(sizes, axis=1)
    return (codes << (ends - sizes)).sum(axis=1), ends[:, -1]


def _matches(lengths: NDArray[np.int64], distances: NDArray[np.int64]) -> _Bits:
    """A symbol for the length in bytes, its extra bits, five bits for the distance, its extra bits."""
    symbols, length_rest, length_extra = _classes(lengths - 3, 2)
    longest = lengths == 258  # has a symbol of its own, without extra bits
    symbols, length_rest, length_extra = (
        np.where(longest, one, other) for one, other in ((28, symbols), (0, length_rest), (0, length_extra))
    )
    codes, sizes = _symbols(257 + symbols)
    places, rest, extra = _classes(distances - 1, 1)
    for value, size in ((length_rest, length_extra), (_reversed(places, 5), 5), (rest, extra)):
        codes, sizes = codes | value << sizes, sizes + size
    return codes, sizes


def _classes(numbers: NDArray[np.int64], top: int) -> tuple[NDArray[np.int64], ...]:
    """RFC 1951 §3.2.5 for lengths − 3 (`top` 2) and distances − 1 (1): class, what is left, and its number of bits.

    A class is a power of two and the next `top` bits; the first classes are the numbers themselves.
    """
    bits = np.frexp(np.maximum(numbers, 1).astype(np.float64))[1].astype(np.int64)
    extra = np.maximum(bits - 1 - top, 0)
    return (extra << top) + (numbers >> extra), numbers & (1 << extra) - 1, extra


def _symbols(symbols: NDArray[np.int64]) -> _Bits:
    """Fixed codes of literals, lengths and the end."""
    ranges = [symbols < 144, symbols < 256, symbols < 280]
    sizes = np.select(ranges, [8, 9, 7], 8)
    codes = np.select(ranges, [symbols + 0x30, symbols - 144 + 0x190, symbols - 256], symbols - 280 + 0xC0)
    return _reversed(codes, sizes), sizes


def _reversed(codes: NDArray[np.int64], sizes: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Codes of at most nine bits with the highest bit first, as they are written."""
    found = sum((codes >> bit & 1) << 8 - bit for bit in range(9))
    return found >> 9 - np.asarray(sizes)


def _joined(values: NDArray[np.int64], sizes: NDArray[np.int64]) -> bytes:
    """All bits in order, zero bits up to a whole byte; values have at most 32 bits."""
    ends = np.cumsum(sizes)
    word, shift = np.divmod(ends - sizes, 32)
    low, high = values << shift & 0xFFFFFFFF, values >> 32 - shift
    # no two values share a bit, so sums join them; below 2^32 they are exact in double precision
    size = int(ends[-1] + 31) // 32 + 1
    words = np.bincount(word, low, size) + np.bincount(word + 1, high, size)
    return words.astype("<u4").tobytes()[: int(ends[-1] + 7) // 8]
