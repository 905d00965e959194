"""A fixed feature network and an LPIPS-like distance on it.

No pretrained network ships with a package, so the features are those of a random one: five 3x3 convolutions with
orthogonal weights from a fixed seed, ReLU, halving. The numbers are not comparable with published LPIPS.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_WIDTHS = (3, 32, 48, 64, 96, 128)
_SEED = 20240312


@cache
def _filters() -> list[Tensor]:
    generator = torch.Generator().manual_seed(_SEED)
    filters = []
    for inputs, outputs in pairwise(_WIDTHS):
        square = torch.randn(max(outputs, inputs * 9), min(outputs, inputs * 9), generator=generator)
        basis = torch.linalg.qr(square).Q
        rows = basis.T if outputs <= inputs * 9 else basis
        filters.append((rows * np.sqrt(2 * inputs * 9 / outputs) / 3).reshape(outputs, inputs, 3, 3))
    return filters


@torch.no_grad()
def feature_maps(pictures: Tensor) -> list[Tensor]:
    """Features of (batch, 3, n, n) pictures in [-1, 1] after each of the five layers."""
    x, maps = pictures, []
    for weight in _filters():
        x = functional.relu(functional.conv2d(x, weight, padding=1))
        maps.append(x)
        x = functional.avg_pool2d(x, 2)
    return maps


def maps_distance(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """LPIPS-like distance of two pictures' features: squared difference of channel-normalized features,
    mean over places, summed over layers."""
    total = torch.zeros(())
    for left, right in zip(first, second, strict=True):
        difference = functional.normalize(left, dim=1) - functional.normalize(right, dim=1)
        total = total + difference.square().sum(1).mean()
    return total
