"""Can people tell? Distances between pictures as a function of the cosine of their vectors.

For 200 pairs (100 related with cos(v, v') from 0.95 to 1, 100 unrelated with |cos| <= 0.15) measures the pixel
distance (rms difference in levels of 255) and an LPIPS-like distance on fixed random features, and whether the two
distributions overlap. For 30 bases, both again at eleven cosines from 0.99 to 0, always in the same direction.
Stores the numbers, and draws a contact sheet of bases, derivatives and strangers.

    python -m benchmarks.distinguishability --sheet docs/img/contact-sheet.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from benchmarks.environment import store
from huref.common.image.generator import render
from huref.common.image.png import png_bytes
from huref.common.image.registry import Installed, by_name, embedded
from huref.common.image.show import grid
from huref.prover.generator.train.features import picture_distance

_SCALE = 1 << 20
KINDS = ("pixel", "feature")
LADDER = (0.99, 0.98, 0.97, 0.95, 0.9, 0.8, 0.65, 0.5, 0.3, 0.15, 0.0)
_SHEET_COSINES = (1.0, 0.99, 0.97, 0.95)


def pair_at(cosine: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two standardized vectors of 512 entries with exactly this cosine (before rounding to integers)."""
    a, b = rng.standard_normal((2, 512))
    a = (a - a.mean()) / a.std()
    b = b - b.mean()
    b = b - a * (a @ b) / (a @ a)
    b /= b.std()
    return a, cosine * a + np.sqrt(1 - cosine**2) * b


def draw(vector: np.ndarray, generator: Installed) -> np.ndarray:
    """Picture of a float vector, rounded to integers first."""
    return render([int(x) for x in np.rint(vector * _SCALE)], generator)


def compare(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Pixel and feature distance of two pictures (H, W, 3)."""
    pixel = float(np.sqrt(np.mean((first.astype(float) - second) ** 2)))
    tensors = [torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in (first, second)]
    return pixel, float(picture_distance(*tensors)[0])


def distances(
    cosines: Sequence[float], rng: np.random.Generator, generator: Installed
) -> dict[str, np.ndarray]:
    """Pixel and feature distance of one pair for each cosine."""
    found = []
    for cosine in cosines:
        first, second = (draw(v, generator) for v in pair_at(cosine, rng))
        found.append(compare(first, second))
    return dict(zip(KINDS, np.array(found).T, strict=True))


def ladder(bases: int, rng: np.random.Generator, generator: Installed) -> dict[str, np.ndarray]:
    """Distances (bases, cosines) from each base along one direction, at every cosine of the ladder."""
    found = []
    for _ in range(bases):
        base, other = pair_at(0.0, rng)
        picture = draw(base, generator)
        moved = [c * base + np.sqrt(1 - c**2) * other for c in LADDER]
        found.append([compare(picture, draw(v, generator)) for v in moved])
    return dict(zip(KINDS, np.array(found).transpose(2, 0, 1), strict=True))


def measure(generator: Installed, seed: int) -> dict[str, object]:
    """All numbers of the report."""
    rng = np.random.default_rng(seed)
    related = distances(list(rng.uniform(0.95, 1.0, 100)), rng, generator)
    unrelated = distances(list(np.clip(rng.normal(0, 1 / np.sqrt(512), 100), -0.15, 0.15)), rng, generator)
    steps = ladder(30, rng, generator)
    report: dict[str, object] = {
        "generator": generator.digest,
        "name": generator.weights.name,
        "seed": seed,
    }
    for kind in KINDS:
        means = [float(x) for x in steps[kind].mean(0)]
        near, far = related[kind], unrelated[kind]
        at = dict(zip(LADDER, steps[kind].T, strict=True))
        report[kind] = {
            "mean at cosine": {str(c): mean for c, mean in zip(LADDER, means, strict=True)},
            "monotone": all(a < b for a, b in pairwise(means)),
            "bases monotone on their own": float((np.diff(steps[kind], axis=1) > 0).all(1).mean()),
            "related": _summary(near),
            "unrelated": _summary(far),
            "overlap": bool(near.max() >= far.min()),
            "smallest unrelated over largest related": float(far.min() / near.max()),
            "largest at cosine 0.95, smallest at 0.15": [float(at[0.95].max()), float(at[0.15].min())],
        }
    return report


def _summary(values: np.ndarray) -> dict[str, float]:
    return {
        "min": float(values.min()),
        "median": float(np.median(values)),
        "mean": float(values.mean()),
        "p95": float(np.quantile(values, 0.95)),
        "max": float(values.max()),
    }


def contact_sheet(generator: Installed, seed: int, rows: int = 5) -> np.ndarray:
    """Each row: a base, derivatives at cosine 0.99, 0.97, 0.95, and four strangers."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(rows):
        base, _ = pair_at(0.0, rng)
        for cosine in _SHEET_COSINES:
            noise = rng.standard_normal(512)
            noise -= noise.mean() + base * (base @ noise) / (base @ base)
            pictures.append(draw(cosine * base + np.sqrt(1 - cosine**2) * noise / noise.std(), generator))
        pictures += [draw(rng.standard_normal(512), generator) for _ in range(4)]
    return grid(pictures, columns=8)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--generator", help="name or digest; default: embedded")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = by_name(options.generator) if options.generator else embedded()
    store("distinguishability", measure(generator, options.seed))
    if options.sheet:
        options.sheet.write_bytes(png_bytes(contact_sheet(generator, options.seed)))


if __name__ == "__main__":
    main()
