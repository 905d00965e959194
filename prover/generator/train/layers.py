"""Image layers that can be morphed and dyed: skin keeps the colour of its tone, hair, headgear and clothes take any.

What is dyeable shows in the images themselves. Clothes and headgear are the same in all skin tones; hair is black
in the light tone and blond in the next, so it alone is much lighter there. A dyed place is its colour times its
shade, the luminance relative to the mean of that image's dyeable part. Between two images the outlines of skin and
of what is dyed move (see `contours`), so that a mixture is a clear picture too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from huref.prover.generator.train.contours import erode, fill, signed_distance

_LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
_LIGHT, _MEDIUM_LIGHT, _MEDIUM, _DARK = 0, 1, 2, 4
_TONES = 5
_MAX_SHADE, _SHADE_POWER = 2.2, 0.75
_EDGE = 1.5
"""Width in pixels over which an outline fades."""


class Mixture(NamedTuple):
    """`skin` (batch, 3, size, size) in [0, 1], `shade`, `dyed` and `alpha` (batch, 1, size, size)."""

    skin: Tensor
    shade: Tensor
    dyed: Tensor
    alpha: Tensor

    def painted(self, colour: Tensor) -> Tensor:
        """Premultiplied RGBA (batch, 4, size, size); `colour` of what is dyed, (batch, 3, size or 1, size or 1)."""
        rgb = torch.lerp(self.skin, (colour * self.shade).clamp(0, 1), self.dyed)
        return torch.cat([rgb * self.alpha, self.alpha], dim=1)


@dataclass(frozen=True)
class Layer:
    """`skin` colours (n, 5, 3, size, size) and dye `shade` (n, 1, size, size), both known everywhere, and the
    signed distances `skin_edge`, `dyed_edge` (n, 1, size, size) that say where each applies."""

    skin: Tensor
    shade: Tensor
    skin_edge: Tensor
    dyed_edge: Tensor

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.skin.shape[-1])

    @classmethod
    def cut(cls, rgba: Tensor, mask: Tensor, shade: Tensor) -> Layer:
        """From uint8 premultiplied `rgba` (n, 5, 4, size, size), with the dyeable `mask` and its `shade`."""
        opaque = rgba[:, _LIGHT, 3:] > 127
        dyed = (opaque & (mask > 0.5)).float()
        skin = (opaque & (mask <= 0.5)).float()
        inner = erode(skin)[:, None].expand(-1, _TONES, -1, -1, -1).flatten(0, 1)
        flat = rgba.flatten(0, 1).float()
        colours = fill(flat[:, :3] / flat[:, 3:].clamp_min(127), inner).clamp(0, 1)
        return cls(
            colours.reshape(len(rgba), _TONES, 3, *rgba.shape[-2:]),
            fill(shade, erode(dyed)),
            signed_distance(skin),
            signed_distance(dyed),
        )

    def blend(self, weights: Tensor, tone: Tensor) -> Mixture:
        """The weighted mean image, in colours and outlines.

        `weights` (batch, n) of the images sum to 1, `tone` (batch,) lies in [0, 4].
        """
        nearness = (1 - (tone[:, None] - torch.arange(_TONES)).abs()).clamp_min(0)
        toned = (weights[:, :, None] * nearness[:, None, :]).flatten(1)
        skin = _weighted(toned, self.skin.flatten(0, 1))
        dyed_edge = _weighted(weights, self.dyed_edge)
        edge = torch.maximum(_weighted(weights, self.skin_edge), dyed_edge)
        return Mixture(skin, _weighted(weights, self.shade), _inside(dyed_edge), _inside(edge))

    def neutral(self) -> Tensor:
        """Every image in the medium tone, dyed grey, on grey (n, 3, size, size)."""
        count = len(self.skin)
        grey = torch.full((count, 3, 1, 1), 0.5)
        flat = self.blend(torch.eye(count), torch.full((count,), float(_MEDIUM))).painted(grey)
        return flat[:, :3] + 0.6 * (1 - flat[:, 3:])

    def at_size(self, size: int) -> Layer:
        """The layer averaged down to `size` pixels."""
        ratio = self.size // size
        skin = functional.avg_pool2d(self.skin.flatten(0, 1), ratio).unflatten(0, self.skin.shape[:2])
        shade, *edges = (
            functional.avg_pool2d(x, ratio) for x in (self.shade, self.skin_edge, self.dyed_edge)
        )
        return Layer(skin, shade, edges[0] / ratio, edges[1] / ratio)

    def reordered(self, order: Tensor) -> Layer:
        """The same images in another order."""
        return Layer(self.skin[order], self.shade[order], self.skin_edge[order], self.dyed_edge[order])


def dyeable_head(rgba: Tensor) -> tuple[Tensor, Tensor]:
    """Mask and shade of heads: hair, and what is steady outside the face."""
    size = rgba.shape[-1]
    grid = (torch.arange(size) + 0.5) / size
    oval = ((grid[None, :] - 0.5) / 0.19).square() + ((grid[:, None] - 0.48) / 0.17).square()
    steady = _steady(rgba) * torch.sigmoid(8 * (oval - 1))
    luma = _luma(rgba)
    hair = ((luma[:, _MEDIUM_LIGHT] - luma[:, _LIGHT] - 0.10) / 0.08).clamp(0, 1)
    hair = functional.avg_pool2d(functional.max_pool2d(hair, 3, 1, 1), 3, 1, 1) * rgba[:, _LIGHT, 3:] / 255
    shade = torch.where(hair > steady, luma[:, _MEDIUM_LIGHT], luma[:, _MEDIUM])
    mask = torch.maximum(steady, hair)
    return mask, _relative(shade, mask)


def dyeable_body(rgba: Tensor) -> tuple[Tensor, Tensor]:
    """Mask and shade of bodies: all that is steady."""
    mask = _steady(rgba)
    return mask, _relative(_luma(rgba)[:, _MEDIUM], mask)


def cube_order(pictures: Tensor, generator: torch.Generator, restarts: int = 4) -> Tensor:
    """An order of 2^n pictures that puts similar ones at neighbouring corners of the n-cube.

    Minimizes the sum of squared distances over the cube's edges by exchanging pairs, from random orders.
    """
    small = functional.adaptive_avg_pool2d(pictures, 32).flatten(1)
    distances = torch.cdist(small, small).square()
    count = len(pictures)
    index = torch.arange(count)
    edges = torch.zeros(count, count)
    for bit in range(count.bit_length() - 1):
        edges[index, index ^ (1 << bit)] = 1

    def cost(order: Tensor) -> float:
        return float((edges * distances[order][:, order]).sum())

    best, lowest = index, cost(index)
    for _ in range(restarts):
        order = torch.randperm(count, generator=generator)
        current, improved = cost(order), True
        while improved:
            improved = False
            for pair in torch.combinations(index):
                other = order.clone()
                other[pair] = order[pair.flip(0)]
                if (reached := cost(other)) < current - 1e-4:
                    order, current, improved = other, reached, True
        if current < lowest:
            best, lowest = order, current
    return best


def _weighted(weights: Tensor, images: Tensor) -> Tensor:
    return (weights @ images.flatten(1)).reshape(len(weights), *images.shape[1:])


def _inside(distance: Tensor) -> Tensor:
    return (distance / _EDGE + 0.5).clamp(0, 1)


def _luma(rgba: Tensor) -> Tensor:
    return (rgba[:, :, :3].float() / 255 * _LUMA).sum(2, keepdim=True)


def _steady(rgba: Tensor) -> Tensor:
    """(n, 1, size, size): places that look the same in the light and the dark tone."""
    change = (rgba[:, _LIGHT, :3].float() - rgba[:, _DARK, :3].float()).abs().amax(1, keepdim=True)
    return ((28 - change) / 14).clamp(0, 1) * rgba[:, _LIGHT, 3:] / 255


def _relative(luma: Tensor, mask: Tensor) -> Tensor:
    mean = (luma * mask).sum((1, 2, 3), keepdim=True) / mask.sum((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return (luma / mean.clamp_min(0.05)).clamp(0, _MAX_SHADE) ** _SHADE_POWER
