"""How similar two fingerprint vectors are: cos(v), chance of a false match, cosines per term; fingerprint §1, §5."""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huref.circuits.fingerprint.encoder import TERMS, output_segments, standardize
from huref.circuits.fingerprint.profiles import LAYERS
from huref.circuits.program.program import OUTPUTS

TERM_NAMES = ("qk", "vo", "ud")
SAME_BASE = 0.5
UNRELATED = 0.2
"""Thresholds of `VectorSimilarity.verdict`, from real pairs (docs/fidelity.md), not from random matrices."""


@dataclass(frozen=True)
class VectorSimilarity:
    """cos(v, v') of standardized vectors, the chance that an independent model reaches it, cosines per term.

    The chance takes cos ~ N(0, 1/512), which holds for the hardened profile only. `terms` is empty where
    the encoder mixes the terms.
    """

    cosine: float
    false_match: float
    terms: dict[str, float]

    @property
    def verdict(self) -> str:
        """ "same base", "unrelated", or "unclear"."""
        if self.cosine >= SAME_BASE:
            return "same base"
        return "unrelated" if abs(self.cosine) <= UNRELATED else "unclear"


def compare_vectors(a: ArrayLike, b: ArrayLike, encoder: str) -> VectorSimilarity:
    """Similarity of two fingerprint vectors (512 integers each) of the same profile and encoder."""
    x, y = standardize(a, encoder), standardize(b, encoder)
    cosine = _cosine(x, y)
    parts = output_segments(encoder)
    names = term_names() if len(parts) == TERMS else ()
    terms = {name: _cosine(x[part], y[part]) for name, part in zip(names, parts, strict=False)}
    return VectorSimilarity(cosine, 0.5 * erfc(cosine * sqrt(OUTPUTS / 2)), terms)


def term_names() -> tuple[str, ...]:
    """Names of the six terms, counted from the end so that models of different depth share them."""
    return tuple(f"layer{n - LAYERS}.{term}" for n in range(LAYERS) for term in TERM_NAMES)


def _cosine(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    norm = sqrt(float(np.dot(x, x)) * float(np.dot(y, y)))
    return float(np.dot(x, y)) / norm if norm > 0 else 0.0
