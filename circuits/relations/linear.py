"""The linear part of all equations, weighted: a functional of what is committed, and a constant (protocol §13.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Array, Cut, Functional, total
from huref.circuits.argument.placed import Placed
from huref.circuits.argument.runs import flat_term
from huref.circuits.program.rotation import rotation
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.stored import stored_tensors
from huref.circuits.relations.terms import (
    Along,
    At,
    Beside,
    Cells,
    Equation,
    Factor,
    Linear,
    Mapped,
    Public,
    PublicTokens,
    Rotated,
    RowSum,
    Sparse,
    Stored,
    StoredAt,
    Total,
)
from huref.circuits.relations.weights import (
    COLUMN,
    ONES,
    EquationWeights,
    placed_rows,
    prefix_totals,
)
from huref.common.algebra.field import DEGREE, fdot, kmul, kone, kouter, kscale, kzero, to_field
from huref.common.algebra.kscalar import KS

Ints = NDArray[np.int64]


def linear_part(weights: EquationWeights) -> tuple[Functional, KS]:
    """What all linear terms of all equations add up to."""
    builder = _Builder(weights)
    for equation in weights.layout.relations.equations:
        for number, term in enumerate(equation.linear):
            builder.add(equation, term, f"{equation.name}.{number}")
    return builder.into, builder.constant


class _Builder:
    def __init__(self, weights: EquationWeights) -> None:
        self.weights, self.layout = weights, weights.layout
        self.into, self.constant = Functional(weights.columns), KS(0)

    def add(self, equation: Equation, term: Linear, label: str) -> None:
        """Add a term; `label` is what column vectors of its own are called."""
        name, frame = equation.name, equation.frame
        match term:
            case Cells(matrix, factor, select):
                self._cells(name, frame, matrix, self._inner_heads(name, frame, factor, matrix, select))
            case Along(matrix, factor):
                first = total(self.weights.outer(frame.outer))
                once = kmul(self.weights.inner(name, factor), first.array())
                place = self.layout.placed[matrix.name]
                self.into.tensor(place, once, self.weights.blocks(matrix.frame.cols), COLUMN)
            case Beside(matrix, factor, select):
                self._beside(name, frame, matrix, self._inner_heads(name, frame, factor, matrix, select))
            case Stored(tensors, factor, row):
                self._stored(name, frame, tensors, factor, row)
            case StoredAt(tensor, index, factor):
                self._stored_at(name, tensor, index, factor)
            case At(matrix, column, factor):
                self._at(name, matrix, column, factor)
            case Public(values):
                cols, outer = self.weights.cols(frame.cols), self.weights.outer(frame.outer)
                across = prefix_totals(cols)[frame.positions] if frame.causal else total(cols).array()
                inner = kouter(self.weights.inner(name, values), self.weights.heads(frame.heads))
                self.constant += total(kmul(outer, across)) * total(inner.reshape(-1, DEGREE))
            case PublicTokens(values):
                rows = kmul(self.weights.rows(name), self.weights.cols(1)[0])
                self.constant += total(kscale(rows, to_field(np.array(values, np.int64))))
            case Sparse(entries):
                self._sparse(name, frame, entries)
            case RowSum(matrix, factor):
                self._row_sum(name, frame, matrix, factor)
            case Total(matrix, counts, factor):
                once = kmul(self.weights.rows(name, factor), self.weights.cols(1)[0])
                flat_term(self.into, self.layout.placed[matrix.name].start, once.repeat(counts, axis=0))
            case Mapped():
                self._mapped(name, frame, term)
            case Rotated(matrix, bits, back):
                turn = rotation(frame.cols, bits)
                self._rotated(name, frame, matrix, turn if back else turn.T, label)

    def _inner_heads(
        self,
        name: str,
        frame: Frame,
        factor: int | tuple[int, ...],
        matrix: Matrix,
        select: tuple[int, ...] | None,
    ) -> Array:
        """Weights of (inner, heads) of the matrix, one after the other."""
        inner = placed_rows(self.weights.inner(name, factor), select, matrix.frame.inner)
        return kouter(inner, self.weights.heads(frame.heads)).reshape(-1, DEGREE)

    def _cells(self, name: str, frame: Frame, matrix: Matrix, inner: Array) -> None:
        place, outer = self.layout.placed[matrix.name], self.weights.outer(frame.outer)
        blocks = self.weights.blocks(matrix.frame.cols)
        if not frame.causal:
            rows = kouter(outer, inner).reshape(-1, DEGREE)
            if matrix.flat:
                flat_term(self.into, place.start, kmul(rows, self.weights.cols(1)[0]))
            else:
                self.into.tensor(place, rows, blocks, COLUMN)
            return
        self._causal(place, frame, inner, blocks, COLUMN)

    def _beside(self, name: str, frame: Frame, matrix: Matrix, inner: Array) -> None:
        outer, cols = self.weights.outer(frame.outer), self.weights.cols(frame.cols)
        across = prefix_totals(cols)[frame.positions] if frame.causal else total(cols).array()
        rows = kouter(kmul(outer, across), inner).reshape(-1, DEGREE)
        flat_term(self.into, self.layout.placed[matrix.name].start, rows)

    def _stored(
        self, name: str, frame: Frame, tensors: tuple[str, ...], factor: int | tuple[int, ...], row: int
    ) -> None:
        tokens, place = total(self.weights.outer(frame.outer)), self.layout.weights[tensors[0]]
        inner = kmul(self.weights.inner(name, factor), tokens.array())
        blocks = self.weights.blocks(place.cols)
        across = np.broadcast_to(blocks[None], (len(tensors), *blocks.shape))
        rows = kzero((len(tensors), place.rows))
        rows[:, row] = inner
        stored_tensors(self.into, self.layout, tensors, list(rows), across, COLUMN)

    def _stored_at(self, name: str, tensor: str, index: tuple[int, ...], factor: int) -> None:
        place, w = self.layout.weights[tensor], self.layout.w
        rows, at = kmul(self.weights.rows(name, factor), self.weights.cols(1)[0]), np.array(index)
        block, col = np.divmod(at[at >= 0], w)
        self.into.scattered("W", place.start + block, col, rows[at >= 0])

    def _at(self, name: str, matrix: Matrix, column: tuple[int, ...], factor: int) -> None:
        place, w = self.layout.placed[matrix.name], self.layout.w
        rows = kmul(self.weights.rows(name, factor), self.weights.cols(1)[0])
        block, col = np.divmod(np.array(column), w)
        self.into.scattered("A", place.start + block * place.rows + np.arange(len(column)), col, rows)

    def _sparse(self, name: str, frame: Frame, entries: tuple[tuple[int, int, int], ...]) -> None:
        if not entries:
            return
        at, cols, numbers = (np.array(part) for part in zip(*entries, strict=True))
        inner, columns = self.weights.inner(name, 1), self.weights.cols(frame.cols)
        found = kscale(kmul(inner[at], columns[cols]), to_field(numbers))
        self.constant += total(found) * total(self.weights.outer(frame.outer))

    def _causal(self, place: Placed, frame: Frame, inner: Array, blocks: Array, column: str) -> None:
        """Rows of a causal matrix, each with the columns up to its position, weighted `blocks` ⊗ `column`."""
        outer, w = self.weights.outer(frame.outer), self.layout.w
        for block, weight in enumerate(blocks):
            if weight.any():
                start, widths = place.start + block * place.rows, frame.positions + 1 - block * w
                add_cut(
                    self.into, start, kmul(inner, weight), outer, self.into.columns.vectors[column], widths
                )

    def _row_sum(self, name: str, frame: Frame, matrix: Matrix, factor: Factor) -> None:
        """The equation has the rows of the matrix and one column."""
        place, once = self.layout.placed[matrix.name], self.weights.cols(1)[0]
        blocks = kone((place.blocks,))
        if matrix.frame.causal:
            inner = kouter(kmul(self.weights.inner(name, factor), once), self.weights.heads(frame.heads))
            self._causal(place, matrix.frame, inner.reshape(-1, DEGREE), blocks, ONES)
        else:
            self.into.tensor(place, kmul(self.weights.rows(name, factor), once), blocks, ONES)

    def _mapped(self, name: str, frame: Frame, term: Mapped) -> None:
        """Σ_j c_j · maps[v][j, i] is the weight of column i at the tokens of this map."""
        place, w = self.layout.placed[term.matrix.name], self.layout.w
        size = term.maps.shape[1]
        inner, outer = self.weights.inner(name, term.factor), self.weights.outer(frame.outer)
        cols = self.weights.cols(frame.cols).reshape(-1, size, DEGREE)
        index = np.arange(frame.outer) if term.index is None else np.array(term.index)
        maps, heads = len(term.maps), len(cols)
        by_head = _times(cols, np.concatenate(term.maps, axis=1)).reshape(heads, maps, size, DEGREE)
        mapped = kzero((maps, place.blocks * w))
        mapped[:, : frame.cols] = by_head.swapaxes(0, 1).reshape(maps, -1, DEGREE)
        for block in range(place.blocks):
            own = mapped[index, block * w : (block + 1) * w]
            self.into.grouped("A", place.start + block * place.rows, inner, kmul(own, outer[:, None]))

    def _rotated(self, name: str, frame: Frame, matrix: Matrix, turn: NDArray[np.int32], label: str) -> None:
        """Σ_c (weight of column c) · turn[c, i] is the weight of entry i."""
        place, w = self.layout.placed[matrix.name], self.layout.w
        weights = _times(self.weights.cols(frame.cols)[None], turn)[0]
        padded = kzero((place.blocks * w,))
        padded[: frame.cols] = weights
        rows = kouter(self.weights.outer(frame.outer), self.weights.inner(name, 1)).reshape(-1, DEGREE)
        for block in range(place.blocks):
            column = self.into.columns.add(f"{label}.{block}", padded[block * w : (block + 1) * w])
            self.into.rows("A", place.start + block * place.rows, rows, column)


def _times(vectors: Array, matrix: NDArray[Any]) -> Array:
    """vectors (n, size, 5) · matrix (size × any number of integers below 2^24), over the middle axis."""
    limbs = vectors.swapaxes(1, 2).reshape(-1, len(matrix))  # a limb at a time: the matrix is over F
    return fdot(limbs, to_field(matrix)).reshape(len(vectors), DEGREE, -1).swapaxes(1, 2)


def add_cut(into: Functional, start: int, rows: Array, outer: Array, column: Array, widths: Ints) -> None:
    """Add Σ outer[t]·rows[i]·column[c]·A[start + t·n + i, c] over the first `widths[t]` columns c."""
    into.grouped("A", start, rows, Cut(outer, column, widths))
