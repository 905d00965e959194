"""Generator weight files: a magic line, a canonical JSON header, and arrays in one fixed order.

    "huref-generator-1\\n" | u32 header length | header | arrays, little-endian, shapes given by the header

The header holds the architecture, the name, the licence note and the truncation, encoded with sorted keys and
no spaces; any other spelling, a wrong length or trailing bytes are Malformed. A generator is named by the
sha256 of its file.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed
from huref.common.image.architecture import Z_DIM, Architecture
from huref.common.image.weights import (
    BlockWeights,
    ConvolutionWeights,
    GeneratorWeights,
    LinearWeights,
    RgbWeights,
)
from huref.common.text import IDENTIFIER

MAGIC = b"huref-generator-1\n"
_MAX_HEADER = 1 << 16
_MAX_WIDTH, _MAX_LAYERS, _MAX_LEVELS = 1024, 16, 9


def digest(data: bytes) -> str:
    """The name of a weight file: sha256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def dump_weights(weights: GeneratorWeights) -> bytes:
    """Encode; `load_weights` of the result gives the same weights."""
    header = _header(weights)
    parts = [MAGIC, struct.pack("<I", len(header)), header]
    for layer in weights.mapping:
        parts += _dump_linear(layer)
    parts += [_raw(weights.mean_w, "<i4"), _raw(weights.constant, "<i4")]
    for block in weights.blocks:
        for layer_ in (block.first, block.second):
            if layer_ is not None:
                parts += _dump_linear(layer_.affine)
                parts += [_raw(layer_.weight, "i1"), _raw(layer_.bias, "<i4"), _raw(layer_.noise, "<i2")]
        parts += _dump_linear(block.rgb.affine) + _dump_linear(block.rgb.mix)
    return b"".join(parts)


def load_weights(data: bytes) -> GeneratorWeights:
    """Decode and check a weight file; raises Malformed on anything but the canonical encoding."""
    if data[: len(MAGIC)] != MAGIC or len(data) < len(MAGIC) + 4:
        raise Malformed("generator: not a huref generator file")
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    start = len(MAGIC) + 4
    if length > _MAX_HEADER or start + length > len(data):
        raise Malformed("generator: header length")
    header = _parse_header(data[start : start + length])
    architecture = _architecture(header)
    reader = _Reader(data, start + length)
    widths = [architecture.z_dim, *architecture.mapping]
    mapping = tuple(reader.linear(b, a) for a, b in pairwise(widths))
    w_dim = widths[-1]
    mean_w = reader.array("<i4", w_dim)
    constant = reader.array("<i4", architecture.channels[0], 4, 4)
    blocks = []
    for level, channels in enumerate(architecture.channels):
        size = 4 << level
        first = reader.convolution(w_dim, architecture.channels[level - 1], channels, size) if level else None
        second = reader.convolution(w_dim, channels, channels, size)
        rgb = RgbWeights(reader.linear(channels, w_dim), reader.linear(3, channels))
        blocks.append(BlockWeights(first, second, rgb))
    if reader.position != len(data):
        raise Malformed("generator: trailing bytes")
    weights = GeneratorWeights(
        architecture,
        header["name"],
        header["licence"],
        header["truncation"],
        mapping,
        mean_w,
        constant,
        tuple(blocks),
    )
    if _header(weights) != data[start : start + length]:
        raise Malformed("generator: header is not in canonical form")
    weights.check()
    return weights


@dataclass
class _Reader:
    data: bytes
    position: int

    def array(self, dtype: str, *shape: int) -> NDArray[Any]:
        count = int(np.prod(shape))
        end = self.position + count * np.dtype(dtype).itemsize
        if end > len(self.data):
            raise Malformed("generator: truncated")
        flat = np.frombuffer(self.data, dtype=dtype, count=count, offset=self.position)
        self.position = end
        return flat.reshape(shape)

    def linear(self, outputs: int, inputs: int) -> LinearWeights:
        shift = int(self.array("<i4", 1)[0])
        weight = self.array("<i2", outputs, inputs)
        return LinearWeights(weight, self.array("<i4", outputs), self.array("<i4", outputs), shift)

    def convolution(self, w_dim: int, inputs: int, outputs: int, size: int) -> ConvolutionWeights:
        affine = self.linear(inputs, w_dim)
        weight = self.array("i1", outputs, inputs, 3, 3)
        return ConvolutionWeights(affine, weight, self.array("<i4", outputs), self.array("<i2", size, size))


def _raw(values: NDArray[Any], dtype: str) -> bytes:
    encoded = values.astype(dtype)
    if not np.array_equal(encoded, values):
        raise ValueError(f"weights do not fit {dtype}")
    return encoded.tobytes()


def _dump_linear(layer: LinearWeights) -> list[bytes]:
    shift = struct.pack("<i", layer.shift)
    return [shift, _raw(layer.weight, "<i2"), _raw(layer.multiplier, "<i4"), _raw(layer.bias, "<i4")]


def _header(weights: GeneratorWeights) -> bytes:
    fields = {
        "channels": list(weights.architecture.channels),
        "mapping": list(weights.architecture.mapping),
        "z_dim": weights.architecture.z_dim,
        "name": weights.name,
        "licence": weights.licence,
        "truncation": weights.truncation,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _parse_header(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed("generator: header is not JSON") from error
    kinds = {"channels": list, "mapping": list, "z_dim": int, "name": str, "licence": str, "truncation": int}
    if not isinstance(header, dict) or header.keys() != kinds.keys():
        raise Malformed("generator: header fields")
    for key, kind in kinds.items():
        if type(header[key]) is not kind:
            raise Malformed(f"generator: header field {key}")
    if not re.fullmatch(IDENTIFIER, header["name"]):
        raise Malformed(
            f"generator: header field name: expected a short name, got {ascii(header['name'])[:64]}"
        )
    return header


def _architecture(header: dict[str, Any]) -> Architecture:
    mapping, channels = header["mapping"], header["channels"]
    if (
        header["z_dim"] != Z_DIM
        or not 1 <= len(mapping) <= _MAX_LAYERS
        or not 1 <= len(channels) <= _MAX_LEVELS
    ):
        raise Malformed("generator: architecture")
    if any(type(width) is not int or not 1 <= width <= _MAX_WIDTH for width in [*mapping, *channels]):
        raise Malformed("generator: layer widths")
    return Architecture(tuple(mapping), tuple(channels))
