"""Other filters of the left sketch than that of `hardened-2`, in floating point.

    python -m benchmarks.examination_filters [--checkpoint NAME=PATH[=TOKENIZER]]

A filter says which directions of the token rows count. Those that all embeddings share keep most of a noisy or pruned
copy, of heads that cancel, and of strangers. Two bounds of heads (benchmarks/examination_caps.py) under every filter.
Results go to benchmarks/results/examination_filters.json; docs/fingerprint.md discusses them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks.environment import store
from benchmarks.examination import BASES, CHALLENGES, challenge, subjects
from benchmarks.examination_caps import HEADS, ROWS
from benchmarks.examination_float import descended, outputs, sums
from benchmarks.examination_rows import Float, Rows, compared, cosines, derived, read
from huref.circuits.fingerprint.hardened.tables import pool_count, sketches
from huref.circuits.fingerprint.hardened.vector import weighted

Filter = Callable[[Float, Float], Float]
RULES = {"rows, twice the median": ROWS, "heads, the lower quartile": HEADS}


def power(ys: Float, yt: Float) -> Float:
    """The left sketch times the covariance that the right one sees, after two descent steps."""
    return (descended(ys, yt, 2) @ yt.T) @ yt


FILTERS: dict[str, Filter] = {
    "none": lambda ys, yt: ys,
    "one step": lambda ys, yt: descended(ys, yt, 1),
    "two steps (hardened-2)": lambda ys, yt: descended(ys, yt, 2),
    "three steps": lambda ys, yt: descended(ys, yt, 3),
    "two steps, then a power step": power,
}


@dataclass(frozen=True)
class Operators:
    """Of one model: its token rows, and the operators (d, d) of its terms under every rule."""

    x: Float
    pieces: tuple[bytes, ...]
    terms: dict[str, dict[str, Float]]

    @classmethod
    def of(cls, rows: Rows) -> Operators:
        """Computed once; every filter and challenge starts from them."""
        terms = {
            name: {t: rows.operator(t, rule(rows, t)) for t in ("qk", "vo")} | {"ud": rows.ud}
            for name, rule in RULES.items()
        }
        return cls(rows.x, rows.pieces, terms)

    def outputs(self, number: int) -> dict[str, Float]:
        """e under every filter and rule, under one of the pinned challenges."""
        drawn = challenge(number)
        ys, yt = sums(self.x, sketches(self.pieces, pool_count(len(self.x)), drawn))
        left = {name: found(ys, yt) for name, found in FILTERS.items()}
        return {
            f"{name}; {rule}": outputs(terms, part / np.abs(part).max(), yt, drawn)
            for name, part in left.items()
            for rule, terms in self.terms.items()
        }

    def directions(self) -> dict[str, float]:
        """(Σ s²)² / Σ s⁴ of the left sketch's singular values s: how many directions count, empty challenge."""
        ys, yt = sums(self.x, sketches(self.pieces, pool_count(len(self.x)), b""))
        squares = {name: np.linalg.svd(found(ys, yt))[1] ** 2 for name, found in FILTERS.items()}
        return {
            name: round(float((s / s[0]).sum() ** 2 / ((s / s[0]) ** 2).sum()), 1)
            for name, s in squares.items()
        }


def strangers(models: dict[str, Operators], challenges: int) -> Iterator[tuple[str, Any]]:
    """Every pair under every challenge: mean and largest cosine under every filter and rule."""
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(challenges):
        made = {name: model.outputs(number) for name, model in models.items()}
        for a, b in combinations(made, 2):
            for rule in made[a]:
                one = weighted(cosines(made[a][rule], made[b][rule]))
                found.setdefault(f"{a} / {b}", {}).setdefault(rule, []).append(one)
    for pair, rules in found.items():
        yield (
            pair,
            {
                rule: {
                    "mean": round(float(np.mean(values)), 4),
                    "spread": round(float(np.std(values)), 4),
                    "largest": round(float(np.abs(values).max()), 4),
                }
                for rule, values in rules.items()
            },
        )


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", action="append", default=[], metavar="NAME=PATH[=TOKENIZER]")
    parser.add_argument("--challenges", type=int, default=CHALLENGES)
    options = parser.parse_args()
    report: dict[str, Any] = {}
    models: dict[str, Operators] = {}
    for name, subject in subjects(options.checkpoint).items():
        models[name] = Operators.of(read(subject.model, subject.chosen, subject.weights))
        report[f"directions of {name}"] = models[name].directions()
        own = models[name].outputs(0)
        for kind, rows in derived(name, subject) if name in BASES else ():
            row = {rule: compared(own[rule], e) for rule, e in Operators.of(rows).outputs(0).items()}
            report[f"{kind} of {name}"] = row
            print(name, kind, {rule: one["cosine"] for rule, one in row.items()}, file=sys.stderr, flush=True)
    report |= dict(strangers(models, options.challenges))
    store("examination_filters", report)


if __name__ == "__main__":
    main()
