"""How similar two fingerprints are: a cosine, and one per term where an output belongs to one (fingerprint §5)."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from huref.circuits.fingerprint.hardened.vector import similarity
from huref.circuits.fingerprint.outputs import standardize
from huref.circuits.fingerprint.profiles import LAYERS, Profile

TERM_NAMES = ("qk", "vo", "ud")
SAME_BASE = 0.5
UNRELATED = 0.2
"""Thresholds of verdicts, from real pairs (docs/fingerprint.md, "Comparisons"), not from random matrices."""


@dataclass(frozen=True)
class VectorSimilarity:
    """The cosine of two models' outputs, and that of every term (none where an output mixes them)."""

    cosine: float
    terms: dict[str, float]

    @property
    def verdict(self) -> str:
        """ "same base", "unrelated", or "unclear"."""
        return self.verdict_at(1.0)

    def verdict_at(self, shared: float) -> str:
        """The same where only this part of the tokens is read by both: of a copy's cosine about shared² is left."""
        if self.cosine >= SAME_BASE:
            return "same base"
        return "unrelated" if abs(self.cosine) <= UNRELATED * shared * shared else "unclear"


def compare_outputs(a: ArrayLike, b: ArrayLike, profile: Profile) -> VectorSimilarity:
    """Similarity of two models' outputs under the same tables: e (4096 integers each), or v of `paper` (512)."""
    if profile.whole:
        found = similarity(a, b)
        return VectorSimilarity(found.overall, found.terms)
    return compare_vectors(a, b, profile)


def compare_vectors(a: ArrayLike, b: ArrayLike, profile: Profile) -> VectorSimilarity:
    """Similarity of two vectors v (512 integers each), which an index of many models is made of."""
    x, y = standardize(a, profile), standardize(b, profile)
    norm = sqrt(float(np.dot(x, x)) * float(np.dot(y, y)))
    return VectorSimilarity(float(np.dot(x, y)) / norm if norm > 0 else 0.0, {})


def term_names() -> tuple[str, ...]:
    """Names of the six terms of two layers, counted from the end so that models of different depth share them."""
    return tuple(f"layer{n - LAYERS}.{term}" for n in range(LAYERS) for term in TERM_NAMES)
