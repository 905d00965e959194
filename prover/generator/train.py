"""Training of the embedded generator from its data recipe: mapping, matching, adversarial refinement, export.

Every stage resumes from the files in the work folder, so a run can be stopped and started at will:
`mapping.pt`, `matching.pt`, `adversarial.pt`, `sheet.png`, and at the end `<name>.gen`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from common.image.architecture import Architecture
from common.image.weights_io import digest, dump_weights
from prover.generator.checkpoint import load_state, save_state
from prover.generator.data import Portraits, load_portraits
from prover.generator.export import export_generator
from prover.generator.features import embed, frechet_distance
from prover.generator.model import Generator
from prover.generator.targets import Z_DIM, TargetMap, at_size, build_target_map
from prover.generator.train_adversarial import AdversarialOptions, AdversarialTrainer
from prover.generator.train_mapping import pretrain_mapping
from prover.generator.train_matching import MatchingOptions, train_matching

ARCHITECTURE = Architecture(mapping=(384, 384, 384, 256), channels=(128, 128, 96, 64, 32, 16))
LICENCE = (
    "Trained on renders of @lobehub/fluent-emoji-3d (MIT licence; Fluent Emoji (c) Microsoft Corporation, "
    "MIT licence). These weights are distributed under the MIT licence of huref."
)


@dataclass(frozen=True)
class Recipe:
    """Steps of each stage; matching grows through 32, 64 and 128 pixels. The seed fixes map and training."""

    mapping_steps: int = 1000
    steps_at_32: int = 1500
    steps_at_64: int = 3000
    steps_at_128: int = 1000
    adversarial_steps: int = 0
    batch: int = 8
    seed: int = 1


def cached_portraits(folder: Path, size: int, images: Path | None) -> Portraits:
    """The training layers, read once and kept in the work folder (never in the repository)."""
    path = folder / f"portraits-{size}.npz"
    if not path.exists():
        portraits = load_portraits(size, images)
        np.savez(path, heads=portraits.heads, bodies=portraits.bodies)
    with np.load(path) as stored:
        return Portraits(stored["heads"], stored["bodies"])


def train(folder: Path, recipe: Recipe, images: Path | None = None) -> Generator:
    """Run or resume the recipe in `folder`; returns the averaged generator."""
    folder.mkdir(parents=True, exist_ok=True)
    largest = cached_portraits(folder, ARCHITECTURE.resolution, images)
    targets = build_target_map(cached_portraits(folder, 64, images), recipe.seed)
    torch.manual_seed(recipe.seed)
    model = Generator(ARCHITECTURE)
    prepare_for_matching(model, targets, folder, recipe)
    done = 0
    for levels, steps in ((4, recipe.steps_at_32), (5, recipe.steps_at_64), (6, recipe.steps_at_128)):
        done += steps
        sized = at_size(targets, largest, 4 << (levels - 1))
        options = MatchingOptions(done, levels, batch=recipe.batch, seed=recipe.seed)
        train_matching(model, sized, folder, options)
    if recipe.adversarial_steps:
        refine(model, at_size(targets, largest, ARCHITECTURE.resolution), folder, recipe)
    model.mapping.measure_mean()
    return model


def prepare_for_matching(model: Generator, targets: TargetMap, folder: Path, recipe: Recipe) -> None:
    """Pretrain the mapping network (or load it), and start from small styles and dim RGB."""
    path = folder / "mapping.pt"
    if path.exists():
        model.mapping.load_state_dict(load_state(path))
    else:
        pretrain_mapping(model, targets, recipe.mapping_steps, recipe.seed)
        save_state(path, model.mapping.state_dict())
    with torch.no_grad():
        last = model.mapping.stack[-1]
        last.weight.mul_(0.3)
        last.bias.mul_(0.3)
        for block in model.synthesis.stack:
            block.rgb.weight.mul_(0.2)


def refine(model: Generator, targets: TargetMap, folder: Path, recipe: Recipe) -> None:
    """Adversarial refinement against fresh target pictures as reals."""
    random = torch.Generator().manual_seed(recipe.seed + 100)

    def reals(count: int) -> torch.Tensor:
        return targets.images(targets.attributes(torch.randn(count, Z_DIM, generator=random)))

    options = AdversarialOptions(recipe.adversarial_steps, batch=recipe.batch)
    AdversarialTrainer(model, folder, options).train(reals, targets)


@torch.no_grad()
def fidelity(model: Generator, targets: TargetMap, count: int = 1024, seed: int = 11) -> dict[str, float]:
    """Random-feature Fréchet distance to the targets, and between two halves of targets as its floor."""
    random = torch.Generator().manual_seed(seed)
    drawn: list[np.ndarray] = []
    wanted: list[np.ndarray] = []
    again: list[np.ndarray] = []
    for _ in range(count // 64):
        drawn.append(embed(model(torch.randn(64, Z_DIM, generator=random)).clamp(-1, 1)))
        for kept in (wanted, again):
            kept.append(embed(targets.images(targets.attributes(torch.randn(64, Z_DIM, generator=random)))))
    first, second, third = (np.concatenate(part) for part in (drawn, wanted, again))
    return {"frechet": frechet_distance(first, second), "floor": frechet_distance(third, second)}


def export_model(model: Generator, out: Path, name: str, truncation: float = 1.0) -> str:
    """Write the integer weight file of a trained model; returns its digest."""
    data = dump_weights(export_generator(model, name, LICENCE, truncation))
    temporary = out.with_suffix(".part")
    temporary.write_bytes(data)
    temporary.replace(out)
    return digest(data)
