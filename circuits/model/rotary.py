"""Which rows of a head a rotary embedding turns together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape


def rotary_planes(shape: ModelShape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row pairs of a head that rotary embeddings turn together, (planes, 2), and the unturned rows."""
    if shape.rotary is None:
        return np.zeros((0, 2), dtype=np.int64), np.arange(shape.head_dim)
    half = shape.rotary_dim // 2
    first = np.arange(half) if shape.rotary == "half" else 2 * np.arange(half)
    pair = np.stack([first, first + (half if shape.rotary == "half" else 1)], axis=1)
    planes = np.concatenate([pair + section * shape.rotary_dim for section in range(shape.rotary_sections)])
    return planes, np.arange(shape.rotary_dim * shape.rotary_sections, shape.head_dim)
