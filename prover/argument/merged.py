"""All claims together, by matrix and column vector: Σ weight·a, kept where it is not zero (protocol §7.1).

Thousands of column vectors stand beside a few rows each, which may lie far apart: at equal distances, or in the same
place of every layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from huref.circuits.argument.functional import (
    Array,
    Claim,
    Columns,
    Grouped,
    Matrix,
    Own,
    Scattered,
    Stacked,
    Term,
)
from huref.circuits.argument.opening import Rowed, dense_fold, pad_coefficients
from huref.common.algebra.field import DEGREE, kdot, kmul, kone, reduce
from huref.common.algebra.kscalar import KS
from huref.common.params import OpeningGeometry
from huref.prover.argument.lookup_tree import UNIT, mont
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import U32, k_to_mont

_GAP = 1 << 8  # rows of zeros that are cheaper than another piece


@dataclass(frozen=True)
class Piece:
    """Coefficients a (5, n) Montgomery of every `step`-th row from `start` on."""

    start: int
    a: U32
    step: int = 1


@dataclass(frozen=True)
class Merged:
    """All terms of one matrix and column vector: Σ weight·a, a row's coefficient the sum of all pieces'."""

    matrix: Matrix
    columns: str
    pieces: list[Piece]


@dataclass(frozen=True)
class _Run:
    """left ⊗ right, of which the last products may be cut: a term without its outer zeros. With a `step`, left is one
    factor, and right stands for every step-th row only.
    """

    start: int
    left: U32
    right: U32
    length: int
    step: int = 1

    @property
    def end(self) -> int:
        return self.start + self.length


def merge(layout: Rowed, claims: Sequence[Claim], powers: Sequence[KS]) -> tuple[list[Merged], list[Own]]:
    """The left side of the claims' sum: terms merged by matrix and column vector, and with their weight those that have
    column vectors of their own.
    """
    runs: dict[tuple[Matrix, str], list[_Run]] = {}
    own: list[Own] = []
    for power, claim in zip(powers, claims, strict=True):
        for term in claim.functional.terms:
            if isinstance(term, Stacked):
                for name, stacked in _stacked(term, power):
                    runs.setdefault((term.matrix, name), []).append(stacked)
            elif isinstance(term, Grouped):
                own.append(replace(term, rows=kmul(term.rows, power.array())))
            elif not isinstance(term, Term):
                own.append(replace(term, values=kmul(term.values, power.array())))
            elif (run := _run(term, power)) is not None:
                runs.setdefault((term.matrix, term.columns), []).append(run)
    merged = [Merged(matrix, name, list(_pieces(parts))) for (matrix, name), parts in runs.items()]
    return merged, [*own, pad_coefficients(layout, claims, powers)]


def _run(term: Term, power: KS) -> _Run | None:
    """A term times a power; None if all of it is zero."""
    right = kone((1,)) if term.right is None else term.right
    used, step = np.flatnonzero(right.any(axis=1)), len(right)
    if not len(used):
        return None
    at = int(used[0]) if len(used) == 1 else 0
    kept = term.left[: -((at - term.length) // step)]  # of which the cut leaves something
    own = np.flatnonzero(kept.any(axis=1))
    if not len(own):
        return None
    first, last = int(own[0]), int(own[-1]) + 1
    start, left = term.start + first * step + at, vectors.from_plain(kept[first:last])
    if len(used) > 1:
        length = min((last - first) * step, term.length - first * step)
        return _Run(start, vectors.scale(left, mont(power)), vectors.from_plain(right), length)
    factor = mont(power * KS.from_array(right[at]))
    return _Run(start, factor[:, None], left, (last - first - 1) * step + 1, step)


def _stacked(term: Stacked, power: KS) -> Iterator[tuple[str, _Run]]:
    """Runs of both column vectors of stacked tensors, times a power."""
    (count, height), width, one = term.rows.shape[:2], term.blocks.shape[1], UNIT[:, None]
    rows = vectors.from_plain(term.rows.reshape(-1, DEGREE)).reshape(DEGREE, count, height)
    blocks = vectors.scale(vectors.from_plain(term.blocks.reshape(-1, DEGREE)), mont(power))
    blocks = blocks.reshape(DEGREE, count, width)
    if term.tail != term.columns:
        last = np.zeros((DEGREE, count * height), np.uint32)
        for i in range(count):
            vectors.add_outer(last, i * height, blocks[:, i, -1:], rows[:, i])
        yield term.tail, _Run(term.start + width - 1, one, last, (count * height - 1) * width + 1, width)
        blocks[:, :, -1] = 0
    if width > 1 or term.tail == term.columns:
        whole = np.zeros((DEGREE, count * height * width), np.uint32)
        for i in range(count):
            vectors.add_outer(whole, i * height * width, rows[:, i], blocks[:, i])
        yield term.columns, _Run(term.start, one, whole, whole.shape[1])


def _pieces(runs: list[_Run]) -> Iterator[Piece]:
    """Runs in the same places added up, and runs of consecutive rows that lie close."""
    spread: dict[tuple[int, int, int], U32] = {}
    close: list[_Run] = []
    for run in runs:
        if run.step == 1:
            close.append(run)
            continue
        key, own = (run.start, run.length, run.step), vectors.scale(run.right, run.left[:, 0])
        spread[key] = vectors.add(spread[key], own) if key in spread else own
    yield from (Piece(start, a, step) for (start, _, step), a in spread.items())
    close.sort(key=lambda run: run.start)
    first = 0
    end = close[0].end if close else 0
    for number, run in enumerate(close):
        if run.start > end + _GAP:
            yield _added(close[first:number], end)
            first = number
        end = max(end, run.end)
    if close:
        yield _added(close[first:], end)


def _added(runs: list[_Run], end: int) -> Piece:
    start = runs[0].start
    total = np.zeros((DEGREE, end - start), np.uint32)
    for run in runs:
        at, (whole, rest) = run.start - start, divmod(run.length, run.right.shape[1])
        vectors.add_outer(total, at, run.left[:, :whole], run.right)
        if rest:
            last = run.left[:, whole : whole + 1], run.right[:, :rest]
            vectors.add_outer(total, at + whole * run.right.shape[1], *last)
    return Piece(start, total)


def row_functional(
    geometry: OpeningGeometry,
    merged: Sequence[Merged],
    own: Sequence[Own],
    columns: Columns,
    eq_rho: Array,
) -> U32:
    """a*, as `huref.circuits.argument.folded.Rows` has it in parts: (5, length) Montgomery."""
    out = np.zeros((DEGREE, geometry.length), np.uint32)
    base = {"W": 0, "A": geometry.weights.k_prime}
    for part in merged:
        at = k_to_mont(kdot(columns.vectors[part.columns], eq_rho))
        for piece in part.pieces:
            start = base[part.matrix] + piece.start
            if piece.step == 1:
                vectors.add_outer(out, start, at[:, None], piece.a)
                continue
            rows = slice(start, start + (piece.a.shape[1] - 1) * piece.step + 1, piece.step)
            out[:, rows] = vectors.add(np.ascontiguousarray(out[:, rows]), vectors.scale(piece.a, at))
    for term in own:
        if isinstance(term, Scattered):
            touched, place = np.unique(base[term.matrix] + term.rows, return_inverse=True)
            sums = np.zeros((len(touched), DEGREE), np.uint64)
            np.add.at(sums, place, kmul(term.values, eq_rho[term.cols]))
            out[:, touched] = vectors.add(np.ascontiguousarray(out[:, touched]), k_to_mont(reduce(sums)))
            continue
        if isinstance(term, Grouped):
            left, right = (vectors.from_plain(side) for side in term.sides(term.folded(eq_rho)))
        else:
            folded = dense_fold(term.values, term.choice, eq_rho)
            left, right = UNIT[:, None], vectors.from_plain(folded)
        vectors.add_outer(out, base[term.matrix] + term.start, left, right)
    return out
