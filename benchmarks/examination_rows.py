"""What the terms of `hardened-2` read, in floating point, so that another bound or another filter can be tried on it.

The rows are the committed integers of a model, of its derivatives, and of a gated model with parts that only look busy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.examination import Subject, scratch, whole_weights
from huref.circuits.fingerprint.hardened.constants import MULTIPLIER_BITS, ROW_BITS, TERMS
from huref.circuits.fingerprint.hardened.tables import segments
from huref.circuits.fingerprint.hardened.vector import weighted
from huref.circuits.model.tensors import STEP
from huref.circuits.program.influence import ALIVE, IDLE, find_cap, multipliers
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.derivatives.catalogue import derive
from huref.prover.derivatives.padding import ADDITIONS, add_heads
from huref.prover.derivatives.store import load_model, save_model
from huref.prover.vocabulary.selection import Chosen

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]
_FACTORS = {"qk": ("q", "k"), "vo": ("o", "v"), "ud": ("up", "down")}
_KINDS = ("noise-10", "prune-50-linear")
_LOUD = (1.0, 10.0)
_TINY = "eight layers that write 10⁻⁶ of the usual"


@dataclass(frozen=True)
class Rows:
    """The token rows x (K, d) with their multipliers, left and right rows of every term, and the influence of each.

    `ud` is that term's operator (d, d) under its own rule, which nothing here changes.
    """

    x: Float
    pieces: tuple[bytes, ...]
    factors: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
    influence: dict[str, Int64]
    ud: Float
    head_dim: int
    layers: int

    def operator(self, term: str, times: NDArray[Any]) -> Float:
        """Σ times · leftᵀ · right over the rows of a term, (d, d)."""
        return _operator(*self.factors[term], times)


def _operator(left: NDArray[np.float32], right: NDArray[np.float32], times: NDArray[Any]) -> Float:
    return ((left * times[:, None].astype(np.float32)).T @ right).astype(np.float64)


def read(model: Model, choice: Chosen, weights: StackedWeights) -> Rows:
    """Of a model's committed integers."""
    shape = model.shape

    def joined(kind: str) -> NDArray[np.int8]:
        parts = [weights[f"l{n}.{kind}"] for n in range(shape.layers)]
        rows = np.concatenate([part.T if kind.endswith(STEP) else part for part in parts])
        if kind[0] not in "kv":
            return rows
        heads = rows.reshape(shape.layers * shape.kv_heads, 1, shape.head_dim, -1)
        return np.repeat(heads, shape.group, axis=1).reshape(-1, rows.shape[1])

    def steps(kind: str) -> Int64:
        return joined(kind + STEP)[:, 0].astype(np.int64)

    def both(term: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        left, right = _FACTORS[term]
        return joined(left).astype(np.float32), joined(right).astype(np.float32)

    size = weights[f"embed{STEP}"].reshape(-1)[choice.ids].astype(np.int64)
    counts = multipliers(size, find_cap(size), ROW_BITS, interpolated=False)
    influence = {term: steps(left) + steps(right) for term, (left, right) in _FACTORS.items()}
    influence["qk"] += IDLE * (influence["vo"] < ALIVE)
    if shape.gated:
        influence["ud"] += steps("gate")
    neurons = multipliers(influence["ud"], find_cap(influence["ud"]), MULTIPLIER_BITS, interpolated=True)
    return Rows(
        weights["embed"][choice.ids] * counts[:, None].astype(np.float64),
        choice.pieces,
        {term: both(term) for term in ("qk", "vo")},
        influence,
        _operator(*both("ud"), neurons / 2.0**MULTIPLIER_BITS),
        shape.head_dim,
        shape.layers,
    )


def changed(name: str, subject: Subject) -> Iterator[tuple[str, Model]]:
    """Derivatives; a gated model with layers that hardly write, and with as many cancelling heads again."""
    model = load_model(subject.path)
    for kind in _KINDS:
        with scratch() as folder:
            yield kind, open_model(derive(subject.path, kind, folder / "model", model=model))
    if name != "smollm2":
        return
    with scratch() as folder:
        yield _TINY, open_model(save_model(ADDITIONS[_TINY](model, 7), folder / "model"))
    for loud in _LOUD:
        with scratch() as folder:
            other = add_heads(model, 7, "cancelling", loud)
            yield f"cancelling heads × {loud:g}", open_model(save_model(other, folder / "model"))


def derived(name: str, subject: Subject) -> Iterator[tuple[str, Rows]]:
    """The rows of all of these."""
    for kind, model in changed(name, subject):
        yield kind, read(model, subject.chosen, whole_weights(model, subject.chosen))


def cosines(first: Float, second: Float) -> dict[str, float]:
    """Correlation of every term's outputs."""
    return {
        name: float(np.corrcoef(first[run], second[run])[0, 1])
        for name, run in zip(TERMS, segments(), strict=True)
    }


def compared(first: Float, second: Float) -> dict[str, Any]:
    """Correlation of every term's outputs, and what the similarity makes of them."""
    terms = cosines(first, second)
    rounded = {name: round(value, 4) for name, value in terms.items()}
    return {"cosine": round(weighted(terms), 4), "terms": rounded}
