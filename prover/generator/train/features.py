"""A fixed feature network and two distances on it: LPIPS-like between pictures, FID-like between sets.

No pretrained network can be had offline, so the features are those of a random one: five 3x3 convolutions with
orthogonal weights from a fixed seed, ReLU, halving. Random convolutional features rank distortions well enough
to compare generators trained here; the numbers are not comparable with published LPIPS or FID.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_WIDTHS = (3, 32, 48, 64, 96, 128)
_SEED = 20240312


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


def picture_distance(a: Tensor, b: Tensor) -> Tensor:
    """LPIPS-like distance of each pair: squared difference of channel-normalized features, mean over places,
    summed over layers; shape (batch,)."""
    total = torch.zeros(len(a))
    for left, right in zip(feature_maps(a), feature_maps(b), strict=True):
        difference = functional.normalize(left, dim=1) - functional.normalize(right, dim=1)
        total += difference.square().sum(1).mean((1, 2))
    return total


def embed(pictures: Tensor) -> np.ndarray:
    """One vector per picture (batch, 448): mean and spread of the two last layers over a 1x1 and the whole map."""
    parts = [torch.cat([m.mean((2, 3)), m.std((2, 3))], dim=1) for m in feature_maps(pictures)[-2:]]
    return torch.cat(parts, dim=1).double().numpy()


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Fréchet distance of the Gaussians fitted to two sets of vectors (n, d), as in FID."""
    gap = first.mean(0) - second.mean(0)
    left, right = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(left)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ right @ root), 0, None)).sum()
    return float(gap @ gap + np.trace(left) + np.trace(right) - 2 * cross)
