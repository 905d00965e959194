"""Train the `cnn` encoder on random matrices: `python -m huref.prover.train.encoder --out encoder_cnn.npz`.

One network per term is trained, shared by the six terms. Loss, after the paper (fingerprint §4):
1.3·(1 − cos(anchor, noised anchor)) + 0.7·|cos(anchor, other)|, plus an adversarial term in which a
512-256-128-1 discriminator tells standardized fingerprints from N(0, I). Then, without gradients: the last
(linear) layer is multiplied by Cov(v)^−½, so that outputs are uncorrelated and unrelated inputs spread over
the whole sphere; each term gets a random rotation of it, so that no two terms share an output; hidden
channels are rescaled to equal strength (ReLU is homogeneous, so this changes nothing); and every layer is
rounded to int8. `huref.circuits.fingerprint.encoder_cnn` has the architecture and says why it is odd and grouped.

A seed fixes the run on one machine and thread count; sums are ordered differently elsewhere, so the shipped
file is pinned by its digest and a rerun is compared by how it separates models, not byte by byte.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from huref.circuits.fingerprint.encoder_cnn import (
    PADDINGS,
    STORED_SHAPES,
    STRIDES,
    TERM_CHANNELS,
    TERMS,
    expand,
    weights_digest,
)
from huref.circuits.fingerprint.sketch import segments
from huref.circuits.program.program import OUTPUTS
from huref.common.errors import ProverError
from huref.prover.train.random_terms import CALIBRATION_ROWS, CLAMP, TARGET, random_anchors, random_pair

RELATED_WEIGHT = 1.3
OTHER_WEIGHT = 0.7
ADVERSARIAL_WEIGHT = 0.1
RELATIVE_RATE = 0.03
"""Adam step per weight, relative to the layer's initial rms."""
DISCRIMINATOR_RATE = 1e-4
WARM_UP = 20
HELD_OUT_SEED = 1 << 20


SEGMENTS = segments(TERMS)
TERM_OUTPUTS = max(segment.stop - segment.start for segment in SEGMENTS)
"""Outputs of the trained network of one term; shorter segments of v take the first ones."""


class TermEncoder(nn.Module):
    """The odd network of one term in floating point: (N, P, P) integer-valued terms to (N, 86)."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.stored = nn.ParameterList()
        for layer, (_, width, *kernel) in enumerate(STORED_SHAPES):
            outputs = STORED_SHAPES[layer][0] if layer < 3 else TERM_OUTPUTS
            fan_in = TERM_CHANNELS[layer] * kernel[0] * kernel[1]
            deviation = math.sqrt(2 / fan_in) if layer else 1 / (TARGET * math.sqrt(fan_in))
            values = torch.randn((outputs, width, *kernel), generator=generator) * deviation
            self.stored.append(nn.Parameter(values))

    def activations(self, terms: Tensor) -> list[Tensor]:
        """Outputs of the four layers, ReLU applied to the first three."""
        first, second, third, last = self.stored
        kernels = (
            torch.cat([first, -first]),
            torch.cat([second, second.roll(second.shape[1] // 2, 1)]),
            torch.cat([third, third.roll(third.shape[1] // 2, 1)]),
            torch.cat([last, -last], 1),
        )
        signal = terms[:, None]
        found: list[Tensor] = []
        for layer, kernel in enumerate(kernels):
            signal = functional.conv2d(signal, kernel, stride=STRIDES[layer], padding=PADDINGS[layer])
            signal = signal.relu() if layer < 3 else signal
            found.append(signal)
        return found

    def forward(self, terms: Tensor) -> Tensor:
        """One term's outputs before standardization."""
        return self.activations(terms)[-1].sum((2, 3))


def unit(v: Tensor) -> Tensor:
    """Each row centred and scaled to length 1."""
    return functional.normalize(v - v.mean(-1, keepdim=True), dim=-1)


def fingerprints(directions: Tensor) -> Tensor:
    """(B·6, 86) unit rows of the terms to (B, 512) entries of mean 0 and variance about 1."""
    by_term = directions.reshape(-1, TERMS, TERM_OUTPUTS) * math.sqrt(TERM_OUTPUTS)
    parts = [by_term[:, t, : segment.stop - segment.start] for t, segment in enumerate(SEGMENTS)]
    return torch.cat(parts, 1)


def discriminator() -> nn.Sequential:
    """512-256-128-1, on standardized fingerprints; positive means `looks Gaussian`."""
    return nn.Sequential(
        nn.Linear(OUTPUTS, 256), nn.LeakyReLU(0.2), nn.Linear(256, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)
    )


def fit(encoder: TermEncoder, steps: int, batch: int, generator: torch.Generator) -> None:
    """Adversarial contrastive training in place, cosine schedule with warm-up."""
    device = generator.device
    critic = discriminator().to(device)
    rates = [RELATIVE_RATE * float(kernel.detach().std()) for kernel in encoder.stored]
    groups = [{"params": [kernel], "lr": rate} for kernel, rate in zip(encoder.stored, rates, strict=True)]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    critic_optimizer = torch.optim.Adam(critic.parameters(), DISCRIMINATOR_RATE, betas=(0.5, 0.99))
    count = batch * TERMS
    others = ~torch.eye(count, dtype=torch.bool, device=device)
    bar = tqdm(range(steps), desc="training", file=sys.stderr)
    for step in bar:
        schedule = min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * schedule
        directions = unit(encoder(torch.cat(random_pair(batch, generator)).flatten(0, 1)))
        anchor, noised = directions[:count], directions[count:]
        made = fingerprints(directions)
        gaussian = torch.randn(made.shape, generator=generator, device=device)

        judged = functional.softplus(-critic(gaussian)) + functional.softplus(critic(made.detach()))
        critic_optimizer.zero_grad()
        judged.mean().backward()
        critic_optimizer.step()

        related = (anchor * noised).sum(1).mean()
        unrelated = (anchor @ anchor.T)[others].abs().mean()
        loss = RELATED_WEIGHT * (1 - related) + OTHER_WEIGHT * unrelated
        loss = loss + ADVERSARIAL_WEIGHT * functional.softplus(-critic(made)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bar.set_postfix(related=f"{related.item():.3f}", unrelated=f"{unrelated.item():.3f}")


@torch.no_grad()
def whiten(encoder: TermEncoder, samples: int, batch: int, generator: torch.Generator) -> None:
    """Multiply the last layer by Cov(v)^−½ over the terms of `samples` random models, in place.

    The mean is zero because the network is odd.
    """
    covariance = torch.zeros(TERM_OUTPUTS, TERM_OUTPUTS, dtype=torch.float64, device=generator.device)
    for _ in tqdm(range(samples // batch), desc="whitening", file=sys.stderr):
        v = functional.normalize(encoder(random_anchors(batch, generator).flatten(0, 1)).double())
        covariance += v.T @ v
    values, vectors = torch.linalg.eigh(covariance / covariance.trace() * TERM_OUTPUTS)
    root = vectors @ torch.diag(values.clamp_min(1e-4).rsqrt()) @ vectors.T
    last = encoder.stored[3]
    last.copy_(torch.einsum("op,pcab->ocab", root.to(last.dtype), last))


@torch.no_grad()
def balance(encoder: TermEncoder, terms: Tensor) -> None:
    """Bring strong hidden channels to one rms on `terms` (N, P, P) and let the next layer undo it; v stays."""
    for layer, (kernel, following) in enumerate(pairwise(encoder.stored)):
        strength = encoder.activations(terms)[layer].square().mean((0, 2, 3))
        half = len(kernel)
        rms = ((strength[:half] + strength[half:]) / 2).sqrt()
        rms = rms.clamp_min(float(rms.median()))  # weak and dead channels are not amplified
        kernel.div_(rms[:, None, None, None])
        following.mul_(rms.repeat(following.shape[1] // half)[None, :, None, None])


@torch.no_grad()
def rotated(last: Tensor, seed: int) -> Tensor:
    """The last layer of all 512 outputs: for each term its own random rotation of `last` (86, …)."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[Tensor] = []
    for segment in SEGMENTS:
        rotation, _ = torch.linalg.qr(torch.randn(TERM_OUTPUTS, TERM_OUTPUTS, generator=generator))
        rows = rotation[: segment.stop - segment.start].to(last)
        parts.append(torch.einsum("op,pcab->ocab", rows, last))
    return torch.cat(parts)


def to_int8(kernel: NDArray[np.float64]) -> NDArray[np.int8]:
    """Round to [−127, 127] with the one step size, of a fixed grid, that loses the least energy."""
    steps = np.abs(kernel).max() / 127 * np.linspace(0.3, 1.0, 29)
    errors = [np.square(kernel - step * np.clip(np.rint(kernel / step), -127, 127)).sum() for step in steps]
    step = steps[int(np.argmin(errors))]
    return np.clip(np.rint(kernel / step), -127, 127).astype(np.int8)


@torch.no_grad()
def integer_forward(kernels: Sequence[NDArray[np.generic]], terms: Tensor, rounding: bool = True) -> Tensor:
    """The encoder on one sample (6, P, P) in float64, exact for integers, clamps all 2047: v (512,).

    Without `rounding` nothing is rounded or clamped: the float network that the int8 one stands for.
    """
    signal = terms.double()[None]
    for layer, kernel in enumerate(kernels):
        acc = functional.conv2d(
            signal, torch.from_numpy(kernel).to(signal), stride=STRIDES[layer], padding=PADDINGS[layer]
        )
        low = 0.0 if layer < 3 else -math.inf
        signal, shift = acc.clamp_min(low), 0
        while rounding and float(signal[:, :, :CALIBRATION_ROWS].abs().mean()) >= TARGET:
            shift += 1
            rounded = torch.floor((acc + 2.0 ** (shift - 1)) / 2.0**shift)
            signal = rounded.clamp(max(low, -CLAMP), CLAMP)
    return signal.sum((2, 3))[0]


def report(stored: tuple[NDArray[np.int8], ...], floats: list[NDArray[np.float64]], batch: int) -> str:
    """Held-out separation of the integer encoder, and its cosine with the float network."""
    anchors, noised = random_pair(batch, torch.Generator().manual_seed(HELD_OUT_SEED))
    terms = torch.cat([anchors, noised])
    integer = by_segment([integer_forward(expand(stored), sample) for sample in terms])
    exact = by_segment([integer_forward(expand(tuple(floats)), sample, rounding=False) for sample in terms])
    cosines = integer[:batch] @ integer[:batch].T
    unrelated = cosines[~torch.eye(batch, dtype=torch.bool)]
    return (
        f"related {float((integer[:batch] * integer[batch:]).sum(1).mean()):.3f}, "
        f"unrelated rms {float(unrelated.square().mean().sqrt()):.4f} max {float(unrelated.abs().max()):.3f}, "
        f"integer against float min {float((integer * exact).sum(1).min()):.4f}"
    )


def by_segment(vectors: list[Tensor]) -> Tensor:
    """Stacked v (512,) with every segment centred and scaled alike, rows of length 1."""
    v = torch.stack(vectors)
    return functional.normalize(torch.cat([unit(v[:, segment]) for segment in SEGMENTS], 1))


def train(
    steps: int, batch: int, samples: int, seed: int, device: torch.device
) -> tuple[tuple[NDArray[np.int8], ...], list[NDArray[np.float64]]]:
    """The four stored kernels in int8, and in floating point before rounding."""
    torch.manual_seed(seed)
    generator = torch.Generator(device).manual_seed(seed)
    encoder = TermEncoder(seed).to(device)
    whiten(encoder, samples // 4, batch, generator)
    fit(encoder, steps, batch, generator)
    whiten(encoder, samples, batch, generator)
    generator.manual_seed(seed)
    balance(encoder, random_anchors(batch, generator).flatten(0, 1))
    kernels = [kernel.detach().cpu() for kernel in encoder.stored]
    kernels[3] = rotated(kernels[3], seed)
    floats = [kernel.double().numpy() for kernel in kernels]
    if not all(np.isfinite(kernel).all() for kernel in floats):
        raise ProverError("training diverged", hint="use fewer steps or another seed")
    return tuple(to_int8(kernel) for kernel in floats), floats


def main() -> None:
    """Command line of the training script; prints the digest that goes into `circuits/fingerprint/encoder_cnn.py`."""
    parser = argparse.ArgumentParser(description="Train the cnn encoder on random matrices.")
    parser.add_argument("--out", type=Path, required=True, help="weight file to write (.npz)")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=16, help="random models per step, six terms each")
    parser.add_argument("--samples", type=int, default=1024, help="random models used for whitening")
    parser.add_argument("--seed", type=int, default=20240)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    stored, floats = train(options.steps, options.batch, options.samples, options.seed, device)
    temporary = options.out.with_name(options.out.name + ".partial")
    with temporary.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, **{f"conv{layer + 1}": array for layer, array in enumerate(stored)}
        )
    os.replace(temporary, options.out)
    print(f"digest {weights_digest(stored)}")
    print(report(stored, floats, options.batch))


if __name__ == "__main__":
    main()
