"""Which portrait a latent should give: a fixed map from Gaussian z to attributes and target images.

A small generator trained adversarially from a few hundred images needs days of CPU. Matching needs less: give
every latent its picture beforehand and regress. The map is built so that near latents have near pictures:

    u = P z        19 orthonormal projections of z, independent standard normals
    u[0:5]         the head: the signs are five bits, the path through a binary tree of similar heads
    u[5:9]         the body, four bits likewise
    u[9]           the skin tone, a position between the six given tones (interpolated)
    u[10:16]       two background colours, blended along the diagonal
    u[16:19]       hue turns of headgear (or dyed hair) and of clothing, brightness of clothing

The last ten are dials: u / 2 clamped to [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from prover.generator.data import Portraits

Z_DIM = 512
HEAD_BITS, BODY_BITS, DIALS = 5, 4, 10
BITS = HEAD_BITS + BODY_BITS
ATTRIBUTES = BITS + DIALS

_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_MID_TONE, _LIGHTEST, _DARKEST = 3, 1, 5


@dataclass(frozen=True)
class Layer:
    """uint8 premultiplied `rgba` (n, 6, 4, size, size) in tree order, dyeable places `mask` (n, 1, size, size)."""

    rgba: Tensor
    mask: Tensor

    def at(self, index: Tensor, position: Tensor) -> Tensor:
        """RGBA in [0, 1] of the indexed images at a tone position in [0, 5]."""
        low = position.clamp(0, 4.9999).floor().long()
        part = (position - low)[:, None, None, None]
        return torch.lerp(self.rgba[index, low].float(), self.rgba[index, low + 1].float(), part) / 255

    def at_size(self, size: int) -> Layer:
        """The layer averaged down to `size` pixels."""
        ratio = self.rgba.shape[-1] // size
        if ratio == 1:
            return self
        count, tones = self.rgba.shape[:2]
        rgba = functional.avg_pool2d(self.rgba.flatten(0, 1).float(), ratio).round().to(torch.uint8)
        mask = functional.avg_pool2d(self.mask.float(), ratio).round().to(torch.uint8)
        return Layer(rgba.reshape(count, tones, 4, size, size), mask)


@dataclass(frozen=True)
class TargetMap:
    """The whole map; `projection` is (19, 512) with orthonormal rows."""

    projection: Tensor
    heads: Layer
    bodies: Layer

    def attributes(self, z: Tensor) -> Tensor:
        """u = P z for z of shape (batch, 512)."""
        return z @ self.projection.T

    def images(self, u: Tensor) -> Tensor:
        """Target pictures (batch, 3, size, size) in [-1, 1]."""
        turned = dials(u)
        tone = (turned[:, 0] + 1) * 2.5
        head_index, body_index = leaf(u[:, :HEAD_BITS]), leaf(u[:, HEAD_BITS:BITS])
        head, body = self.heads.at(head_index, tone), self.bodies.at(body_index, tone)
        head_rgb = _dyed(head[:, :3], self.heads.mask[head_index], turned[:, 7], torch.zeros(len(u)))
        body_rgb = _dyed(body[:, :3], self.bodies.mask[body_index], turned[:, 8], turned[:, 9])
        behind = body_rgb + (1 - body[:, 3:]) * self._backdrop(turned[:, 1:7])
        return (head_rgb + (1 - head[:, 3:]) * behind).clamp(0, 1) * 2 - 1

    def at_size(self, size: int) -> TargetMap:
        """The same map with pictures of `size` pixels."""
        return replace(self, heads=self.heads.at_size(size), bodies=self.bodies.at_size(size))

    def _backdrop(self, turned: Tensor) -> Tensor:
        """Two clear colours: hue and chroma from two dials, lightness from a third, each; blended diagonally."""
        pairs = turned.reshape(-1, 2, 3)
        yiq = torch.cat([0.62 + 0.26 * pairs[..., 2:], 0.27 * pairs[..., :2]], dim=-1)
        first, second = (yiq @ torch.linalg.inv(_YIQ).T).clamp(0.02, 1).unbind(1)
        ramp = torch.linspace(0, 1, self.heads.rgba.shape[-1])
        diagonal = (ramp[:, None] + ramp[None, :]) / 2
        return torch.lerp(first[:, :, None, None], second[:, :, None, None], diagonal)


def sample_latents(count: int, generator: torch.Generator) -> Tensor:
    """Standardized Gaussian latents (count, 512), as fingerprints are: mean 0 and mean square 1 each."""
    z = torch.randn(count, Z_DIM, generator=generator)
    z = z - z.mean(1, keepdim=True)
    return z * torch.rsqrt(z.square().mean(1, keepdim=True))


def dials(u: Tensor) -> Tensor:
    """The continuous attributes (batch, 10) in [-1, 1]."""
    return (u[:, BITS:] / 2).clamp(-1, 1)


def leaf(u: Tensor) -> Tensor:
    """Index whose binary digits, first column highest, are the signs of u (batch, bits)."""
    powers = 2 ** torch.arange(u.shape[1] - 1, -1, -1)
    return ((u > 0).long() * powers).sum(1)


def build_target_map(portraits: Portraits, seed: int) -> TargetMap:
    """Derive the map from the images and `seed`, deterministically."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(Z_DIM, ATTRIBUTES, generator=generator)).Q.T.contiguous()
    layers = []
    for images in (portraits.heads, portraits.bodies):
        rgba = torch.from_numpy(images)
        rgba = rgba[_tree_order(rgba)]
        layers.append(Layer(rgba, _dye_mask(rgba)))
    return TargetMap(basis, layers[0], layers[1])


def _tree_order(rgba: Tensor) -> Tensor:
    """Order of a power of two of images such that halves, quarters, ... hold similar ones: recursive splits at
    the median of the first principal component of the blurred mid-tone pictures."""
    mid = rgba[:, _MID_TONE].float() / 255
    flat = functional.adaptive_avg_pool2d(mid[:, :3] + 0.6 * (1 - mid[:, 3:]), 16).flatten(1)

    def ordered(members: Tensor) -> Tensor:
        if len(members) == 1:
            return members
        centred = flat[members] - flat[members].mean(0)
        component = torch.linalg.svd(centred, full_matrices=False)[2][0]
        component = component * torch.sign(component[component.abs().argmax()])
        ranked = members[torch.argsort(centred @ component)]
        half = len(members) // 2
        return torch.cat([ordered(ranked[:half]), ordered(ranked[half:])])

    return ordered(torch.arange(len(flat)))


def _dyed(rgb: Tensor, mask: Tensor, hue: Tensor, brightness: Tensor) -> Tensor:
    """Turn hue (dial -1..1, +-153 degrees) and scale brightness (+-22 %) where the mask says."""
    angle, gain = 0.85 * math.pi * hue, 1 + 0.22 * brightness
    turn = torch.zeros(len(rgb), 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = torch.cos(angle)
    turn[:, 1, 2], turn[:, 2, 1] = -torch.sin(angle), torch.sin(angle)
    matrix = gain[:, None, None] * (torch.linalg.inv(_YIQ) @ turn @ _YIQ)
    dyed = torch.bmm(matrix, rgb.flatten(2)).reshape(rgb.shape)
    return torch.lerp(rgb, dyed, mask.float() / 255)


def _dye_mask(layer: Tensor) -> Tensor:
    """uint8 (n, 1, size, size): saturated places that do not change with the skin tone."""
    lightest, darkest = layer[:, _LIGHTEST, :3].float(), layer[:, _DARKEST, :3].float()
    change = (lightest - darkest).abs().amax(1, keepdim=True)
    spread = lightest.amax(1, keepdim=True) - lightest.amin(1, keepdim=True)
    mask = ((28 - change) / 14).clamp(0, 1) * ((spread - 25) / 25).clamp(0, 1)
    return (functional.avg_pool2d(mask, 3, 1, 1) * 255).round().to(torch.uint8)
