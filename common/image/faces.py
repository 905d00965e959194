"""The opt-in photoreal generator `faces`: a distilled StyleGAN2 trained on photographs, in float32.

MobileStyleGAN (arXiv 2104.04767) as two OpenVINO networks, z -> w and w -> 1024x1024, packed into one file whose
sha256 is pinned here. Floating point sums differ in the last bits between machines, so its pictures (reduced to
512x512) are compared with a tolerance, never exactly.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed, UsageError
from huref.common.image.fixed import FRACTION, standardize
from huref.common.image.openvino_ir import Array, Graph, load_graph

NAME = "faces"
PACKAGE = "random-face==2021.7.21.1"
PACKAGE_SHA256 = "e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5"
DIGEST = "0cb33cd2603990d68964a0bde087dc473620ec8911334e8708fb73572de0eb6e"
LICENCE = (
    "random-face is distributed under the Apache License 2.0. Its networks were distilled from StyleGAN2 trained on "
    "Flickr-Faces-HQ: NVIDIA's StyleGAN2 and the FFHQ data set (CC BY-NC-SA 4.0) are for non-commercial use only."
)
MEAN_TOLERANCE, MAX_TOLERANCE = 0.25, 4
"""Largest mean and single difference, in levels of 255, between two machines' pictures of one vector.

Measured against OpenVINO 2026.4 in f32, before rounding to levels: mean 0.0001, largest 0.012.
"""

_MAGIC = b"huref-faces-1\n"
_TRUNCATION = 0.7
_Z_DIM = 512
_MEAN_SAMPLES = 512


@dataclass(frozen=True)
class FaceNetworks:
    """Both graphs; pictures are truncated (0.7) towards the mean w of 512 fixed latents."""

    mapping: Graph
    synthesis: Graph
    name: str = NAME
    licence: str = LICENCE

    @cached_property
    def mean_w(self) -> Array:
        """Mean w (1, 512) of a fixed sample of latents."""
        sample = np.random.Generator(np.random.PCG64(2024)).standard_normal((_MEAN_SAMPLES, _Z_DIM))
        return np.mean([self.mapping.run(z[None]) for z in sample], axis=0)


def pack_faces(parts: Sequence[bytes]) -> bytes:
    """One file of mapping xml, mapping bin, synthesis xml, synthesis bin."""
    lengths = struct.pack("<4Q", *map(len, parts))
    return _MAGIC + lengths + b"".join(parts)


def is_faces(data: bytes) -> bool:
    """Whether a file has the magic line of `pack_faces`."""
    return data.startswith(_MAGIC)


def load_faces(data: bytes, digest: str) -> FaceNetworks:
    """Read a packed file; its sha256 must be the pinned one, so that no hostile graph is ever interpreted."""
    if digest != DIGEST:
        raise Malformed("faces: not the pinned networks", hint="install them: huref generator install faces")
    position = len(_MAGIC) + 32
    parts = []
    for length in struct.unpack("<4Q", data[len(_MAGIC) : position]):
        parts.append(data[position : position + length])
        position += length
    return FaceNetworks(load_graph(parts[0], parts[1]), load_graph(parts[2], parts[3]))


def draw_face(v: Sequence[int], networks: FaceNetworks) -> NDArray[np.uint8]:
    """Picture (512, 512, 3) of 512 integers; raises UsageError for an unusable v."""
    if len(v) != _Z_DIM:
        raise UsageError(f"the generator takes {_Z_DIM} numbers, got {len(v)}")
    z = (standardize(v) / (1 << FRACTION)).astype(np.float32)[None]
    w = networks.mean_w + np.float32(_TRUNCATION) * (networks.mapping.run(z) - networks.mean_w)
    large = np.clip(networks.synthesis.run(w.astype(np.float32))[0], -1, 1)
    small = large.reshape(3, large.shape[1] // 2, 2, large.shape[2] // 2, 2).mean((2, 4))
    return np.ascontiguousarray((small * 127.5 + 128).clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def within_tolerance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """Whether two pictures may be drawings of one vector on two machines."""
    if a.shape != b.shape:
        return False
    difference = np.abs(a.astype(np.int16) - b.astype(np.int16))
    return bool(difference.mean() <= MEAN_TOLERANCE and difference.max() <= MAX_TOLERANCE)
