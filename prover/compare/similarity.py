"""How similar two checkpoints are: ICS (invariant terms) and PCS (parameters); fingerprint §1, §5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.profiles import LAYERS, Profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.fingerprint.similarity import term_names
from huref.circuits.program.program import View
from huref.common.errors import UsageError
from huref.prover.canonical.canonical import canonical_embedding, canonical_layer
from huref.prover.canonical.pinned import Float64
from huref.prover.checkpoint.families import LayerTensors, Model

_ENDS = ("k", "o", "down")
"""The second factor of every term of a layer, in order."""
_BLOCK = 512
_EMBEDDING_BLOCK = 8192


@dataclass(frozen=True)
class TermSimilarity:
    """ICS: cosine per standardized K×K term that both models have, and of all of them flattened (their mean)."""

    overall: float
    terms: dict[str, float]


def invariant_similarity(
    first: tuple[Model, NDArray[np.int64]],
    second: tuple[Model, NDArray[np.int64]],
    profile: Profile,
    progress: Callable[[str], None] | None = None,
) -> TermSimilarity:
    """ICS of two (model, token ids) pairs at full K, in floating point, never holding a K×K matrix.

    `hardened` reads the canonical tensors and removes the row and column means of every term, as the
    sketch does; `paper` reads raw tensors and removes the mean of every term, as the reference does.

    Raises:
        UsageError: the two lists of ids differ in length.
    """
    if len(first[1]) != len(second[1]):
        raise UsageError(f"{len(first[1])} and {len(second[1])} tokens: ICS needs equally many")
    found = {}
    for name, one, other in zip(
        term_names(), factors(*first, profile), factors(*second, profile), strict=True
    ):
        if one is not None and other is not None:
            found[name] = _term_cosine(one, other)
        if progress is not None:
            progress(name)
    return TermSimilarity(sum(found.values()) / max(len(found), 1), found)


def factors(
    model: Model, ids: NDArray[np.int64], profile: Profile
) -> Iterator[tuple[Float64, Float64] | None]:
    """A and B (K × inner) of every term M = A·Bᵀ, canonical and centred as the profile has it.

    None for a term that a layer has not.
    """
    shape = model.shape
    x = canonical_embedding(model.embedding_rows(ids), shape, profile).astype(np.float64)
    if profile.canonical:
        x = x - x.mean(axis=0)  # removes the row and column means of every term
    for n in range(shape.layers - LAYERS, shape.layers):
        sides: list[Float64] = []
        gate: Float64 | None = None
        term = 0
        for name, tensor in canonical_layer(model.layer_reader(n), model.layer_shape(n), profile):
            rows = tensor.astype(np.float64)
            if name == "gate":
                gate = rows
                continue
            if name == "up" and gate is not None:
                rows = gate * rows
            sides.append(x @ rows.T)
            if len(sides) == 2:
                yield from [None] * (_ENDS.index(name) - term)
                term = _ENDS.index(name) + 1
                yield _expanded(sides[0], sides[1], shape, profile)
                sides = []
        yield from [None] * (len(_ENDS) - term)


def _expanded(left: Float64, right: Float64, shape: ModelShape, profile: Profile) -> tuple[Float64, Float64]:
    inner = max(left.shape[1], right.shape[1])
    view = View("", "repeat" if profile.canonical else "tile", shape.head_dim, shape.group)
    wide = [side if side.shape[1] == inner else side[:, view.index(inner)] for side in (left, right)]
    return wide[0], wide[1]


def _term_cosine(one: tuple[Float64, Float64], other: tuple[Float64, Float64]) -> float:
    """Correlation of the entries of A·Bᵀ and A'·B'ᵀ, by blocks of rows."""
    sums = np.zeros(5)
    k = len(one[0])
    for start in range(0, k, _BLOCK):
        m, n = (side[0][start : start + _BLOCK] @ side[1].T for side in (one, other))
        sums += m.sum(), n.sum(), np.vdot(m, m), np.vdot(n, n), np.vdot(m, n)
    total = float(k) * k
    covariance = sums[4] - sums[0] * sums[1] / total
    spread = (sums[2] - sums[0] ** 2 / total) * (sums[3] - sums[1] ** 2 / total)
    return float(covariance / sqrt(spread)) if spread > 0 else 0.0


def parameter_similarity(first: Model, second: Model) -> float | None:
    """PCS: cosine of all embeddings and linear weights read as one vector; None where the shapes differ."""
    a, b = first.shape, second.shape
    if _sizes(a) != _sizes(b):
        return None
    sums = np.zeros(3)
    for start in range(0, a.vocab, _EMBEDDING_BLOCK):
        ids = np.arange(start, min(start + _EMBEDDING_BLOCK, a.vocab))
        _add(sums, first.embedding_rows(ids), second.embedding_rows(ids))
    for n in range(a.layers):
        for x, y in zip(_linear(first.layer(n)), _linear(second.layer(n)), strict=True):
            _add(sums, x, y)
    return float(sums[2] / sqrt(sums[0] * sums[1])) if sums[0] * sums[1] > 0 else 0.0


def _sizes(s: ModelShape) -> tuple[object, ...]:
    return s.hidden, s.heads, s.kv_heads, s.head_dim, s.ffn, s.vocab, s.layers, s.gated, s.blocks


def _linear(layer: LayerTensors) -> list[NDArray[np.float32]]:
    tensors = (layer.q, layer.k, layer.v, layer.o, layer.gate, layer.up, layer.down)
    return [tensor for tensor in tensors if tensor is not None]


def _add(sums: NDArray[np.float64], x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
    for a, b in zip(x.astype(np.float64), y.astype(np.float64), strict=True):
        sums += np.dot(a, a), np.dot(b, b), np.dot(a, b)
