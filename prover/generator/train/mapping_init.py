"""A mapping network that starts out holding the attributes of each latent in w, clamped and linear.

Styles are affine in w, so w should say where between the heads and bodies it is, not how far u lies beyond. Two
leaky-ReLU layers can do that exactly, and are set to: the difference of two units is a clamp,

    lrelu(a + 1/2) - lrelu(a - 1/2) = 0.6 + 0.4 t,   t = clamp(2 a, -1, 1),

with a = u / (2 range) for shapes and dials alike. The second layer passes every t on and adds one unit for each corner
of the two cubes: the sum of matching signs minus (axes - 2), which falls to zero at the neighbouring corners.
What follows is ordinary training: these are initial values.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from huref.prover.generator.model import Linear, Mapping
from huref.prover.generator.train.targets import (
    ATTRIBUTES,
    BODY_AXES,
    DIAL_RANGE,
    DIALS,
    HEAD_AXES,
    SHAPE_RANGE,
    SHAPES,
    TargetMap,
)

WIDTHS = (160, 112)
_CORNER_GAIN = 1.0
_SPARE = 0.1
_W_SCALE = 0.3
_DIAL_GAIN = 2.5


@torch.no_grad()
def initialize_mapping(mapping: Mapping, targets: TargetMap) -> None:
    """Set the two layers of `mapping` (widths 160, 112) in place; spare units start small and random."""
    first, second = mapping.stack
    slopes = torch.tensor([0.5 / SHAPE_RANGE] * SHAPES + [0.5 / DIAL_RANGE] * DIALS)
    spare = _SPARE * torch.randn(len(first.weight) - 2 * ATTRIBUTES, ATTRIBUTES)
    rows = torch.cat([torch.diag(slopes), torch.diag(slopes), spare]) @ targets.projection
    offset = torch.zeros(len(first.weight))
    offset[:ATTRIBUTES], offset[ATTRIBUTES : 2 * ATTRIBUTES] = 0.5, -0.5
    _set(first, rows, offset)

    # 2.5 (difference / sqrt 2) = t + 1.5, positive: it passes the activation unchanged (but for its gain sqrt 2)
    pair = 2.5 / math.sqrt(2)
    read = torch.zeros(ATTRIBUTES, len(first.weight))
    read[:, :ATTRIBUTES] = pair * torch.eye(ATTRIBUTES)
    read[:, ATTRIBUTES : 2 * ATTRIBUTES] = -pair * torch.eye(ATTRIBUTES)
    heads, bodies = _signs(HEAD_AXES), _signs(BODY_AXES)
    corners = torch.zeros(len(heads) + len(bodies), ATTRIBUTES)
    corners[: len(heads), :HEAD_AXES] = heads
    corners[len(heads) :, HEAD_AXES:SHAPES] = bodies
    needed = torch.tensor([HEAD_AXES - 2.0] * len(heads) + [BODY_AXES - 2.0] * len(bodies))
    spare = _SPARE * torch.randn(len(second.weight) - ATTRIBUTES - len(corners), len(first.weight))
    gains = torch.tensor([1.0] * SHAPES + [_DIAL_GAIN] * DIALS)
    rows = torch.cat([gains[:, None] * read, _CORNER_GAIN * corners @ read, spare])
    shift = -_CORNER_GAIN * (needed + 1.5 * corners.sum(1))
    offset = torch.cat([torch.zeros(ATTRIBUTES), shift, torch.zeros(len(spare))])
    _set(second, _W_SCALE * rows, _W_SCALE * offset)
    mapping.measure_mean()


def _signs(axes: int) -> Tensor:
    """(2^axes, axes) signs of every corner, first column the highest binary digit."""
    index = torch.arange(2**axes)
    digits = (index[:, None] >> torch.arange(axes - 1, -1, -1)) & 1
    return 2.0 * digits - 1


def _set(layer: Linear, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight / layer.gain)
    layer.bias.copy_(bias / layer.rate)
