"""What is made of the 4096 proven outputs e in public: v for the picture, and the similarity of two models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huref.circuits.fingerprint.hardened.constants import OUTPUTS, TERMS, VECTOR, WEIGHTS
from huref.circuits.fingerprint.hardened.tables import segments


def picture_vector(e: ArrayLike) -> NDArray[np.int64]:
    """v, 512 integers: v_j = e_8j + … + e_8j+7. Its runs ⌈512t/3⌉ … belong to one term each."""
    values = np.asarray(e, dtype=np.int64)
    return np.asarray(values.reshape(VECTOR, OUTPUTS // VECTOR).sum(axis=1))


def vector_segments() -> list[slice]:
    """The run of v of each term."""
    size = OUTPUTS // VECTOR
    return [slice(run.start // size, run.stop // size) for run in segments()]


@dataclass(frozen=True)
class Similarity:
    """Cosine of each term's run of e, less its mean, and their weighted mean, by which two models are compared."""

    overall: float
    terms: dict[str, float]


def similarity(first: ArrayLike, second: ArrayLike) -> Similarity:
    """Compare two outputs e (4096 integers each) under the same tables.

    Sums are exact integers, so every machine gets the same doubles. A constant run has cosine 0.
    """
    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    terms = {name: _cosine(a[run], b[run]) for name, run in zip(TERMS, segments(), strict=True)}
    return Similarity(weighted(terms), terms)


def weighted(terms: Mapping[str, float]) -> float:
    """The mean of all three terms' cosines, in which qk counts two thirds of each other."""
    return sum(WEIGHTS[name] * terms[name] for name in TERMS) / sum(WEIGHTS.values())


def _cosine(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    n, x, y = len(a), a.tolist(), b.tolist()
    sx, sy = sum(x), sum(y)
    covariance = n * sum(p * q for p, q in zip(x, y, strict=True)) - sx * sy
    spread = (n * sum(p * p for p in x) - sx * sx) * (n * sum(q * q for q in y) - sy * sy)
    return covariance / sqrt(spread) if isqrt(spread) else 0.0
