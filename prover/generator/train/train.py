"""Training of the embedded generator from its data recipe: matching, adversarial refinement, export.

Every stage resumes from the files in the work folder, so a run can be stopped and started at will:
`matching.pt`, `adversarial.pt`, `sheet.png`, and at the end `<name>.gen`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from huref.common.image.architecture import Architecture
from huref.common.image.weights_io import digest, dump_weights
from huref.common.output import note
from huref.prover.generator.export import export_generator
from huref.prover.generator.model import Generator
from huref.prover.generator.train.adversarial import AdversarialOptions, AdversarialTrainer
from huref.prover.generator.train.data import Portraits, load_portraits
from huref.prover.generator.train.features import embed, frechet_distance
from huref.prover.generator.train.mapping_init import WIDTHS as MAPPING_WIDTHS
from huref.prover.generator.train.mapping_init import initialize_mapping
from huref.prover.generator.train.matching import MatchingOptions, train_matching
from huref.prover.generator.train.targets import TargetMap, build_target_map, sample_latents

ARCHITECTURE = Architecture(mapping=MAPPING_WIDTHS, channels=(128, 128, 96, 64, 32, 16))
LICENCE = (
    "Trained on renders of @lobehub/fluent-emoji-3d (MIT licence; Fluent Emoji (c) Microsoft Corporation, "
    "MIT licence). These weights are distributed under the MIT licence of huref."
)


@dataclass(frozen=True)
class Recipe:
    """Steps of each stage; matching grows through 32, 64 and 128 pixels. The seed fixes map and training."""

    steps_at_32: int = 1500
    steps_at_64: int = 3500
    steps_at_128: int = 2500
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
    targets = build_target_map(cached_portraits(folder, ARCHITECTURE.resolution, images), recipe.seed)
    model = new_model(targets, recipe.seed)
    done = 0
    for levels, steps in ((4, recipe.steps_at_32), (5, recipe.steps_at_64), (6, recipe.steps_at_128)):
        done += steps
        options = MatchingOptions(done, levels, batch=recipe.batch, seed=recipe.seed)
        train_matching(model, targets.at_size(4 << (levels - 1)), folder, options)
    if recipe.adversarial_steps:
        refine(model, targets, folder, recipe)
    model.mapping.measure_mean()
    scores = fidelity(model, targets)
    note(f"random-feature Fréchet distance {scores['frechet']:.4f} (between targets: {scores['floor']:.4f})")
    return model


def new_model(targets: TargetMap, seed: int) -> Generator:
    """A generator at its starting point: constructed mapping, random synthesis, dim RGB."""
    torch.manual_seed(seed)
    model = Generator(ARCHITECTURE)
    initialize_mapping(model.mapping, targets)
    with torch.no_grad():
        for block in model.synthesis.stack:
            block.rgb.weight.mul_(0.2)
    return model


def refine(model: Generator, targets: TargetMap, folder: Path, recipe: Recipe) -> None:
    """Adversarial refinement against fresh target pictures as reals."""
    random = torch.Generator().manual_seed(recipe.seed + 100)

    def reals(count: int) -> torch.Tensor:
        return targets.images(targets.attributes(sample_latents(count, random)))

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
        drawn.append(embed(model(sample_latents(64, random)).clamp(-1, 1)))
        for kept in (wanted, again):
            kept.append(embed(targets.images(targets.attributes(sample_latents(64, random)))))
    first, second, third = (np.concatenate(part) for part in (drawn, wanted, again))
    return {"frechet": frechet_distance(first, second), "floor": frechet_distance(third, second)}


def export_model(model: Generator, out: Path, name: str, truncation: float = 1.0) -> str:
    """Write the integer weight file of a trained model; returns its digest."""
    data = dump_weights(export_generator(model, name, LICENCE, truncation))
    temporary = out.with_suffix(".part")
    temporary.write_bytes(data)
    temporary.replace(out)
    return digest(data)
