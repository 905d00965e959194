"""All products of all equations as one inner product ⟨l, r⟩ (protocol §13.4).

A product owns a run of the two vectors, in blocks of w entries. At the end of the sumcheck l and r are read at a point
ζ; both are functionals of what is committed, and every product adds its part to both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from huref.circuits.argument.functional import Array, Columns, Functional
from huref.circuits.argument.placed import Placed
from huref.circuits.argument.runs import flat_term
from huref.circuits.relations.attention import add_causal_mix, add_causal_scores
from huref.circuits.relations.frame import Matrix
from huref.circuits.relations.products import (
    CausalMix,
    CausalScores,
    ColumnScale,
    FlatProduct,
    Gathered,
    Hadamard,
    HeadSquares,
    Outer,
    Projection,
    RowScale,
    Squares,
    StoredScale,
    Transposed,
)
from huref.circuits.relations.readout import Readout
from huref.circuits.relations.stored import stored_tensors
from huref.circuits.relations.terms import Factor
from huref.circuits.relations.weights import COLUMN, EquationWeights, placed_rows
from huref.common.algebra.field import DEGREE, kmul, kone, kouter, kscale, kzero, reduce, to_field
from huref.common.algebra.kscalar import KS
from huref.common.distinct import distinct


def product_functionals(
    weights: EquationWeights, point: Sequence[KS], columns: Columns
) -> tuple[Functional, Functional]:
    """The multilinear extensions of l and r at `point`."""
    layout = weights.layout
    builder = _Builder(weights, Readout(layout, point, columns))
    for product, at in zip(layout.relations.products, layout.offsets, strict=True):
        match product:
            case Projection():
                builder.projection(product, at)
            case Transposed():
                builder.transposed(product, at)
            case ColumnScale():
                builder.column_scale(product, at)
            case StoredScale():
                builder.stored_scale(product, at)
            case RowScale():
                builder.row_scale(product, at)
            case Gathered():
                builder.gathered(product, at)
            case Hadamard():
                builder.hadamard(product, at)
            case Squares():
                builder.squares(product, at)
            case HeadSquares():
                builder.head_squares(product, at)
            case FlatProduct():
                builder.flat_product(product, at)
            case Outer():
                builder.outer(product, at)
            case CausalScores():
                add_causal_scores(weights, builder.read, builder.left, builder.right, product, at)
            case CausalMix():
                add_causal_mix(weights, builder.read, builder.left, builder.right, product, at)
    return builder.left, builder.right


class _Builder:
    def __init__(self, weights: EquationWeights, read: Readout) -> None:
        self.weights, self.read, self.layout = weights, read, weights.layout
        self.left, self.right = Functional(weights.columns), Functional(weights.columns)

    def tokens(self, equation: str, tokens: tuple[int, ...] | None, count: int) -> Array:
        """Weights of the tokens of a matrix that the outer indices of an equation read."""
        outer = self.weights.outer(self.weights.frame(equation).outer)
        return placed_rows(outer, tokens, count)

    def summed_rows(
        self, matrix: Matrix, outer: Array, by_block: Array, column: str, into: Functional
    ) -> None:
        """Add Σ outer[t]·by_block[b, i]·column[c]·matrix[(t, i), b·w + c]; `by_block` (blocks, inner, 5)."""
        place = self.layout.placed[matrix.name]
        tail = place.cols - (place.blocks - 1) * self.layout.w
        if tail == self.layout.w and len(outer) == 1:  # blocks follow one another
            into.rows("A", place.start, kmul(by_block, outer[0]).reshape(-1, DEGREE), column)
            return
        if tail == self.layout.w and by_block.shape[1] == 1:
            into.product("A", place.start, by_block[:, 0], outer, place.count, column)
            return
        for block, inner in enumerate(by_block):
            last = block == place.blocks - 1
            name = into.columns.masked(column, tail) if last else column
            into.product("A", place.start + block * place.rows, outer, inner, place.rows, name)

    def projection(self, product: Projection, at: int) -> None:
        frame, matrix = self.weights.frame(product.equation), product.matrix
        blocks, inner = self.layout.blocks(matrix.frame.cols), len(product.tensors)
        high = self.read.high(at, blocks * inner).reshape(blocks, inner, DEGREE)
        own = kmul(high, self.weights.inner(product.equation, product.factor)[None])
        outer = self.tokens(product.equation, product.tokens, matrix.frame.outer)
        by_block = placed_rows(own, product.select, matrix.frame.inner)
        self.summed_rows(matrix, outer, by_block, self.read.inner, self.left)
        rows = self.weights.cols(frame.cols)
        stored_tensors(
            self.right, self.layout, product.tensors, [rows] * inner, high.swapaxes(0, 1), self.read.inner
        )

    def transposed(self, product: Transposed, at: int) -> None:
        matrix, w = product.matrix, self.layout.w
        blocks, inner = self.layout.blocks(matrix.frame.cols), len(product.tensors)
        high = self.read.high(at, blocks * inner).reshape(blocks, inner, DEGREE)
        factors = self.weights.inner(product.equation, product.factor)
        outer = self.tokens(product.equation, product.tokens, matrix.frame.outer)
        self.summed_rows(matrix, outer, kmul(high, factors[None]), self.read.inner, self.left)
        place = self.layout.placed[matrix.name]
        if product.outliers:
            i, column, extra = (np.array(part) for part in zip(*product.outliers, strict=True))
            block, col = np.divmod(column, w)
            added = kzero((blocks, inner, w))
            np.add.at(
                added, (block, i, col), kscale(kmul(high[block, i], self.read.low[col]), to_field(extra))
            )
            for at_block in distinct(block).tolist():
                vectors = kmul(reduce(added[at_block]), factors[:, None])
                start = place.start + at_block * place.rows
                self.left.grouped("A", start, outer, vectors, interleaved=True)
        stored = self.layout.weights[product.tensors[0]]
        own = [kouter(high[:, i], self.read.low).reshape(-1, DEGREE)[: stored.rows] for i in range(inner)]
        across = np.broadcast_to(self.weights.blocks(stored.cols)[None], (inner, stored.blocks, DEGREE))
        stored_tensors(self.right, self.layout, product.tensors, own, across, COLUMN)

    def column_scale(self, product: ColumnScale, at: int) -> None:
        scale, outer = product.scale, self.weights.outer(self.weights.frame(product.equation).outer)
        blocks, inner = self.layout.blocks(scale.frame.cols), scale.frame.inner
        high = self.read.high(at, blocks * inner).reshape(blocks, inner, DEGREE)
        own = kmul(high, self.weights.inner(product.equation, product.factor)[None])
        own = kmul(own, self.weights.blocks(scale.frame.cols)[:, None])
        self.summed_rows(scale, kone((1,)), own, self.read.weighted, self.left)
        for matrix, factor in product.matrices:
            by_block = kscale(high, to_field(factor))
            self.summed_rows(matrix, outer, by_block, self.read.inner, self.right)

    def stored_scale(self, product: StoredScale, at: int) -> None:
        matrix, inner = product.matrix, len(product.tensors)
        outer = self.weights.outer(self.weights.frame(product.equation).outer)
        blocks = self.layout.blocks(matrix.frame.cols)
        high = self.read.high(at, blocks * inner).reshape(blocks, inner, DEGREE)
        own = kmul(high, self.weights.inner(product.equation, product.factor)[None])
        own = kmul(own, self.weights.blocks(matrix.frame.cols)[:, None])
        numbers = kzero((len(product.numbers),))
        numbers[:, 0] = to_field(np.array(product.numbers, np.int64))
        stored_tensors(
            self.left, self.layout, product.tensors, [numbers] * inner, own.swapaxes(0, 1), self.read.weighted
        )
        self.summed_rows(matrix, outer, high, self.read.inner, self.right)

    def row_scale(self, product: RowScale, at: int) -> None:
        scale, frame = product.scale, self.weights.frame(product.equation)
        eq = self.read.entries(at, scale.frame.rows)
        # heads have no weight of their own, their columns have
        weights = self.weights.rows(product.equation, product.factor).repeat(scale.frame.heads, axis=0)
        flat_term(self.left, self.layout.placed[scale.name].start, kmul(eq, weights))
        heads = scale.frame.heads
        size = frame.cols // heads
        for matrix, factor in product.matrices:
            place = self.layout.placed[matrix.name]
            rows = kscale(eq, to_field(factor)).reshape(-1, heads, DEGREE)
            for head in range(heads):
                self._headed(place, rows[:, head], head * size, size, self.right)

    def _headed(self, place: Placed, rows: Array, first: int, size: int, into: Functional) -> None:
        """Add rows · (columns first … first + size − 1 with the equations' weights)."""
        w, cols = self.layout.w, self.weights.cols(place.cols)
        if size == place.cols:
            into.tensor(place, rows, self.weights.blocks(place.cols), COLUMN)
            return
        for block in range(first // w, (first + size - 1) // w + 1):
            low, high = max(first, block * w), min(first + size, (block + 1) * w)
            vector = kzero((w,))
            vector[low - block * w : high - block * w] = cols[low:high]
            into.block(place, rows, block, into.columns.add(f"head.{low}.{high}", vector))

    def gathered(self, product: Gathered, at: int) -> None:
        frame, tensor = self.weights.frame(product.equation), self.layout.weights[product.tensor]
        eq = self.read.entries(at, frame.outer)
        weights = self.weights.rows(product.equation, product.factor)
        flat_term(self.left, self.layout.placed[product.scale.name].start, kmul(eq, weights))
        blocks = self.weights.blocks(tensor.cols)
        for t, row in enumerate(product.index):
            if row < 0:
                continue
            one = Placed("W", tensor.start + row * tensor.blocks, 1, tensor.cols, tensor.blocks)
            self.right.tensor(one, eq[t : t + 1], blocks, COLUMN)

    def hadamard(self, product: Hadamard, at: int) -> None:
        self._elementwise(product.left, product.equation, product.factor, at, self.left, summed=False)
        self._plain(product.right, at, self.right)

    def squares(self, product: Squares, at: int) -> None:
        size = self.layout.blocks(product.high.frame.cols) * product.high.frame.rows
        parts = ((product.high, product.equation), (product.low, product.equation_mixed))
        for matrix, equation in parts:
            self._elementwise(matrix, equation, 1, at, self.left, summed=True)
        self._plain(product.high, at, self.right)
        self._elementwise(product.low, product.equation_low, 1, at + size, self.left, summed=True)
        self._plain(product.low, at + size, self.right)

    def head_squares(self, product: HeadSquares, at: int) -> None:
        frame, w = self.weights.frame(product.equation), self.layout.w
        place = self.layout.placed[product.matrix.name]
        once = kmul(self.weights.inner(product.equation, product.factor), self.weights.cols(1)[0])
        rows = kouter(self.weights.outer(frame.outer), once).reshape(-1, DEGREE)
        heads = self.weights.heads(frame.heads).repeat(product.size, axis=0)  # by column
        high = self.read.high(at, place.blocks * place.rows).reshape(place.blocks, place.rows, DEGREE)
        for block, own in enumerate(kmul(high, rows[None])):
            part = heads[block * w : (block + 1) * w]
            low = kzero((w,))
            low[: len(part)] = kmul(self.read.low[: len(part)], part)
            name = f"{product.matrix.name}.squares{block}"
            self.left.block(place, own, block, self.left.columns.add(name, low))
        self._plain(product.matrix, at, self.right)

    def _elementwise(
        self, matrix: Matrix, equation: str, factor: Factor, at: int, into: Functional, *, summed: bool
    ) -> None:
        """Entries of a matrix, laid out as committed, times the weights of rows, and of columns unless `summed`."""
        place, rows = self.layout.placed[matrix.name], self.weights.rows(equation, factor)
        high = self.read.high(at, place.blocks * place.rows).reshape(place.blocks, place.rows, DEGREE)
        own = kmul(high, rows[None])
        if summed:
            own = kmul(own, self.weights.cols(1)[0])
            self._whole(place, own, self.read.inner, into)
        else:
            own = kmul(own, self.weights.blocks(place.cols)[:, None])
            self._whole(place, own, self.read.weighted, into)

    def _plain(self, matrix: Matrix, at: int, into: Functional) -> None:
        place = self.layout.placed[matrix.name]
        high = self.read.high(at, place.blocks * place.rows)
        self._whole(place, high.reshape(place.blocks, place.rows, DEGREE), self.read.inner, into)

    def _whole(self, place: Placed, rows: Array, column: str, into: Functional) -> None:
        """Add rows (blocks, rows, 5) of a matrix of A."""
        tail = place.cols - (place.blocks - 1) * self.layout.w
        whole = rows.reshape(-1, DEGREE)
        cut = (place.blocks - 1) * place.rows
        if cut:
            into.rows("A", place.start, whole[:cut], column)
        into.rows("A", place.start + cut, whole[cut:], into.columns.masked(column, tail))

    def flat_product(self, product: FlatProduct, at: int) -> None:
        eq = self.read.entries(at, product.left.frame.rows)
        rows = kmul(self.weights.rows(product.equation, product.factor), self.weights.cols(1)[0])
        flat_term(self.left, self.layout.placed[product.left.name].start, kmul(eq, rows))
        flat_term(self.right, self.layout.placed[product.right.name].start, eq)

    def outer(self, product: Outer, at: int) -> None:
        eq = self.read.entries(at, 1)[0]
        rows = self.weights.rows(product.equation, product.factor)
        flat_term(self.left, self.layout.placed[product.side.name].start, kmul(rows, eq))
        place = self.layout.placed[product.top.name]
        blocks = kmul(self.weights.blocks(place.cols), eq)
        self.right.tensor(place, kone((1,)), blocks, COLUMN)
