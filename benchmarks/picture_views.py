"""The ways in which a picture is looked at, and how far two pictures are apart in each.

Colour, grey (BT.601 luma), simulated deuteranopia (Machado, Oliveira and Fernandes 2009, severity 1, in linear light)
and a thumbnail of 64 pixels; the whole picture and the head's part of it. Two distances: pixel (rms difference in
levels of 255, at full size) and feature (LPIPS-like on fixed random features, of the picture at 128 pixels).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.picture_features import feature_maps, maps_distance

VIEWS = ("colour", "grey", "deuteranopia", "thumbnail")
CROPS = ("whole", "head")
KINDS = ("pixel", "feature")
NAMES = tuple(f"{view}, {crop}, {kind}" for view in VIEWS for crop in CROPS for kind in KINDS)
"""All sixteen distances, in the order of `Look.distances`."""

_THUMBNAIL, _FEATURE = 64, 128
_HEAD = (slice(4, 14), slice(3, 13))
"""Rows and columns of the head's crop, in sixteenths of the side: a square about the head's middle."""

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    dtype=np.float32,
)
_LINEAR = np.where(
    np.arange(256) <= 10, np.arange(256) / 255 / 12.92, ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4
).astype(np.float32)


@dataclass(frozen=True)
class Look:
    """One picture as each pair of view and crop shows it: levels (3, n, n), and its features."""

    levels: tuple[NDArray[np.float32], ...]
    features: tuple[list[Tensor], ...]

    def distances(self, other: Look) -> list[float]:
        """The distances called `NAMES`."""
        found = []
        for a, b, f, g in zip(self.levels, other.levels, self.features, other.features, strict=True):
            found += [float(np.sqrt(np.mean((a - b) ** 2))), float(maps_distance(f, g))]
        return found


def look(picture: NDArray[np.uint8]) -> Look:
    """All views of a picture (n, n, 3), n a multiple of 128."""
    colour = picture.astype(np.float32)
    grey = np.repeat((colour @ _LUMA)[..., None], 3, axis=2)
    light = np.clip(_LINEAR[picture] @ _DEUTERANOPIA.T, 0, 1)
    seen = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    levels = []
    for view in (colour, grey, seen, reduced(colour, _THUMBNAIL)):
        step = len(view) // 16
        rows, columns = (slice(part.start * step, part.stop * step) for part in _HEAD)
        levels += [part.transpose(2, 0, 1) for part in (view, view[rows, columns])]
    features = []
    for number, part in enumerate(levels):
        small = part if number >= 6 else _shrunk(part, len(picture) // _FEATURE)
        features.append(feature_maps(torch.from_numpy(small.copy())[None] / 127.5 - 1))
    return Look(tuple(levels), tuple(features))


def reduced(picture: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The picture (n, n, 3) at another side by averaging blocks."""
    return _shrunk(picture.transpose(2, 0, 1), len(picture) // side).transpose(1, 2, 0)


def high_frequencies(picture: NDArray[np.uint8]) -> float:
    """Share of the luma's power (its mean aside) above 32 cycles, of the picture at 128 pixels."""
    luma = reduced(picture.astype(np.float32), 128) @ _LUMA
    power = np.abs(np.fft.fft2(luma - luma.mean())) ** 2
    cycles = np.fft.fftfreq(128, 1 / 128)
    return float(power[np.hypot(cycles[:, None], cycles[None]) > 32].sum() / power.sum())


def _shrunk(planes: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    count, height, width = planes.shape
    return planes.reshape(count, height // factor, factor, width // factor, factor).mean((2, 4))
