"""Other bounds for heads than those of `hardened-2`, in floating point: `python -m benchmarks.examination_caps`.

Every rule says how much the rows of heads count in qk and vo; ud is left alone. A rule has to keep what people do to a
model (noise, pruning) as well as heads that cancel, quiet and loud. Results go to
benchmarks/results/examination_caps.json; docs/fingerprint.md says why none of them replaced the present one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.environment import store
from benchmarks.examination import Subject, scratch, whole_weights
from benchmarks.examination_float import filtered, outputs
from huref.circuits.fingerprint.hardened.constants import MULTIPLIER_BITS, ROW_BITS, TERMS
from huref.circuits.fingerprint.hardened.tables import pool_count, segments, sketches
from huref.circuits.model.tensors import STEP
from huref.circuits.program.influence import ALIVE, IDLE, find_cap, multipliers
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.commitment.stacked import StackedWeights
from huref.prover.demo import checkpoints as demo
from huref.prover.derivatives.catalogue import derive
from huref.prover.derivatives.padding import add_heads
from huref.prover.derivatives.store import load_model, save_model
from huref.prover.vocabulary.selection import Chosen

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]
_FACTORS = {"qk": ("q", "k"), "vo": ("o", "v"), "ud": ("up", "down")}
_KINDS = ("noise-10", "prune-50-linear")
_LOUD = (1.0, 10.0)


@dataclass
class Rows:
    """The committed integers of a model that the terms read, as floats, with the influence of every row."""

    sketches: tuple[Float, Float]
    factors: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
    influence: dict[str, Int64]
    head_dim: int


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

    size = weights[f"embed{STEP}"].reshape(-1)[choice.ids].astype(np.int64)
    counts = multipliers(size, find_cap(size), ROW_BITS, interpolated=False)
    x = weights["embed"][choice.ids] * counts[:, None].astype(np.float64)
    influence = {term: steps(left) + steps(right) for term, (left, right) in _FACTORS.items()}
    influence["qk"] += IDLE * (influence["vo"] < ALIVE)
    if shape.gated:
        influence["ud"] += steps("gate")
    return Rows(
        filtered(x, sketches(choice.pieces, pool_count(len(x)), b"")),
        {
            term: (joined(left).astype(np.float32), joined(right).astype(np.float32))
            for term, (left, right) in _FACTORS.items()
        },
        influence,
        shape.head_dim,
    )


def per_row(rows: Rows, term: str, share: float, octaves: float) -> Float:
    """Every row in proportion to its size, up to `octaves` above the size that `share` of all stay below."""
    influence = rows.influence[term]
    living = np.sort(influence[influence >= ALIVE])
    place = share * len(living)
    octave = living[min(int(place), len(living) - 1)]
    cap = octave + (place - (living < octave).sum()) / (living == octave).sum() + octaves
    return np.where(influence < ALIVE, 0.0, np.exp2(np.minimum(influence - cap, 0.0)))


def per_head(rows: Rows, term: str, share: float, octaves: float) -> Float:
    """Every head in proportion to the root of the sum of its rows' squares, up to such a cap of heads."""
    influence = rows.influence[term].reshape(-1, rows.head_dim)
    squares = np.where(influence < ALIVE, 0.0, np.exp2(2.0 * influence))
    size = np.log2(np.maximum(squares.sum(axis=1), 2.0 ** (4 * ALIVE))) / 2
    cap = np.quantile(size[size > 2 * ALIVE], share) + octaves
    return (np.sqrt(squares) / np.exp2(np.maximum(size, cap))[:, None]).reshape(-1)


def written(rows: Rows, term: str) -> Float:
    """Scores of a head times one signed number of what it writes, linear in v·o, so that what cancels cancels here."""
    plain = per_row(rows, term, 0.5, 1)
    if term != "qk":
        return plain
    left, right = rows.factors["vo"]
    ys, yt = rows.sketches
    signs = np.random.default_rng(5).choice([-1.0, 1.0], (len(ys), len(yt)))
    influence = rows.influence["vo"]
    size = np.where(influence < ALIVE, 0.0, np.exp2(influence - float(np.median(influence))))
    entries = (ys @ left.T) * (signs @ (yt @ right.T)) * size
    return plain * np.repeat(entries.sum(axis=0).reshape(-1, rows.head_dim).sum(axis=1), rows.head_dim)


RULES: dict[str, Callable[[Rows, str], Float]] = {
    "rows, twice the median (hardened-2)": partial(per_row, share=0.5, octaves=1),
    "rows, the median": partial(per_row, share=0.5, octaves=0),
    "rows, four times the median": partial(per_row, share=0.5, octaves=2),
    "rows, the lower quartile": partial(per_row, share=0.25, octaves=0),
    "rows, twice the lower quartile": partial(per_row, share=0.25, octaves=1),
    "rows, four times the lower quartile": partial(per_row, share=0.25, octaves=2),
    "heads, the lower quartile": partial(per_head, share=0.25, octaves=0),
    "heads, twice the lower quartile": partial(per_head, share=0.25, octaves=1),
    "scores times what their head writes": written,
}


def fingerprints(rows: Rows) -> dict[str, Float]:
    """e under every rule."""

    def operator(term: str, times: NDArray[Any]) -> Float:
        left, right = rows.factors[term]
        return ((left * times[:, None].astype(np.float32)).T @ right).astype(np.float64)

    influence = rows.influence["ud"]
    plain = multipliers(influence, find_cap(influence), MULTIPLIER_BITS, interpolated=True)
    ud = operator("ud", plain / 2.0**MULTIPLIER_BITS)
    return {
        name: outputs({t: operator(t, rule(rows, t)) for t in ("qk", "vo")} | {"ud": ud}, *rows.sketches)
        for name, rule in RULES.items()
    }


def changed(name: str, subject: Subject) -> Iterator[tuple[str, Model]]:
    """Derivatives, and a gated model with as many cancelling heads again, louder and louder."""
    model = load_model(subject.path)
    for kind in _KINDS:
        with scratch() as folder:
            yield kind, open_model(derive(subject.path, kind, folder / "model", model=model))
    for loud in _LOUD if name == "smollm2" else ():
        with scratch() as folder:
            other = add_heads(model, 7, "cancelling", loud)
            yield f"cancelling heads × {loud:g}", open_model(save_model(other, folder / "model"))


def compared(first: Float, second: Float) -> dict[str, Any]:
    """Correlation of every term's outputs, and their mean."""
    terms = [float(np.corrcoef(first[run], second[run])[0, 1]) for run in segments()]
    named = dict(zip(TERMS, (round(x, 4) for x in terms), strict=True))
    return {"cosine": round(sum(terms) / len(terms), 4), "terms": named}


def main() -> None:
    """Measure and store."""
    report: dict[str, Any] = {}
    own: dict[str, dict[str, Float]] = {}
    for name in ("smollm2", "minilm"):
        subject = Subject(demo.find(name))
        own[name] = fingerprints(read(subject.model, subject.chosen, subject.weights))
        for kind, model in changed(name, subject):
            found = fingerprints(read(model, subject.chosen, whole_weights(model, subject.chosen)))
            row = {rule: compared(own[name][rule], e) for rule, e in found.items()}
            report[f"{kind} of {name}"] = row
            print(name, kind, {rule: one["cosine"] for rule, one in row.items()}, file=sys.stderr, flush=True)
    report["smollm2 / minilm"] = {rule: compared(own["smollm2"][rule], own["minilm"][rule]) for rule in RULES}
    store("examination_caps", report)


if __name__ == "__main__":
    main()
