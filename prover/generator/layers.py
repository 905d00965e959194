"""Image layers that can be dyed: skin keeps the colour of its tone, hair, headgear and clothes take any.

What is dyeable shows in the images themselves. Clothes and headgear are the same in all skin tones; hair is black
in the light tone and blond in the next, so it alone is much lighter there. A dyed place is its colour times its
shade, the luminance relative to the mean of that image's dyeable part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
_LIGHT, _MEDIUM_LIGHT, _MEDIUM, _DARK = 1, 2, 3, 5
_MAX_SHADE, _SHADE_POWER = 2.2, 0.75


@dataclass(frozen=True)
class Layer:
    """uint8 premultiplied `rgba` (n, 6, 4, size, size); `mask` in [0, 1] and `shade`, (n, 1, size, size)."""

    rgba: Tensor
    mask: Tensor
    shade: Tensor

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.rgba.shape[-1])

    def blend(self, weights: Tensor, tone: Tensor, colour: Tensor) -> Tensor:
        """Premultiplied RGBA (batch, 4, size, size) in [0, 1].

        `weights` (batch, n) of the images, `tone` (batch,) in [0, 5], `colour` (batch, 3) of what is dyed.
        """
        row, image = weights.nonzero(as_tuple=True)
        low = tone.clamp(0, 4.9999).floor().long()[row]
        part = (tone[row] - low)[:, None, None, None]
        plain = torch.lerp(self.rgba[image, low].float(), self.rgba[image, low + 1].float(), part) / 255
        dyed = (colour[row, :, None, None] * self.shade[image]).clamp(0, 1)
        rgb = torch.lerp(plain[:, :3], dyed, self.mask[image])
        weighted = torch.cat([rgb, plain[:, 3:]], dim=1) * weights[row, image][:, None, None, None]
        return weighted.new_zeros(len(weights), *weighted.shape[1:]).index_add(0, row, weighted)

    def neutral(self) -> Tensor:
        """Every image in the medium tone, dyed grey, on grey (n, 3, size, size)."""
        count = len(self.rgba)
        grey = torch.full((count, 3), 0.5)
        flat = self.blend(torch.eye(count), torch.full((count,), float(_MEDIUM)), grey)
        return flat[:, :3] + 0.6 * (1 - flat[:, 3:])

    def at_size(self, size: int) -> Layer:
        """The layer averaged down to `size` pixels."""
        ratio = self.size // size
        if ratio == 1:
            return self
        count, tones = self.rgba.shape[:2]
        rgba = functional.avg_pool2d(self.rgba.flatten(0, 1).float(), ratio).round().to(torch.uint8)
        mask, shade = (functional.avg_pool2d(x, ratio) for x in (self.mask, self.shade))
        return Layer(rgba.reshape(count, tones, 4, size, size), mask, shade)

    def reordered(self, order: Tensor) -> Layer:
        """The same images in another order."""
        return Layer(self.rgba[order], self.mask[order], self.shade[order])


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


def _luma(rgba: Tensor) -> Tensor:
    return (rgba[:, :, :3].float() / 255 * _LUMA).sum(2, keepdim=True)


def _steady(rgba: Tensor) -> Tensor:
    """(n, 1, size, size): places that look the same in the light and the dark tone."""
    change = (rgba[:, _LIGHT, :3].float() - rgba[:, _DARK, :3].float()).abs().amax(1, keepdim=True)
    return ((28 - change) / 14).clamp(0, 1) * rgba[:, _LIGHT, 3:] / 255


def _relative(luma: Tensor, mask: Tensor) -> Tensor:
    mean = (luma * mask).sum((1, 2, 3), keepdim=True) / mask.sum((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return (luma / mean.clamp_min(0.05)).clamp(0, _MAX_SHADE) ** _SHADE_POWER
