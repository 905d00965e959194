"""Second stage: regress the generator on the pictures its latents are matched with.

Loss: mean absolute difference at full, half and quarter resolution, and of neighbouring-pixel differences,
weighted towards the face.
Every step draws fresh latents. The mapping network starts out right and keeps still unless given a share.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from huref.common.output import note
from huref.prover.generator.model import Generator
from huref.prover.generator.train.checkpoint import load_state, save_sheet, save_state
from huref.prover.generator.train.targets import TargetMap, sample_latents


@dataclass(frozen=True)
class MatchingOptions:
    """`steps` in all (a resumed run goes on to that number); `levels` of the generator that are trained."""

    steps: int
    levels: int
    batch: int = 16
    rate: float = 1.2e-2
    final_rate: float = 1.2e-3
    mapping_share: float = 0.0
    average_decay: float = 0.99
    save_every: int = 200
    seed: int = 1


def matching_loss(picture: Tensor, target: Tensor) -> Tensor:
    """Multi-scale absolute difference plus the difference of gradients, up to threefold on the face."""
    error = (picture - target) * _emphasis(picture.shape[-1])
    loss = error.abs().mean() + (error[..., 1:] - error[..., :-1]).abs().mean()
    loss = loss + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    for _ in range(2):
        error = functional.avg_pool2d(error, 2)
        loss = loss + error.abs().mean()
    return loss


def _emphasis(size: int) -> Tensor:
    """Weights (size, size): 3 between eyes and mouth, where people look, falling to 1."""
    grid = (torch.arange(size) + 0.5) / size
    across, down = ((grid - 0.5) / 0.2).square(), ((grid - 0.48) / 0.14).square()
    return 1 + 2 * torch.exp(-down[:, None] - across[None, :])


def train_matching(model: Generator, targets: TargetMap, folder: Path, options: MatchingOptions) -> None:
    """Train in place; `folder` gets `matching.pt` (resumable) and `sheet.png` every `save_every` steps."""
    generator = torch.Generator().manual_seed(options.seed)
    groups = [
        {"params": list(model.mapping.parameters()), "share": options.mapping_share},
        {"params": list(model.synthesis.parameters()), "share": 1.0},
    ]
    optimizer = torch.optim.Adam(groups, lr=options.rate, betas=(0.9, 0.99))
    average = copy.deepcopy(model)
    folder.mkdir(parents=True, exist_ok=True)
    state_file = folder / "matching.pt"
    step = 0
    if state_file.exists():
        state = load_state(state_file)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        step = int(state["step"])
    fixed = sample_latents(48, torch.Generator().manual_seed(7))
    started, running = time.monotonic(), 0.0
    while step < options.steps:
        rate = options.rate + (options.final_rate - options.rate) * max(0.0, 2 * step / options.steps - 1)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        z = sample_latents(options.batch, generator)
        with torch.set_grad_enabled(options.mapping_share > 0):
            w = model.mapping(z)
        picture = model.synthesis(w, options.levels)
        loss = matching_loss(picture, targets.images(targets.attributes(z)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        decay = min(options.average_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        running = loss.item() if running == 0.0 else 0.98 * running + 0.02 * loss.item()
        if step % options.save_every == 0 or step == options.steps:
            with torch.no_grad():
                sheet = average(fixed, levels=options.levels)
            save_sheet(folder / "sheet.png", sheet, 12)
            state = {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "generator": generator.get_state(),
                "step": step,
                "mapping": list(model.architecture.mapping),
                "channels": list(model.architecture.channels),
            }
            save_state(state_file, state)
            note(f"matching {step}: loss {running:.4f}, {time.monotonic() - started:.0f} s")
    model.load_state_dict(average.state_dict())
