"""Which portrait a latent should give: a fixed map from Gaussian z to attributes and target images.

A small generator trained adversarially from a few hundred images needs days of CPU. Matching needs less: give
every latent its picture beforehand and regress. Near latents must have near pictures and far latents far ones,
for every pair, so the map is a smooth one of many independent attributes and decides nothing:

    u = P z        72 orthonormal projections of z, independent standard normals
    u[0:4]         the head, a place in a cube with a head at each of its 16 corners; neighbours look alike
    u[4:7]         the body, a place among eight likewise
    u[7]           the skin tone, a position between the five given tones
    u[8:14]        colours of hair or headgear, above and below;  u[14:20] of clothing, its dark and light parts
    u[20:24]       pose: tilt, size, width, and place of the head
    u[24:72]       sixteen backdrop colours on a 4x4 grid, blended into one another

Heads and bodies between the corners are morphs with clear outlines (`layers`). Of the distance between two
pictures most lies in the many colours, which move linearly (u / 2 clamped to [-1, 1]): over so many dimensions
two strangers are never alike by chance, whichever shapes they share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from huref.prover.generator.train.data import Portraits
from huref.prover.generator.train.layers import Layer, cube_order, dyeable_body, dyeable_head

Z_DIM = 512
HEAD_AXES, BODY_AXES = 4, 3
SHAPES = HEAD_AXES + BODY_AXES
GRID = 4
DIALS = 1 + 6 + 6 + 4 + 3 * GRID * GRID
ATTRIBUTES = SHAPES + DIALS
SHAPE_RANGE, DIAL_RANGE = 0.7, 2.0
"""Half-width in u over which a shape goes from one side of its cube to the other, and of a dial's range."""

_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_HAIR, _CLOTHES, _POSE, _BACKDROP = slice(1, 7), slice(7, 13), slice(13, 17), slice(17, DIALS)
_TILT, _SIZE, _WIDTH, _SHIFT = 0.16, 0.12, 0.12, 0.12
"""Largest tilt (radians), relative size and width, and shift (half sides), in either direction."""

_NECK = 0.45
"""Where the head turns: down from the centre, in half sides."""


@dataclass(frozen=True)
class TargetMap:
    """The whole map; `projection` is (72, 512) with orthonormal rows."""

    projection: Tensor
    heads: Layer
    bodies: Layer

    def attributes(self, z: Tensor) -> Tensor:
        """u = P z for z of shape (batch, 512)."""
        return z @ self.projection.T

    def images(self, u: Tensor) -> Tensor:
        """Target pictures (batch, 3, size, size) in [-1, 1]."""
        turned, placed = dials(u), shapes(u)
        tone = (turned[:, 0] + 1) * 2
        centres = (torch.arange(self.heads.size) + 0.5) / self.heads.size
        hair, clothes = (
            _colour(turned[:, part].reshape(-1, 2, 3), 0.5, 0.3, 0.36) for part in (_HAIR, _CLOTHES)
        )
        below = ((centres - 0.28) / 0.25).clamp(0, 1)[None, None, :, None]
        head = self.heads.blend(corner_weights(placed[:, :HEAD_AXES]), tone)
        body = self.bodies.blend(corner_weights(placed[:, HEAD_AXES:]), tone)
        bright = 0.7 * ((body.shade - 0.95) / 0.4).clamp(0, 1) + 0.3 * centres
        picture = self._backdrop(turned[:, _BACKDROP])
        for layer, motion in zip(
            (body.painted(_between(clothes, bright)), head.painted(_between(hair, below))),
            _motions(turned[:, _POSE]),
            strict=True,
        ):
            moved = functional.grid_sample(
                layer,
                functional.affine_grid(motion, list(layer.shape), align_corners=False),
                padding_mode="border",
                align_corners=False,
            )
            picture = moved[:, :3] + (1 - moved[:, 3:]) * picture
        return picture.clamp(0, 1) * 2 - 1

    def at_size(self, size: int) -> TargetMap:
        """The same map with pictures of `size` pixels."""
        return replace(self, heads=self.heads.at_size(size), bodies=self.bodies.at_size(size))

    def _backdrop(self, turned: Tensor) -> Tensor:
        colours = _colour(turned.reshape(-1, GRID * GRID, 3), 0.58, 0.24, 0.32)
        field = colours.transpose(1, 2).unflatten(2, (GRID, GRID))
        return functional.interpolate(field, size=self.heads.size, mode="bicubic", align_corners=False)


def shapes(u: Tensor) -> Tensor:
    """Places of head and body in their cubes (batch, 7), in [-1, 1]."""
    return (u[:, :SHAPES] / SHAPE_RANGE).clamp(-1, 1)


def dials(u: Tensor) -> Tensor:
    """The other attributes (batch, 65) in [-1, 1]."""
    return (u[:, SHAPES:] / DIAL_RANGE).clamp(-1, 1)


def corner_weights(places: Tensor) -> Tensor:
    """Multilinear weights (batch, 2^n) of the corners of a cube; the first axis is the highest digit."""
    weights = torch.ones(len(places), 1)
    for column in places.T:
        share = (column[:, None] + 1) / 2
        weights = torch.stack([weights * (1 - share), weights * share], dim=2).flatten(1)
    return weights


def sample_latents(count: int, generator: torch.Generator) -> Tensor:
    """Standardized Gaussian latents (count, 512), as fingerprints are: mean 0 and mean square 1 each."""
    z = torch.randn(count, Z_DIM, generator=generator)
    z = z - z.mean(1, keepdim=True)
    return z * torch.rsqrt(z.square().mean(1, keepdim=True))


def build_target_map(portraits: Portraits, seed: int) -> TargetMap:
    """Derive the map from the images (16 heads, 8 bodies) and `seed`, deterministically."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(Z_DIM, ATTRIBUTES, generator=generator)).Q.T.contiguous()
    layers = []
    for images, dyeable in ((portraits.heads, dyeable_head), (portraits.bodies, dyeable_body)):
        rgba = torch.from_numpy(images)
        layer = Layer.cut(rgba, *dyeable(rgba))
        layers.append(layer.reordered(cube_order(layer.neutral(), generator)))
    return TargetMap(basis, layers[0], layers[1])


def _motions(pose: Tensor) -> tuple[Tensor, Tensor]:
    """Affine maps (batch, 2, 3) from places in the picture to places in the body's and in the head's layer."""
    tilt, size, width, shift = (pose * torch.tensor([_TILT, _SIZE, _WIDTH, _SHIFT])).T
    wide, scale = 1 / (1 + width), 1 / (1 + size)
    nothing = torch.zeros_like(tilt)
    body = torch.stack([wide, nothing, -0.5 * shift, nothing, nothing + 1, nothing], dim=1)
    across, down = scale * tilt.cos(), scale * tilt.sin()
    head = torch.stack(
        [across * wide, -down * wide, _NECK * down * wide - shift, down, across, _NECK * (1 - across)], dim=1
    )
    return body.reshape(-1, 2, 3), head.reshape(-1, 2, 3)


def _between(colours: Tensor, part: Tensor) -> Tensor:
    """From the first to the second of two colours (batch, 2, 3), where `part` (batch or 1, 1, ...) is 0 to 1."""
    return torch.lerp(colours[:, 0, :, None, None], colours[:, 1, :, None, None], part)


def _colour(dial: Tensor, luma: float, luma_range: float, chroma: float) -> Tensor:
    """RGB of three dials (..., 3): hue and chroma from a plane, lightness from the third."""
    yiq = torch.cat([luma + luma_range * dial[..., 2:], chroma * dial[..., :2]], dim=-1)
    return (yiq @ torch.linalg.inv(_YIQ).T).clamp(0.02, 1)
