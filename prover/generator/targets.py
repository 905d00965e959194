"""Which portrait a latent should give: a fixed map from Gaussian z to attributes and target images.

A small generator trained adversarially from a few hundred images needs days of CPU. Matching needs less: give
every latent its picture beforehand and regress. The map is built so that near latents have near pictures:

    u = P z        22 orthonormal projections of z, independent standard normals
    u[0:5]         the head: signs are five bits, a corner of a cube whose neighbours look alike
    u[5:9]         the body, four bits likewise
    u[9]           the skin tone, a position between the six given tones (interpolated)
    u[10:16]       two backdrop colours, blended along the diagonal
    u[16:19]       colour of hair or headgear;  u[19:22] colour of clothing

Shapes are few and change in jumps, colours are many and change smoothly: bits therefore cross over gently
(t = u / 0.2 clamped to [-1, 1], corners blended in proportion), and everything that is not skin or face takes
its colour from the dials (u / 2 clamped to [-1, 1]).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from prover.generator.data import Portraits
from prover.generator.layers import Layer, cube_order, dyeable_body, dyeable_head

Z_DIM = 512
HEAD_BITS, BODY_BITS, DIALS = 5, 4, 13
BITS = HEAD_BITS + BODY_BITS
ATTRIBUTES = BITS + DIALS
CROSSOVER, DIAL_RANGE = 0.2, 2.0
"""Half-width in u of a bit's crossover, and of a dial's range."""

_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_BACKDROP, _HAIR, _CLOTHES = slice(1, 7), slice(7, 10), slice(10, 13)


@dataclass(frozen=True)
class TargetMap:
    """The whole map; `projection` is (22, 512) with orthonormal rows."""

    projection: Tensor
    heads: Layer
    bodies: Layer

    def attributes(self, z: Tensor) -> Tensor:
        """u = P z for z of shape (batch, 512)."""
        return z @ self.projection.T

    def images(self, u: Tensor) -> Tensor:
        """Target pictures (batch, 3, size, size) in [-1, 1]."""
        turned, bits = dials(u), decided(u)
        tone = (turned[:, 0] + 1) * 2.5
        hair, clothes = (_colour(turned[:, part], 0.5, 0.3, 0.3) for part in (_HAIR, _CLOTHES))
        head = self.heads.blend(corner_weights(bits[:, :HEAD_BITS]), tone, hair)
        body = self.bodies.blend(corner_weights(bits[:, HEAD_BITS:]), tone, clothes)
        behind = body[:, :3] + (1 - body[:, 3:]) * self._backdrop(turned[:, _BACKDROP])
        return (head[:, :3] + (1 - head[:, 3:]) * behind).clamp(0, 1) * 2 - 1

    def at_size(self, size: int) -> TargetMap:
        """The same map with pictures of `size` pixels."""
        return replace(self, heads=self.heads.at_size(size), bodies=self.bodies.at_size(size))

    def _backdrop(self, turned: Tensor) -> Tensor:
        colours = _colour(turned.reshape(-1, 2, 3), 0.62, 0.32, 0.32)
        ramp = torch.linspace(0, 1, self.heads.size)
        diagonal = (ramp[:, None] + ramp[None, :]) / 2
        return torch.lerp(colours[:, 0, :, None, None], colours[:, 1, :, None, None], diagonal)


def decided(u: Tensor) -> Tensor:
    """The bits (batch, 9) in [-1, 1], mostly at the ends."""
    return (u[:, :BITS] / CROSSOVER).clamp(-1, 1)


def dials(u: Tensor) -> Tensor:
    """The continuous attributes (batch, 13) in [-1, 1]."""
    return (u[:, BITS:] / DIAL_RANGE).clamp(-1, 1)


def corner_weights(bits: Tensor) -> Tensor:
    """Multilinear weights (batch, 2^n) of the corners of a cube; the first bit is the highest digit."""
    weights = torch.ones(len(bits), 1)
    for column in bits.T:
        share = (column[:, None] + 1) / 2
        weights = torch.stack([weights * (1 - share), weights * share], dim=2).flatten(1)
    return weights


def sample_latents(count: int, generator: torch.Generator) -> Tensor:
    """Standardized Gaussian latents (count, 512), as fingerprints are: mean 0 and mean square 1 each."""
    z = torch.randn(count, Z_DIM, generator=generator)
    z = z - z.mean(1, keepdim=True)
    return z * torch.rsqrt(z.square().mean(1, keepdim=True))


def build_target_map(portraits: Portraits, seed: int) -> TargetMap:
    """Derive the map from the images (32 heads, 16 bodies) and `seed`, deterministically."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(Z_DIM, ATTRIBUTES, generator=generator)).Q.T.contiguous()
    layers = []
    for images, dyeable in ((portraits.heads, dyeable_head), (portraits.bodies, dyeable_body)):
        layer = Layer(torch.from_numpy(images), *dyeable(torch.from_numpy(images)))
        layers.append(layer.reordered(cube_order(layer.neutral(), generator)))
    return TargetMap(basis, layers[0], layers[1])


def _colour(dial: Tensor, luma: float, luma_range: float, chroma: float) -> Tensor:
    """RGB of three dials (..., 3): hue and chroma from a plane, lightness from the third."""
    yiq = torch.cat([luma + luma_range * dial[..., 2:], chroma * dial[..., :2]], dim=-1)
    return (yiq @ torch.linalg.inv(_YIQ).T).clamp(0.02, 1)
