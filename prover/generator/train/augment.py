"""Adaptive discriminator augmentation (Karras et al., arXiv 2006.06676), the transformations that matter here.

Every transformation is differentiable and applied with probability p to reals and fakes alike; p follows the
sign of the discriminator's output on reals, so that it hovers at the target overfitting level.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def augment(pictures: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Mirror, shift by up to an eighth, brightness, contrast and channel mixing, each with probability p."""
    count, size = len(pictures), pictures.shape[-1]

    def chosen() -> Tensor:
        return (torch.rand(count, 1, 1, 1, generator=generator) < p).float()

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    x = torch.lerp(pictures, pictures.flip(3), chosen())
    reach = size // 8
    shifts = torch.randint(-reach, reach + 1, (count, 2), generator=generator) * chosen()[:, 0, 0].long()
    rows = (torch.arange(size)[None] + shifts[:, :1]).clamp(0, size - 1)
    columns = (torch.arange(size)[None] + shifts[:, 1:]).clamp(0, size - 1)
    each = torch.arange(count)[:, None, None, None]
    x = x[each, torch.arange(3)[None, :, None, None], rows[:, None, :, None], columns[:, None, None, :]]
    x = x + 0.2 * normal(1, 1, 1) * chosen()
    x = x * torch.exp2(0.5 * normal(1, 1, 1) * chosen())
    mixing = torch.eye(3) + 0.15 * normal(3, 3) * chosen()[:, 0]
    return torch.bmm(mixing, x.flatten(2)).reshape(x.shape)


@dataclass
class AdaptiveProbability:
    """p, moved by `step` images' worth towards the point where `target` of the reals score positive (r_t)."""

    p: float = 0.0
    target: float = 0.6
    images_to_one: int = 20_000

    def update(self, real_scores: Tensor) -> None:
        """Account for one batch of the discriminator's scores of (augmented) reals."""
        overfitting = float(real_scores.sign().mean())
        move = len(real_scores) / self.images_to_one * (1 if overfitting > self.target else -1)
        self.p = min(0.8, max(0.0, self.p + move))
