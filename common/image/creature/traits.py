"""Which creature a fingerprint is: named traits, each a smooth bounded function of one direction of v.

Directions are rows of a Hadamard matrix with pinned random signs, so they are orthogonal, read every entry of v
with the same weight, and need only additions. A trait is u = p / sqrt(p^2 + 1.44) of a projection p of spread 1:
no sign, no threshold, no hash, so near vectors draw near creatures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import UsageError
from huref.common.image.fixed import FRACTION

UNIT = 1 << FRACTION
"""A trait lies strictly between -UNIT and UNIT."""

SEED = b"huref-creatures-1"
_KNEE = 12 * UNIT // 10

COAT_MODES = 55
"""Directions of the coat's field of tones (`coat.MODES`)."""

NAMES: tuple[str, ...] = (
    # backdrop
    "wall", "disc", "disc_low", "wall_warm", "disc_warm", "wall_green", "disc_green",
    # build
    "crown", "temple", "cheek", "jaw", "chin", "head_height", "shoulders", "neck",
    # fur
    "lock_length", "lock_point", "mane", "mane_tone",
    # ears
    "ear_place", "ear_length", "ear_width", "ear_tip", "ear_splay", "ear_bend", "ear_uneven",
    "ear_tone", "ear_tip_tone", "ear_inner_tone", "ear_tip_size",
    # horns
    "horn_length", "horn_bend", "horn_tone",
    # eyes
    "eye_apart", "eye_height", "eye_size", "eye_aspect", "eye_slant", "pupil", "pupil_shape", "lid",
    "iris_tone", "iris_warm", "iris_green", "brow_angle", "brow_width", "brow_tone",
    "patch_left", "patch_right", "patch_left_low", "patch_right_low", "patch_size", "patch_slant",
    # muzzle
    "muzzle_width", "muzzle_height", "muzzle_place", "muzzle_tone", "muzzle_low", "bridge_width", "bridge_tone",
    "nose_width", "nose_height", "nose_tone", "nose_warm", "smile", "mouth_width", "mouth_open", "fangs",
    "whiskers", "chin_tone",
    # coat
    "coat", "coat_warm", "coat_green",
    # accessories
    "scarf_width", "scarf_tone", "scarf_warm", "scarf_green", "scarf_knot",
    *(f"coat_{index}" for index in range(COAT_MODES)),
)  # fmt: skip


def read_traits(z: NDArray[np.int64]) -> Traits:
    """Traits of a standardized latent with 12 fractional bits; UsageError unless its length is 256, 512, ..."""
    count = len(z)
    side = 1 << max(3, (count - 1).bit_length())
    if side != count or side <= len(NAMES):
        raise UsageError(f"a creature is drawn from 256, 512, ... numbers, not {count}")
    bits = np.frombuffer(hashlib.shake_256(SEED).digest(side // 8), dtype=np.uint8)
    signs = 1 - 2 * np.unpackbits(bits).astype(np.int64)
    sums = z * signs
    half = 1
    while half < side:  # fast Walsh-Hadamard transform
        pairs = sums.reshape(-1, 2, half)
        sums = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        half *= 2
    root = isqrt(count << 24)
    projections = [(int(x) << 12) // root for x in sums[1 : 1 + len(NAMES)]]
    bounded = [p * UNIT // isqrt(p * p + _KNEE * _KNEE) for p in projections]
    return Traits(dict(zip(NAMES, bounded, strict=True)))


class Traits:
    """Named numbers strictly between -UNIT and UNIT, read as ranges."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self._values = values

    def raw(self, name: str) -> int:
        """The number itself."""
        return self._values[name]

    def of(self, name: str, low: int, high: int) -> int:
        """From low to high, linearly."""
        return low + ((high - low) * (self._values[name] + UNIT) >> (FRACTION + 1))

    def grown(self, name: str, low: int, high: int) -> int:
        """From low to high, quadratically: small more often than large."""
        part = (self._values[name] + UNIT) ** 2 >> (FRACTION + 2)
        return low + ((high - low) * part >> FRACTION)
