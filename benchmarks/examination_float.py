"""`hardened-2` in floating point on rows before they are rounded, as the integers' reference.

Steps and multipliers are those of the integer run; nothing else is rounded or clamped. The rows are taken from the
canonical form at the moment in which it rounds them.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.constants import (
    FILTER_STEPS,
    HEAD_BITS,
    MULTIPLIER_BITS,
    OUTPUTS,
    TERMS,
)
from huref.circuits.fingerprint.hardened.tables import Sketch, output_map, pool_count, segments, sketches
from huref.circuits.fingerprint.hardened.vector import weighted
from huref.circuits.program.evaluate import Trace
from huref.prover.canonical import steps
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import Model
from huref.prover.vocabulary.selection import Chosen

Float = NDArray[np.float32]
Matrix = NDArray[np.float64]
_FACTORS = (("q", "k"), ("o", "v"), ("up", "down"))
"""Left and right rows of every term."""


class _Unrounded:
    """Stands in for the kernel that rounds, and keeps what it was given, by where the rounded rows went."""

    def __init__(self) -> None:
        self.kept: list[tuple[NDArray[np.int8], Float]] = []
        self.rounds = steps.round_each

    def __call__(self, rows: Float, factors: Float, largest: int, out: NDArray[np.int8]) -> None:
        self.kept.append((out, rows * np.asarray(factors, np.float32)[:, None]))
        self.rounds(rows, factors, largest, out)

    def taken(self, values: NDArray[np.int8]) -> Float:
        """What these values were before; forgets it."""
        mine = [rows for out, rows in self.kept if np.shares_memory(out, values)]
        self.kept = [(out, rows) for out, rows in self.kept if not np.shares_memory(out, values)]
        return np.concatenate(mine)


def unrounded(model: Model, choice: Chosen, run: Trace) -> dict[str, Any]:
    """Cosine of e and of each term of an integer run (empty challenge) with the float reference."""
    keep, shape = _Unrounded(), model.shape
    operators = {term: np.zeros((shape.hidden, shape.hidden)) for term in TERMS}
    x, layer, number = np.zeros(0, np.float32), {}, 0
    with patch.object(steps, "round_each", keep):
        for tensor in whole_model(model):
            rows = keep.taken(tensor.values)
            if tensor.name == "embed":
                x = rows[choice.ids] * run.influences["rows.multipliers"].multipliers[:, None].astype(
                    np.float32
                )
            elif tensor.name != "head":
                layer[tensor.name.partition(".")[2]] = rows
            if "down" in layer:
                _accumulate(operators, layer, number, run, shape.group, shape.head_dim)
                layer, number = {}, number + 1
    both = sketches(choice.pieces, pool_count(len(x)), b"")
    found = outputs(operators, *filtered(x.astype(np.float64), both))
    terms = {
        name: float(np.corrcoef(found[part], run.v[part])[0, 1])
        for name, part in zip(TERMS, segments(), strict=True)
    }
    return {
        "cosine": round(weighted(terms), 5),
        "terms": {name: round(value, 5) for name, value in terms.items()},
    }


def _accumulate(
    operators: dict[str, NDArray[np.float64]],
    layer: dict[str, Float],
    number: int,
    run: Trace,
    group: int,
    head_dim: int,
) -> None:
    for term, (left, right) in zip(TERMS, _FACTORS, strict=True):
        rows, other = layer[left], layer[right]
        if len(other) != len(rows):
            heads = other.reshape(-1, 1, head_dim, other.shape[1])
            other = np.repeat(heads, group, axis=1).reshape(rows.shape)
        start = number * len(rows)
        shares = f"{term}.shares" in run.shares
        whole = run.rows[f"{term}.shares" if shares else f"{term}.multipliers"]
        times = whole[start : start + len(rows)] / 2.0 ** (HEAD_BITS if shares else MULTIPLIER_BITS)
        operators[term] += (rows * times[:, None].astype(np.float32)).T @ other


def filtered(x: NDArray[np.float64], both: tuple[Sketch, Sketch]) -> tuple[Matrix, Matrix]:
    """Both sketches of the rows x (K, d), (P, d) each, the left one after its descent steps."""
    ys, yt = sums(x, both)
    return descended(ys, yt, FILTER_STEPS), yt


def sums(x: NDArray[np.float64], both: tuple[Sketch, Sketch]) -> tuple[Matrix, Matrix]:
    """Both sketches of the rows x (K, d), (P, d) each."""
    centred = x - x.mean(axis=0)
    ys, yt = (np.zeros((sketch.pools, x.shape[1])) for sketch in both)
    for sketch, out in zip(both, (ys, yt), strict=True):
        np.add.at(out, sketch.pool, sketch.sign[:, None] * centred)
    return ys, yt


def descended(ys: Matrix, yt: Matrix, steps: int) -> Matrix:
    """The left sketch after so many steps, (P, d)."""
    for _ in range(steps):
        z = (ys @ yt.T) @ yt
        ys = ys - (ys * z).sum() / (z * z).sum() * z
    return ys


def outputs(operators: dict[str, Matrix], ys: Matrix, yt: Matrix, challenge: bytes = b"") -> Matrix:
    """e of the terms' operators (d, d) under a challenge, from which both sketches are."""
    pools = len(ys)
    gram, e = ys @ yt.T, np.zeros(OUTPUTS)
    for number, term in enumerate(TERMS):
        entries = ys @ operators[term] @ yt.T
        if term == "ud":
            entries -= (entries * gram).sum() / (gram * gram).sum() * gram
        place, sign = output_map(number, pools, challenge)
        np.add.at(e, place, sign * entries)
    return e
