"""Third stage, or the whole training for a set without a target map: the StyleGAN2 losses.

Non-saturating logistic loss, lazy R1 on reals (every 16 steps), optional lazy path length regularization
(every 8), adaptive augmentation, weight averaging. With targets, the matching loss goes on beside them at
`matching_weight`, so that refinement sharpens pictures without moving people to other latents.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from huref.common.output import note
from huref.prover.generator.model import Discriminator, Generator
from huref.prover.generator.train.augment import AdaptiveProbability, augment
from huref.prover.generator.train.checkpoint import load_state, save_sheet, save_state
from huref.prover.generator.train.matching import matching_loss
from huref.prover.generator.train.targets import TargetMap, sample_latents

_R1_EVERY, _PATH_EVERY = 16, 8


@dataclass(frozen=True)
class AdversarialOptions:
    """`steps` in all; `r1` is gamma; `path_length` 0 leaves that term out; `matching_weight` 0 likewise."""

    steps: int
    batch: int = 8
    rate: float = 1e-3
    r1: float = 1.0
    path_length: float = 0.0
    matching_weight: float = 10.0
    average_decay: float = 0.998
    save_every: int = 100
    seed: int = 2


class AdversarialTrainer:
    """Holds both networks and everything a resumed run needs; `train` goes on from `adversarial.pt`."""

    def __init__(self, model: Generator, folder: Path, options: AdversarialOptions) -> None:
        self.model, self.folder, self.options = model, folder, options
        self.average = copy.deepcopy(model)
        self.critic = Discriminator(model.architecture.channels)
        ratio_g, ratio_d = (_lazy(_PATH_EVERY) if options.path_length else 1.0), _lazy(_R1_EVERY)
        self.optimizer_g = _adam(model, options.rate, ratio_g)
        self.optimizer_d = _adam(self.critic, options.rate, ratio_d)
        self.augmentation = AdaptiveProbability()
        self.random = torch.Generator().manual_seed(options.seed)
        self.mean_path = torch.zeros(())
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def train(self, reals: Callable[[int], Tensor], targets: TargetMap | None = None) -> None:
        """Run up to `options.steps`; `reals(n)` draws n training pictures (n, 3, size, size)."""
        fixed = sample_latents(48, torch.Generator().manual_seed(7))
        started = time.monotonic()
        while self.step < self.options.steps:
            loss_d = self._critic_step(reals(self.options.batch))
            loss_g = self._generator_step(targets)
            self.step += 1
            with torch.no_grad():
                for slow, fast in zip(self.average.parameters(), self.model.parameters(), strict=True):
                    slow.lerp_(fast, 1 - self.options.average_decay)
            if self.step % self.options.save_every == 0 or self.step == self.options.steps:
                with torch.no_grad():
                    save_sheet(self.folder / "sheet.png", self.average(fixed), 12)
                save_state(self.folder / "adversarial.pt", self._state())
                elapsed = time.monotonic() - started
                note(
                    f"adversarial {self.step}: generator {loss_g:.3f}, discriminator {loss_d:.3f}, "
                    f"augmentation {self.augmentation.p:.2f}, {elapsed:.0f} s"
                )
        self.model.load_state_dict(self.average.state_dict())

    def _critic_step(self, real: Tensor) -> float:
        z = sample_latents(len(real), self.random)
        with torch.no_grad():
            fake = self.model(z)
        fake_scores = self.critic(self._augmented(fake))
        real_scores = self.critic(self._augmented(real))
        loss = functional.softplus(fake_scores).mean() + functional.softplus(-real_scores).mean()
        self.augmentation.update(real_scores.detach())
        self._apply(self.optimizer_d, loss)
        if self.step % _R1_EVERY == 0:
            real = self._augmented(real).requires_grad_()
            (gradient,) = torch.autograd.grad(self.critic(real).sum(), real, create_graph=True)
            penalty = gradient.square().sum((1, 2, 3)).mean()
            self._apply(self.optimizer_d, penalty * (self.options.r1 / 2 * _R1_EVERY))
        return float(loss.detach())

    def _generator_step(self, targets: TargetMap | None) -> float:
        z = sample_latents(self.options.batch, self.random)
        picture = self.model(z)
        loss = functional.softplus(-self.critic(self._augmented(picture))).mean()
        if targets is not None and self.options.matching_weight:
            wanted = targets.images(targets.attributes(z))
            loss = loss + self.options.matching_weight * matching_loss(picture, wanted)
        self._apply(self.optimizer_g, loss)
        if self.options.path_length and self.step % _PATH_EVERY == 0:
            self._apply(self.optimizer_g, self._path_penalty() * (self.options.path_length * _PATH_EVERY))
        return float(loss.detach())

    def _path_penalty(self) -> Tensor:
        z = sample_latents(max(1, self.options.batch // 2), self.random)
        w = self.model.mapping(z)
        picture = self.model.synthesis(w)
        noise = torch.randn(picture.shape, generator=self.random) / picture.shape[-1]
        (gradient,) = torch.autograd.grad((picture * noise).sum(), w, create_graph=True)
        lengths = gradient.square().sum(1).sqrt()
        self.mean_path = self.mean_path.lerp(lengths.mean().detach(), 0.01)
        return (lengths - self.mean_path).square().mean()

    def _augmented(self, pictures: Tensor) -> Tensor:
        return augment(pictures, self.augmentation.p, self.random) if self.augmentation.p > 0 else pictures

    @staticmethod
    def _apply(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def _state(self) -> dict[str, object]:
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "critic": self.critic.state_dict(),
            "optimizer_g": self.optimizer_g.state_dict(),
            "optimizer_d": self.optimizer_d.state_dict(),
            "random": self.random.get_state(),
            "p": self.augmentation.p,
            "mean_path": self.mean_path,
            "step": self.step,
            "mapping": list(self.model.architecture.mapping),
            "channels": list(self.model.architecture.channels),
        }

    def _resume(self) -> None:
        path = self.folder / "adversarial.pt"
        if not path.exists():
            return
        state = load_state(path)
        parts = {
            "model": self.model,
            "average": self.average,
            "critic": self.critic,
            "optimizer_g": self.optimizer_g,
            "optimizer_d": self.optimizer_d,
        }
        for key, part in parts.items():
            part.load_state_dict(state[key])  # type: ignore[attr-defined]
        self.random.set_state(state["random"])
        self.augmentation.p, self.mean_path, self.step = state["p"], state["mean_path"], int(state["step"])


def _lazy(every: int) -> float:
    """Adam's constants shrink by this power when a regularizer runs every so many steps."""
    return every / (every + 1)


def _adam(network: torch.nn.Module, rate: float, ratio: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=rate * ratio, betas=(0.0, math.pow(0.99, ratio)))
