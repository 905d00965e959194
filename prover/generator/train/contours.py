"""Outlines that can be averaged: signed distances of masks, and colours carried beyond their outline.

The mean of two masks is a ghost; the mean of two signed distances is again the distance of a clear outline that
lies between them. Colours behind an outline must then be known beyond it, since it moves.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def signed_distance(mask: Tensor) -> Tensor:
    """Distance in pixels to the outline of each 0/1 mask (n, 1, size, size), positive inside.

    Limited to a sixth of the side, and smoothed over 3x3 pixels, for the steps of a digital outline.
    """
    limit = mask.shape[-1] / 6
    inside = mask[:, 0] > 0.5
    distance = _to_outside(inside) - _to_outside(~inside)
    distance = (distance - 0.5 * distance.sign()).clamp(-limit, limit)
    return functional.avg_pool2d(functional.pad(distance[:, None], (1, 1, 1, 1), mode="replicate"), 3, 1)


def fill(colours: Tensor, known: Tensor) -> Tensor:
    """`colours` (n, c, size, size) where `known` (n, 1, size, size) is 1, and elsewhere what is known nearby.

    The side is a power of two; the picture is halved until all is known, and drawn up again (push and pull).
    """
    return _fill(colours * known, known)


def erode(mask: Tensor) -> Tensor:
    """The mask (n, 1, size, size) less its outermost pixels."""
    return 1 - functional.max_pool2d(1 - mask, 3, 1, 1)


def _fill(weighted: Tensor, known: Tensor) -> Tensor:
    if weighted.shape[-1] == 1:
        return weighted / known.clamp_min(1e-6)
    coarse = _fill(functional.avg_pool2d(weighted, 2), functional.avg_pool2d(known, 2))
    return weighted + (1 - known) * functional.interpolate(coarse, scale_factor=2, mode="bilinear")


def _to_outside(inside: Tensor) -> Tensor:
    """Euclidean distance (n, size, size) of every pixel to the nearest one outside, column by column, then rows."""
    index = torch.arange(inside.shape[-1], dtype=torch.float32)
    squares = (index[:, None] - index[None, :]).square()
    rows = []
    for one in inside:
        start = torch.where(one, 1e6, 0.0)
        down = (start[None, :, :] + squares[:, :, None]).amin(1)
        rows.append((down[:, None, :] + squares[None, :, :]).amin(2).sqrt())
    return torch.stack(rows)
