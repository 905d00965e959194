"""Which portrait a latent should give: a fixed map from Gaussian z to attributes and target images.

A small generator trained adversarially from a few hundred images needs days of CPU. Matching needs less: give
every latent its picture beforehand and regress. The map is built so that near latents have near pictures:

    u = P z        30 orthonormal projections of z, independent standard normals
    u[0:12]        the head, by semi-discrete optimal transport from N(0, I) to image features
                   (argmax_k <u, y_k> - h_k), so that neighbouring cells hold similar-looking heads
    u[12:20]       the body, likewise
    u[20]          the skin tone, a position between the six given tones (interpolated)
    u[21:27]       two background colours, blended along the diagonal
    u[27:30]       hue turns of headgear (or dyed hair) and of clothing, brightness of clothing
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from prover.generator.data import Portraits

Z_DIM = 512
HEAD, BODY = slice(0, 12), slice(12, 20)
_TONE, _BACKGROUND, _DYES = 20, slice(21, 27), slice(27, 30)
ATTRIBUTES = 30
DIALS = 10
"""Continuous attributes a mapping network is asked for: tone, two RGB colours, three dye dials."""

_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_MID_TONE, _LIGHTEST, _DARKEST = 3, 1, 5


@dataclass(frozen=True)
class Transport:
    """`sites` (n, d) and `offsets` (n,): the cell of u in R^d is argmax_k <u, sites_k> - offsets_k."""

    sites: Tensor
    offsets: Tensor

    def cell(self, u: Tensor) -> Tensor:
        """Index of the cell of each row of u (batch, d)."""
        return torch.argmax(u @ self.sites.T - self.offsets, dim=1)


@dataclass(frozen=True)
class Layer:
    """uint8 premultiplied `rgba` (n, 6, 4, size, size) and the dyeable places `mask` (n, 1, size, size)."""

    rgba: Tensor
    mask: Tensor

    def at(self, index: Tensor, position: Tensor) -> Tensor:
        """RGBA in [0, 1] of the indexed images at a tone position in [0, 5]."""
        low = position.clamp(0, 4.9999).floor().long()
        part = (position - low)[:, None, None, None]
        return torch.lerp(self.rgba[index, low].float(), self.rgba[index, low + 1].float(), part) / 255


@dataclass(frozen=True)
class TargetMap:
    """The whole map; `projection` is (30, 512) with orthonormal rows."""

    projection: Tensor
    head: Transport
    body: Transport
    head_layer: Layer
    body_layer: Layer

    def attributes(self, z: Tensor) -> Tensor:
        """u = P z for z of shape (batch, 512)."""
        return z @ self.projection.T

    def dials(self, u: Tensor) -> Tensor:
        """The continuous attributes (batch, 10), about -1..1."""
        return (
            torch.cat([_uniform(u[:, _TONE : _TONE + 1]), _background(u), _uniform(u[:, _DYES])], 1) * 2 - 1
        )

    def images(self, u: Tensor) -> Tensor:
        """Target pictures (batch, 3, size, size) in [-1, 1]."""
        tone = _uniform(u[:, _TONE]) * 5
        dyes = _uniform(u[:, _DYES]) * 2 - 1
        which_head, which_body = self.head.cell(u[:, HEAD]), self.body.cell(u[:, BODY])
        head = self.head_layer.at(which_head, tone)
        body = self.body_layer.at(which_body, tone)
        head_rgb = _dyed(head[:, :3], self.head_layer.mask[which_head], dyes[:, 0], torch.zeros(len(u)))
        body_rgb = _dyed(body[:, :3], self.body_layer.mask[which_body], dyes[:, 1], dyes[:, 2])
        behind = body_rgb + (1 - body[:, 3:]) * self._backdrop(u)
        return (head_rgb + (1 - head[:, 3:]) * behind).clamp(0, 1) * 2 - 1

    def _backdrop(self, u: Tensor) -> Tensor:
        first, second = _background(u).reshape(-1, 2, 3).unbind(1)
        ramp = torch.linspace(0, 1, self.head_layer.rgba.shape[-1])
        diagonal = (ramp[:, None] + ramp[None, :]) / 2
        return torch.lerp(first[:, :, None, None], second[:, :, None, None], diagonal)


def build_target_map(portraits: Portraits, seed: int) -> TargetMap:
    """Derive the map from the images and `seed`, deterministically."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(Z_DIM, ATTRIBUTES, generator=generator)).Q.T.contiguous()
    heads, bodies = torch.from_numpy(portraits.heads), torch.from_numpy(portraits.bodies)
    return TargetMap(
        basis,
        _transport(heads, HEAD.stop - HEAD.start, generator),
        _transport(bodies, BODY.stop - BODY.start, generator),
        Layer(heads, _dye_mask(heads)),
        Layer(bodies, _dye_mask(bodies)),
    )


def at_size(targets: TargetMap, portraits: Portraits, size: int) -> TargetMap:
    """The same map with pictures of `size` pixels, averaged down from larger layers."""
    layers = [
        _halved(Layer(x, _dye_mask(x)), size)
        for x in map(torch.from_numpy, (portraits.heads, portraits.bodies))
    ]
    return replace(targets, head_layer=layers[0], body_layer=layers[1])


def _halved(layer: Layer, size: int) -> Layer:
    ratio = layer.rgba.shape[-1] // size
    if ratio == 1:
        return layer
    count, tones = layer.rgba.shape[:2]
    rgba = functional.avg_pool2d(layer.rgba.flatten(0, 1).float(), ratio).round().to(torch.uint8)
    mask = functional.avg_pool2d(layer.mask.float(), ratio).round().to(torch.uint8)
    return Layer(rgba.reshape(count, tones, 4, size, size), mask)


def _uniform(u: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(u / math.sqrt(2)))


def _background(u: Tensor) -> Tensor:
    """Two clear colours (batch, 6) in RGB: hue and chroma from a plane, lightness from a third coordinate."""
    plane = u[:, _BACKGROUND].reshape(-1, 2, 3)
    radius2 = plane[..., :2].square().sum(-1, keepdim=True)
    chroma = plane[..., :2] * torch.sqrt((1 - torch.exp(-radius2 / 2)) / radius2.clamp_min(1e-9)) * 0.34
    luma = 0.62 + 0.26 * (_uniform(plane[..., 2:]) * 2 - 1)
    yiq = torch.cat([luma, chroma], dim=-1)
    return (yiq @ torch.linalg.inv(_YIQ).T).clamp(0.02, 1).reshape(-1, 6)


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


def _transport(layer: Tensor, dims: int, generator: torch.Generator, steps: int = 2000) -> Transport:
    """Sites: half-whitened principal components of the blurred mid-tone pictures. Offsets: equal masses,
    by stochastic ascent on the semi-discrete dual."""
    rgba = layer[:, _MID_TONE].float() / 255
    flat = rgba[:, :3] + 0.6 * (1 - rgba[:, 3:])
    small = functional.adaptive_avg_pool2d(flat, 16).flatten(1)
    left, scale, _ = torch.linalg.svd(small - small.mean(0), full_matrices=False)
    sites = left[:, :dims] * scale[:dims].sqrt()
    sites = sites / sites.square().mean().sqrt()
    offsets, average = torch.zeros(len(sites)), torch.zeros(len(sites))
    for step in range(steps):
        u = torch.randn(1024, dims, generator=generator)
        mass = torch.bincount(Transport(sites, offsets).cell(u), minlength=len(sites)) / 1024
        offsets = offsets + (mass - 1 / len(sites)) * 8 / math.sqrt(1 + step / 50)
        if step >= steps // 2:
            average += offsets
    return Transport(sites, average / (steps - steps // 2))


def _dye_mask(layer: Tensor) -> Tensor:
    """uint8 (n, 1, size, size): saturated places that do not change with the skin tone."""
    lightest, darkest = layer[:, _LIGHTEST, :3].float(), layer[:, _DARKEST, :3].float()
    change = (lightest - darkest).abs().amax(1, keepdim=True)
    spread = lightest.amax(1, keepdim=True) - lightest.amin(1, keepdim=True)
    mask = ((28 - change) / 14).clamp(0, 1) * ((spread - 25) / 25).clamp(0, 1)
    return (functional.avg_pool2d(mask, 3, 1, 1) * 255).round().to(torch.uint8)
