"""Two checkpoints in the clear: which layer of one is which layer of the other, and how far their tokens agree.

Both models are read on the tokens whose bytes they share. Of every layer three P × P terms are made, as the fingerprint
makes them, but per layer and unrounded; the cosine of two layers' terms says how alike they are, whatever was
rotated, permuted, rescaled or renumbered. One layer of each model is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.constants import TERMS
from huref.circuits.fingerprint.hardened.tables import Sketch, pool_count, sketches
from huref.circuits.fingerprint.profiles import HARDENED
from huref.common.errors import UsageError
from huref.prover.canonical.canonical import canonical_embedding, canonical_layer
from huref.prover.checkpoint.families import Model

Float = NDArray[np.float32]
Matrix = NDArray[np.float64]
_PAIRS = (("q", "k"), ("v", "o"), ("up", "down"))
MATCH = 0.5
"""From this cosine on a layer is called the other's (two layers of one model, and strangers, stay below 0.2)."""


@dataclass(frozen=True)
class Side:
    """A model with the embedding ids of the shared tokens, in the shared order."""

    model: Model
    ids: NDArray[np.int64]


@dataclass(frozen=True)
class LayerComparison:
    """`matrix` (layers of the first × layers of the second) is the mean cosine of the terms that both layers have;
    `terms` each one's, 0 where one has it not.

    `strata` are cosines of X·Xᵀ over the shared tokens, from the most to the least frequent eighth.
    """

    matrix: Matrix
    terms: dict[str, Matrix]
    strata: tuple[float, ...]

    def matches(self) -> list[tuple[int, float]]:
        """The best layer of the second for every layer of the first, with the cosine."""
        return _best(self.matrix)

    def backwards(self) -> list[tuple[int, float]]:
        """The best layer of the first for every layer of the second."""
        return _best(self.matrix.T)


def compare_layers(
    first: Side, second: Side, tokens: list[bytes], progress: Callable[[str], None] | None = None
) -> LayerComparison:
    """Compare two models on shared `tokens`, most frequent first; reads each layer of each model once.

    Raises:
        UsageError: too few shared tokens.
    """
    if not len(tokens) == len(first.ids) == len(second.ids):
        raise UsageError("both models need one row for every shared token")
    both = sketches(tokens, pool_count(len(tokens)), b"")
    sides, rows = [], []
    for side in (first, second):
        x = _rows(side)
        rows.append(x)
        sides.append(_terms(side.model, x, both, progress))
    terms = {name: one @ other.T for name, one, other in zip(TERMS, *sides, strict=True)}
    both_have = sum(_there(one)[:, None] & _there(other) for one, other in zip(*sides, strict=True))
    matrix = sum(terms.values(), np.zeros(1)) / np.maximum(both_have, 1)
    return LayerComparison(np.asarray(matrix, np.float64), terms, _strata(*rows))


def _rows(side: Side) -> Float:
    """Embedding rows of equal length without their mean, (K, d)."""
    x = canonical_embedding(side.model.embedding_rows(side.ids), side.model.shape, HARDENED)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.asarray(x - x.mean(axis=0), np.float32)


def _terms(
    model: Model, x: Float, both: tuple[Sketch, Sketch], progress: Callable[[str], None] | None
) -> list[Matrix]:
    """Per term the layers' P × P matrices as unit vectors, (layers, P²); zeros for a term that a layer has not."""
    left, right = (_pooled(sketch, x) for sketch in both)
    gram = left @ right.T
    found: list[list[Matrix]] = [[] for _ in TERMS]
    for n in range(model.layers):
        shape = model.layer_shape(n)
        held: dict[str, Float] = {}
        for name, tensor in canonical_layer(model.layer_reader(n), shape, HARDENED):
            held[name] = (right if name in ("k", "o", "down") else left) @ tensor.T
            for term, (one, other) in enumerate(_PAIRS):
                if name != other:
                    continue
                a, b = (
                    _repeated(held.pop(side), shape.q_rows, shape.head_dim, term) for side in (one, other)
                )
                found[term].append(_unit(a @ b.T, gram))
        for matrices in found:
            if len(matrices) == n:
                matrices.append(np.zeros(gram.size))
        if progress is not None:
            progress(f"layer {n}")
    return [np.stack(term) for term in found]


def _pooled(sketch: Sketch, x: Float) -> Float:
    out = np.zeros((sketch.pools, x.shape[1]), np.float32)
    np.add.at(out, sketch.pool, sketch.sign[:, None].astype(np.float32) * x)
    return out


def _repeated(side: Float, rows: int, head_dim: int, term: int) -> Float:
    """k and v serve a group of q's and o's heads."""
    if term == len(_PAIRS) - 1 or side.shape[1] == rows:
        return side
    heads = side.reshape(len(side), -1, 1, head_dim)
    return np.repeat(heads, rows // side.shape[1], axis=2).reshape(len(side), rows)


def _unit(entries: Float, gram: Float) -> Matrix:
    """Without what it has in common with X·Xᵀ, which strangers share, and of length one; zero stays zero."""
    flat, base = entries.reshape(-1).astype(np.float64), gram.reshape(-1).astype(np.float64)
    flat = flat - (flat @ base) / (base @ base) * base
    length = float(np.linalg.norm(flat))
    return flat / length if length > 0 else flat


def _there(term: Matrix) -> NDArray[np.int64]:
    """Which layers have a term."""
    return np.any(term != 0, axis=1).astype(np.int64)


def _strata(one: Float, other: Float) -> tuple[float, ...]:
    """Cosine of the off-diagonal of X·Xᵀ per eighth of the shared tokens."""
    found = []
    for part in np.array_split(np.arange(len(one)), 8):
        a, b = (x[part] @ x[part].T for x in (one, other))
        inside = ~np.eye(len(part), dtype=bool)
        found.append(float(np.corrcoef(a[inside], b[inside])[0, 1]))
    return tuple(found)


def _best(matrix: Matrix) -> list[tuple[int, float]]:
    return [(int(row.argmax()), float(row.max())) for row in matrix]
