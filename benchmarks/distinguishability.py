"""Can people tell? Distances between pictures as a function of the cosine of their vectors.

300 related pairs (cosine 0.95 to 1) and 300 unrelated ones (independent vectors; the bases of the related pairs,
each against the next), in every view, crop and distance of `picture_views`: whether the two kinds of pairs overlap.
For 30 bases, distances at eight cosines from 0.99 to 0.5, always in the same direction. The share of power at high
frequencies. `--real` takes fingerprints of models that are strangers to each other and measures all their pairs too;
with `--kept` only these, beside what is stored of drawn vectors.

    python -m benchmarks.distinguishability --seed 20261128 [--real A/fingerprint.json B/fingerprint.json ...]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.environment import RESULTS, store
from benchmarks.picture_views import NAMES, Look, high_frequencies, look
from huref.common.files.fingerprint_file import read_fingerprint
from huref.common.image.generator import render
from huref.common.image.registry import Installed, by_name, embedded

_SCALE = 1 << 20
LADDER = (0.99, 0.98, 0.97, 0.95, 0.9, 0.8, 0.65, 0.5)
LOWEST = 0.95
"""Smallest cosine of a related pair."""


def vectors_at(cosines: Sequence[float], rng: np.random.Generator) -> list[np.ndarray]:
    """A standardized vector of 512 entries, and one at each cosine from it, all in one random direction."""
    a, b = rng.standard_normal((2, 512))
    a = (a - a.mean()) / a.std()
    b = b - b.mean()
    b = b - a * (a @ b) / (a @ a)
    b /= b.std()
    return [a, *(cosine * a + np.sqrt(1 - cosine**2) * b for cosine in cosines)]


def draw(vector: np.ndarray, generator: Installed) -> np.ndarray:
    """Picture of a float vector, rounded to integers first."""
    return render([int(x) for x in np.rint(vector * _SCALE)], generator)


def pairs(
    cosines: Sequence[float], rng: np.random.Generator, generator: Installed
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Distances (pairs, NAMES) of related pairs at these cosines and of their bases, each with the next; the
    bases' shares of high frequencies."""
    related, unrelated, shares = [], [], []
    first: Look | None = None
    last: Look | None = None
    for cosine in cosines:
        base, other = (draw(v, generator) for v in vectors_at([cosine], rng))
        shares.append(high_frequencies(base))
        seen = look(base)
        related.append(seen.distances(look(other)))
        if last is not None:
            unrelated.append(last.distances(seen))
        first, last = first or seen, seen
    if first is not None and last is not None and first is not last:
        unrelated.append(last.distances(first))
    return np.array(related), np.array(unrelated), shares


def ladder(bases: int, rng: np.random.Generator, generator: Installed) -> np.ndarray:
    """Distances (bases, cosines, NAMES) from each base along one direction, at every cosine of the ladder."""
    found = []
    for _ in range(bases):
        base, *steps = (look(draw(v, generator)) for v in vectors_at(LADDER, rng))
        found.append([base.distances(step) for step in steps])
    return np.array(found)


def measure(generator: Installed, seed: int, count: int, bases: int) -> dict[str, Any]:
    """All numbers of the report that are of drawn vectors."""
    rng = np.random.default_rng(seed)
    near, far, shares = pairs(list(rng.uniform(LOWEST, 1.0, count)), rng, generator)
    steps = ladder(bases, rng, generator)
    report: dict[str, Any] = {
        "generator": generator.digest,
        "name": generator.weights.name,
        "seed": seed,
        "pairs": count,
        "power above 32 cycles at 128 pixels": summary(np.array(shares)),
        "smallest ratio": float((far.min(0) / near.max(0)).min()),
    }
    for index, name in enumerate(NAMES):
        climbs = np.diff(steps[:, :, index], axis=1) > 0
        report[name] = {
            "related": summary(near[:, index]),
            "unrelated": summary(far[:, index]),
            "smallest unrelated over largest related": float(far[:, index].min() / near[:, index].max()),
            "mean at cosine": {
                str(c): float(x) for c, x in zip(LADDER, steps[:, :, index].mean(0), strict=True)
            },
            "bases monotone on their own": float(climbs.all(1).mean()),
        }
    return report


def between(report: dict[str, Any], generator: Installed, real: Sequence[Path]) -> dict[str, Any]:
    """What a report says of each distance, with those between all pairs of real strangers."""
    seen = [look(render(read_fingerprint(path).v, generator)) for path in real]
    distances = np.array([a.distances(b) for a, b in combinations(seen, 2)])
    found: dict[str, Any] = {"real models": [path.parent.name for path in real]}
    for index, name in enumerate(NAMES if len(distances) else ()):
        found[name] = report[name] | {"between real strangers": summary(distances[:, index])}
    return found


def stored(generator: Installed) -> dict[str, Any]:
    """The report that is there, of this generator."""
    report = json.loads((RESULTS / "distinguishability.json").read_text(encoding="utf-8"))
    if report.pop("generator") != generator.digest:
        raise SystemExit("the stored numbers are those of another generator: leave out --kept")
    measured_on = report.pop("environment")
    return {"generator": generator.digest, "drawn vectors measured on": measured_on} | report


def summary(values: np.ndarray) -> dict[str, float]:
    """Extremes, median and mean."""
    return {
        "min": float(values.min()),
        "median": float(np.median(values)),
        "mean": float(values.mean()),
        "max": float(values.max()),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", help="name or digest; default: embedded")
    parser.add_argument("--seed", type=int, default=20261128)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--bases", type=int, default=30)
    parser.add_argument(
        "--real", type=Path, nargs="*", default=[], help="fingerprint.json of unrelated models"
    )
    parser.add_argument("--kept", action="store_true", help="keep what is stored of drawn vectors")
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = by_name(options.generator) if options.generator else embedded()
    drawn = (
        stored
        if options.kept
        else partial(measure, seed=options.seed, count=options.pairs, bases=options.bases)
    )
    report = drawn(generator)
    store("distinguishability", report | between(report, generator, options.real))


if __name__ == "__main__":
    main()
