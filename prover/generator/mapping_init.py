"""A mapping network that starts out holding the attributes of each latent in w, decided and linear.

Styles are affine in w, so w should say *which* head and body it is, not how far u lies from a boundary. Two
leaky-ReLU layers can do that exactly, and are set to: the difference of two units is a clamp,

    lrelu(a + 1/2) - lrelu(a - 1/2) = 0.6 + 0.4 t,   t = clamp(2 a, -1, 1),

with a = u/4 for the dials and a = 12.5 u for the bits (a boundary is then 0.08 wide in u). The second layer passes
every t on and adds one unit for each leaf of the two trees: sum of matching signs minus (bits - 1), which is
positive at one leaf only. What follows is ordinary training: these are initial values.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from prover.generator.model import Linear, Mapping
from prover.generator.targets import ATTRIBUTES, BITS, BODY_BITS, DIALS, HEAD_BITS, TargetMap

WIDTHS = (64, 96)
_BIT_SLOPE, _DIAL_SLOPE = 12.5, 0.25
_LEAF_GAIN = 2.0
_SPARE = 0.1
_W_SCALE = 0.3
_DIAL_GAIN = 2.5


@torch.no_grad()
def initialize_mapping(mapping: Mapping, targets: TargetMap) -> None:
    """Set the two layers of `mapping` (widths 64, 96) in place; spare units start small and random."""
    first, second = mapping.stack
    slopes = torch.tensor([_BIT_SLOPE] * BITS + [_DIAL_SLOPE] * DIALS)
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
    heads, bodies = _signs(HEAD_BITS), _signs(BODY_BITS)
    leaves = torch.zeros(len(heads) + len(bodies), ATTRIBUTES)
    leaves[: len(heads), :HEAD_BITS] = heads
    leaves[len(heads) :, HEAD_BITS:BITS] = bodies
    needed = torch.tensor([HEAD_BITS - 1.0] * len(heads) + [BODY_BITS - 1.0] * len(bodies))
    spare = _SPARE * torch.randn(len(second.weight) - ATTRIBUTES - len(leaves), len(first.weight))
    gains = torch.tensor([1.0] * BITS + [_DIAL_GAIN] * DIALS)
    rows = torch.cat([gains[:, None] * read, _LEAF_GAIN * leaves @ read, spare])
    shift = -_LEAF_GAIN * (needed + 1.5 * leaves.sum(1))
    offset = torch.cat([torch.zeros(ATTRIBUTES), shift, torch.zeros(len(spare))])
    _set(second, _W_SCALE * rows, _W_SCALE * offset)
    mapping.measure_mean()


def _signs(bits: int) -> Tensor:
    """(2^bits, bits) signs of every leaf, first column the highest binary digit."""
    index = torch.arange(2**bits)
    digits = (index[:, None] >> torch.arange(bits - 1, -1, -1)) & 1
    return 2.0 * digits - 1


def _set(layer: Linear, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight / layer.gain)
    layer.bias.copy_(bias / layer.rate)
