"""Random transformer-like matrices and their six hardened terms, the only data the `cnn` encoder trains on.

No language model is involved (fingerprint §4). What makes unrelated *real* models hard to tell apart from
plain Gaussian matrices is their structure, so it is imitated; ranges follow what terms of real checkpoints
show (effective rank 2–50 of 256, kurtosis 3.2–6):

- embeddings: power-law spectrum over the hidden dimension, token norms that vary, outlier channels;
- weights: power-law spectra of their own per term, heavy-tailed entries, a component common to both
  factors (products close to a multiple of the identity, as in tied or residual-like layers);
- six terms of one model share its embeddings.

The sketches S and T pick disjoint-looking random sums of tokens, so S·X and T·X are drawn directly, as P
rows of one distribution each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCKS = 256
TERMS = 6
HIDDEN = 128
INNER = 96
CLAMP = 2047
TARGET = 26.0
CALIBRATION_ROWS = 16
EMBEDDING_NOISE = 0.4
WEIGHT_NOISE = 0.1


@dataclass(frozen=True)
class RandomModels:
    """A batch of random models: sketched embeddings (2, B, P, d) and weights (2, B, 6, d, inner)."""

    embeddings: Tensor
    weights: Tensor

    def terms(self) -> Tensor:
        """Float terms (S X W1)(T X W2)ᵀ, shape (B, 6, P, P)."""
        left = torch.einsum("bpd,btdi->btpi", self.embeddings[0], self.weights[0])
        right = torch.einsum("bpd,btdi->btpi", self.embeddings[1], self.weights[1])
        return left @ right.transpose(-1, -2)

    def noised(self, generator: torch.Generator) -> RandomModels:
        """A derivative: Gaussian noise of 0.4 of the rms on the embeddings and 0.1 of it on the weights."""

        def add(values: Tensor, strength: float, dims: Sequence[int]) -> Tensor:
            scale = values.square().mean(tuple(dims), keepdim=True).sqrt() * strength
            return values + scale * _normal(values.shape, generator)

        return RandomModels(
            add(self.embeddings, EMBEDDING_NOISE, (-2, -1)), add(self.weights, WEIGHT_NOISE, (-2, -1))
        )


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, device=generator.device)


def _uniform(shape: Sequence[int], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(tuple(shape), generator=generator, device=generator.device)


def _power_law(shape: Sequence[int], length: int, steepest: float, generator: torch.Generator) -> Tensor:
    """Singular-value profiles k^−a, a uniform in [0, steepest], shape (*shape, length)."""
    exponent = _uniform((*shape, 1), 0.0, steepest, generator)
    rank = torch.arange(1, length + 1, device=generator.device, dtype=torch.float32)
    return rank**-exponent


def random_models(batch: int, generator: torch.Generator) -> RandomModels:
    """`batch` independent random models on the generator's device."""
    spectrum = _power_law((batch, 1), HIDDEN, 0.5, generator)
    order = torch.rand((batch, 1, HIDDEN), generator=generator, device=generator.device).argsort(-1)
    spectrum = spectrum.gather(-1, order)
    outlier = torch.rand((batch, 1, HIDDEN), generator=generator, device=generator.device) < 0.01
    spectrum = torch.where(outlier, spectrum * _uniform(spectrum.shape, 1.5, 4.0, generator), spectrum)
    norms = torch.exp(
        _uniform((batch, 1, 1), 0.0, 0.2, generator) * _normal((2, batch, BLOCKS, 1), generator)
    )
    embeddings = _normal((2, batch, BLOCKS, HIDDEN), generator) * spectrum * norms

    shape = (2, batch, TERMS, HIDDEN, INNER)
    weights = _normal(shape, generator)
    weights = weights * torch.exp(0.3 * _normal((2, batch, TERMS, HIDDEN, 1), generator))
    weights = weights * _power_law((2, batch, TERMS), INNER, 0.5, generator)[..., None, :]
    shared = _uniform((batch, TERMS, 1, 1), 0.0, 1.0, generator).square()
    sign = torch.where(_uniform((batch, TERMS, 1, 1), -1.0, 1.0, generator) < 0, -1.0, 1.0)
    tied = (1 - shared).sqrt() * weights[1] + shared.sqrt() * sign * weights[0]
    return RandomModels(embeddings, torch.stack([weights[0], tied]))


def requantize(terms: Tensor, scale: Tensor) -> Tensor:
    """Integer-valued terms: the canonical power-of-two shift of protocol §3.3 after a factor `scale`.

    `scale` (B, 6, 1, 1) stands for the product of the quantizer's step sizes; a model and its derivative
    get the same one, so that now and then a term crosses a power of two, as happens for real derivatives.
    """
    terms = terms * scale
    mean = terms[..., :CALIBRATION_ROWS, :].abs().mean((-2, -1), keepdim=True)
    shift = torch.floor(torch.log2(mean / TARGET)) + 1
    return torch.round(terms * 2.0**-shift).clamp(-CLAMP, CLAMP)


def random_pair(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Integer terms of `batch` random models and of their noised derivatives, each (B, 6, P, P)."""
    models = random_models(batch, generator)
    scale = _step_sizes(batch, generator)
    return requantize(models.terms(), scale), requantize(models.noised(generator).terms(), scale)


def random_anchors(batch: int, generator: torch.Generator) -> Tensor:
    """Integer terms of `batch` random models alone, (B, 6, P, P)."""
    return requantize(random_models(batch, generator).terms(), _step_sizes(batch, generator))


def _step_sizes(batch: int, generator: torch.Generator) -> Tensor:
    return 2.0 ** _uniform((batch, TERMS, 1, 1), 0.0, 1.0, generator)
