"""The two vectors of the inner product, as the prover fills them (protocol §13.4).

`huref.circuits.relations.bilinear` has the same products as functionals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.relations.frame import Frame, Matrix, starts_of
from huref.circuits.relations.layout import product_blocks
from huref.circuits.relations.products import (
    CausalMix,
    CausalScores,
    ColumnScale,
    FlatProduct,
    Gathered,
    Hadamard,
    HeadSquares,
    Outer,
    Product,
    Projection,
    RowScale,
    Squares,
    StoredScale,
    Transposed,
)
from huref.circuits.relations.terms import Factor, Select
from huref.circuits.relations.weights import EquationWeights, placed_rows
from huref.common.algebra.field import DEGREE, KArray, kmul, kone, kouter, kzero
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.cells import integers_to_mont, weighted_cells
from huref.prover.kernels.field.field import U32, k_to_mont
from huref.prover.kernels.field.small import small_matvec, small_vecmat
from huref.prover.relations.sides import Sides
from huref.prover.relations.values import Values

Ints = NDArray[Any]


def product_sides(weights: EquationWeights, values: Values, tensors: Mapping[str, Ints]) -> Sides:
    """l and r, blocks · w entries; `tensors` has the committed weights by name."""
    filler = _Filler(weights, values, tensors)
    for product, at in zip(weights.layout.relations.products, weights.layout.offsets, strict=True):
        filler.at = at * weights.layout.w
        if isinstance(product, Hadamard):
            filler.hadamard(product)
        elif isinstance(product, Squares):
            filler.squares(product)
        else:
            filler.held(product)
    return filler.sides


class _Filler:
    def __init__(self, weights: EquationWeights, values: Values, tensors: Mapping[str, Ints]) -> None:
        self.weights, self.values, self.tensors = weights, values, tensors
        self.layout, self.w = weights.layout, weights.layout.w
        self.sides, self.at = Sides(weights.layout.length * self.w), 0
        self.left: U32  # of the present product
        self.right: U32
        self._column = k_to_mont(weights.column)
        self._ones = k_to_mont(kone((self.w,)))

    def held(self, product: Product) -> None:
        """A product whose two vectors are made at once."""
        blocks = sum(product_blocks(product, self.layout.relations, self.w))
        self.left, self.right = (np.zeros((DEGREE, blocks * self.w), np.uint32) for _ in range(2))
        match product:
            case Projection():
                self.projection(product)
            case Transposed():
                self.transposed(product)
            case ColumnScale():
                self.column_scale(product)
            case StoredScale():
                self.stored_scale(product)
            case RowScale():
                self.row_scale(product)
            case Gathered():
                self.gathered(product)
            case HeadSquares():
                self.head_squares(product)
            case FlatProduct():
                self.flat_product(product)
            case Outer():
                self.outer(product)
            case CausalScores():
                self.causal_scores(product)
            case CausalMix():
                self.causal_mix(product)
        self.sides.put(self.at, self.left, self.right)

    def put(self, side: U32, vector: U32, at: int = 0) -> None:
        """Write a vector into a side of the present product."""
        side[:, at : at + vector.shape[1]] = vector

    def weighted(self, rows: KArray, column: U32, cells: Ints) -> U32:
        """rows[i] · column[c] · cells[i, c], (5, n · w)."""
        return weighted_cells(k_to_mont(rows), column, cells)

    def base(self, cells: Ints) -> U32:
        """Integers as elements of K."""
        out = np.zeros((DEGREE, cells.size), np.uint32)
        out[0] = integers_to_mont(cells)
        return out

    def token_sums(self, matrix: Matrix, outer: KArray, cells: Ints) -> U32:
        """Σ_t outer[t] · cells of (block; t, i; column) as (5, blocks, inner, w)."""
        blocks, inner = len(cells), matrix.frame.inner * matrix.frame.heads
        vector = k_to_mont(outer)
        sums = [small_vecmat(vector, part.reshape(len(outer), inner * self.w)) for part in cells]
        return np.stack(sums, axis=1).reshape(DEGREE, blocks, inner, self.w)

    def inner_sums(self, equation: str, matrix: Matrix, outer: KArray, factor: Factor, select: Select) -> U32:
        """The left side of a projection, (5, blocks · inner · w)."""
        sums = self.token_sums(matrix, outer, self.values.blocks(matrix))
        if select is not None:
            sums = sums[:, :, list(select)]
        factors = k_to_mont(self.weights.inner(equation, factor))
        factors = np.broadcast_to(factors[:, None, :, None], sums.shape)
        return vectors.mul(
            np.ascontiguousarray(sums).reshape(DEGREE, -1), np.ascontiguousarray(factors).reshape(DEGREE, -1)
        )

    def projection(self, product: Projection) -> None:
        frame, matrix = self.weights.frame(product.equation), product.matrix
        outer = placed_rows(self.weights.outer(frame.outer), product.tokens, matrix.frame.outer)
        self.put(self.left, self.inner_sums(product.equation, matrix, outer, product.factor, product.select))
        cols = k_to_mont(self.weights.cols(frame.cols))
        inner = len(product.tensors)
        for i, tensor in enumerate(product.tensors):
            found = small_vecmat(cols, self.tensors[tensor])
            for block in range(-(-found.shape[1] // self.w)):
                part = found[:, block * self.w : (block + 1) * self.w]
                self.put(self.right, part, (block * inner + i) * self.w)

    def transposed(self, product: Transposed) -> None:
        frame, matrix = self.weights.frame(product.equation), product.matrix
        outer = placed_rows(self.weights.outer(frame.outer), product.tokens, matrix.frame.outer)
        left = self.inner_sums(product.equation, matrix, outer, product.factor, None)
        inner = len(product.tensors)
        for i, column, extra in product.outliers:
            block, col = divmod(column, self.w)
            at = (block * inner + i) * self.w + col
            scale = integers_to_mont(np.array([1 + extra], np.int32))
            left[:, at : at + 1] = vectors.mul_base(left[:, at : at + 1], scale)
        self.put(self.left, left)
        for i, tensor in enumerate(product.tensors):
            stored = self.tensors[tensor]
            found = small_matvec(stored, k_to_mont(self.weights.cols(stored.shape[1])))
            for block in range(-(-found.shape[1] // self.w)):
                part = found[:, block * self.w : (block + 1) * self.w]
                self.put(self.right, part, (block * inner + i) * self.w)

    def column_scale(self, product: ColumnScale) -> None:
        scale = product.scale
        cells = self.values.blocks(scale)
        inner = self.weights.inner(product.equation, product.factor)
        rows = kouter(self.weights.blocks(scale.frame.cols), inner).reshape(-1, DEGREE)
        self.put(self.left, self.weighted(rows, self._column, cells.reshape(-1, self.w)))
        outer = self.weights.outer(self.weights.frame(product.equation).outer)
        first = product.matrices[0][0]
        total = np.zeros(self.values.blocks(first).shape, np.int32)
        for matrix, factor in product.matrices:
            total += self.values.blocks(matrix).astype(np.int32) * np.int32(factor)
        self.put(self.right, self.token_sums(first, outer, total).reshape(DEGREE, -1))

    def stored_scale(self, product: StoredScale) -> None:
        matrix, numbers = product.matrix, np.array(product.numbers, np.int64)
        cells = np.zeros((len(product.tensors), self.layout.blocks(matrix.frame.cols) * self.w), np.int32)
        for i, tensor in enumerate(product.tensors):
            cells[i, : matrix.frame.cols] = numbers @ self.tensors[tensor].astype(np.int64)
        inner = self.weights.inner(product.equation, product.factor)
        rows = kouter(self.weights.blocks(matrix.frame.cols), inner).reshape(-1, DEGREE)
        by_block = cells.reshape(len(cells), -1, self.w).swapaxes(0, 1).reshape(-1, self.w)
        self.put(self.left, self.weighted(rows, self._column, np.ascontiguousarray(by_block)))
        outer = self.weights.outer(self.weights.frame(product.equation).outer)
        sums = self.token_sums(matrix, outer, self.values.blocks(matrix))
        self.put(self.right, sums.reshape(DEGREE, -1))

    def row_scale(self, product: RowScale) -> None:
        scale, frame = product.scale, self.weights.frame(product.equation)
        rows = self.weights.rows(product.equation, product.factor).repeat(scale.frame.heads, axis=0)
        cells = integers_to_mont(self.values.flat(scale))
        self.put(self.left, vectors.mul_base(k_to_mont(rows), cells))
        heads, cols = scale.frame.heads, self.weights.cols(frame.cols)
        size = frame.cols // heads
        total = np.zeros((frame.outer * scale.frame.inner, frame.cols), np.int32)
        for matrix, factor in product.matrices:
            total += self.values.plain(matrix).astype(np.int32) * np.int32(factor)
        found = np.empty((DEGREE, len(total), heads), np.uint32)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            found[:, :, head] = small_matvec(np.ascontiguousarray(total[:, part]), k_to_mont(cols[part]))
        self.put(self.right, found.reshape(DEGREE, -1))

    def gathered(self, product: Gathered) -> None:
        rows = k_to_mont(self.weights.rows(product.equation, product.factor))
        self.put(self.left, vectors.mul_base(rows, integers_to_mont(self.values.flat(product.scale))))
        index = np.array(product.index)
        read = np.ascontiguousarray(self.tensors[product.tensor][np.maximum(index, 0)])
        read[index < 0] = 0
        self.put(self.right, small_matvec(read, k_to_mont(self.weights.cols(read.shape[1]))))

    def hadamard(self, product: Hadamard) -> None:
        blocks = self.weights.blocks(product.left.frame.cols)
        rows = kouter(blocks, self.weights.rows(product.equation, product.factor)).reshape(-1, DEGREE)
        left = k_to_mont(rows), self._column, self.values.stacked(product.left)
        self.cells(0, [left], self.values.stacked(product.right))

    def squares(self, product: Squares) -> None:
        high, low = self.values.stacked(product.high), self.values.stacked(product.low)
        blocks = self.layout.placed[product.high.name].blocks
        parts = []
        for equation, cells in (
            (product.equation, high),
            (product.equation_mixed, low),
            (product.equation_low, low),
        ):
            rows = kmul(self.weights.rows(equation), self.weights.cols(1)[0])
            parts.append((k_to_mont(np.tile(rows, (blocks, 1))), self._ones, cells))
        self.cells(0, parts[:2], high)
        self.cells(high.size, parts[2:], low)

    def cells(self, at: int, left: Sequence[tuple[U32, U32, Ints]], right: Ints) -> None:
        """A stretch that is made where it is read, row by row: l the sum of rows[i] · column[c] · cells[i, c], r the
        cells `right`.
        """
        w = self.w

        def read(start: int, stop: int) -> tuple[U32, U32]:
            first, last = start // w, -(-stop // w)
            parts = [
                weighted_cells(np.ascontiguousarray(rows[:, first:last]), column, cells[first:last])
                for rows, column, cells in left
            ]
            inside = slice(start - first * w, stop - first * w)
            return reduce(vectors.add, parts)[:, inside], self.base(right[first:last])[:, inside]

        self.sides.add(self.at + at, right.size, read)

    def head_squares(self, product: HeadSquares) -> None:
        frame, place = self.weights.frame(product.equation), self.layout.placed[product.matrix.name]
        once = kmul(self.weights.inner(product.equation, product.factor), self.weights.cols(1)[0])
        rows = kouter(self.weights.outer(frame.outer), once).reshape(-1, DEGREE)
        heads = kzero((place.blocks * self.w,))
        heads[: place.cols] = self.weights.heads(frame.heads).repeat(product.size, axis=0)
        cells = self.values.blocks(product.matrix)
        parts = heads.reshape(place.blocks, self.w, DEGREE)
        left = [self.weighted(rows, k_to_mont(part), block) for part, block in zip(parts, cells, strict=True)]
        self.put(self.left, np.concatenate(left, axis=1))
        self.put(self.right, self.base(self.values.stacked(product.matrix)))

    def flat_product(self, product: FlatProduct) -> None:
        rows = kmul(self.weights.rows(product.equation, product.factor), self.weights.cols(1)[0])
        self.put(
            self.left, vectors.mul_base(k_to_mont(rows), integers_to_mont(self.values.flat(product.left)))
        )
        self.put(self.right, self.base(self.values.flat(product.right)))

    def outer(self, product: Outer) -> None:
        rows = k_to_mont(self.weights.rows(product.equation, product.factor))
        side = vectors.mul_base(rows, integers_to_mont(self.values.flat(product.side)))
        self.put(self.left, vectors.total(side)[:, None])
        cols = k_to_mont(self.weights.cols(product.top.frame.cols))
        self.put(self.right, small_matvec(self.values.plain(product.top), cols))

    def causal_scores(self, product: CausalScores) -> None:
        frame, size = self.weights.frame(product.equation), product.size
        query = self.layout.placed[product.query.name]
        inner = self.weights.inner(product.equation, product.factor)
        rows = kouter(self.weights.outer(frame.outer), inner).reshape(-1, DEGREE)
        heads = kzero((query.blocks * self.w,))
        heads[: query.cols] = self.weights.heads(frame.heads).repeat(size, axis=0)
        column = np.zeros(query.blocks * self.w, np.int64)
        index = np.arange(query.cols)
        column[: query.cols] = index // (size * product.group) * size + index % size
        sums = self._prefixes(self.values.blocks(product.key), frame)
        run = query.rows * self.w
        for block, cells in enumerate(self.values.blocks(product.query)):
            part = slice(block * self.w, (block + 1) * self.w)
            self.put(self.left, self.weighted(rows, k_to_mont(heads[part]), cells), block * run)
            where = column[part]
            read = sums[:, where // self.w, :, where % self.w]  # (w, 5, rows)
            read[query.cols - block * self.w :] = 0
            self.put(self.right, np.moveaxis(read, 0, 2).reshape(DEGREE, -1), block * run)

    def _prefixes(self, cells: Ints, frame: Frame) -> U32:
        """Σ (weight of column v) · cells of (block; u, i; column) over the tokens u up to t of t's sequence, v the
        position of u, as (5, blocks, (t, i), w).
        """
        blocks, rows, w = cells.shape
        tokens, positions = frame.outer, frame.positions
        cols = self.weights.cols(frame.cols)[positions]
        spread = np.tile(cols.repeat(rows // tokens, axis=0), (blocks, 1))
        terms = self.weighted(spread, self._ones, cells.reshape(-1, w))
        terms = terms.reshape(DEGREE, blocks, tokens, -1)
        for t in np.flatnonzero(positions):
            now = np.ascontiguousarray(terms[:, :, t]).reshape(DEGREE, -1)
            before = np.ascontiguousarray(terms[:, :, t - 1]).reshape(DEGREE, -1)
            terms[:, :, t] = vectors.add(now, before).reshape(DEGREE, blocks, -1)
        return terms.reshape(DEGREE, blocks, rows, w)

    def causal_mix(self, product: CausalMix) -> None:
        frame, size, share = self.weights.frame(product.equation), product.size, product.share
        inner, heads, tokens = frame.inner, share.frame.heads, frame.outer
        outer = k_to_mont(self.weights.outer(tokens))
        factors = k_to_mont(self.weights.inner(product.equation, product.factor))
        padded = self.layout.blocks(tokens) * self.w
        left = np.zeros((DEGREE, inner, heads, padded), np.uint32)
        for block, part in enumerate(self.values.blocks(share)):
            by_token = part.reshape(tokens, -1, self.w)
            for start, length in zip(starts_of(share.frame.lengths), share.frame.lengths, strict=True):
                first = block * self.w
                width = min(self.w, length - first)
                if width <= 0:
                    continue
                own = slice(start, start + length)
                seen = np.arange(length)[:, None] >= first + np.arange(width)
                masked = (by_token[own, :, :width] * seen[:, None, :]).astype(part.dtype)
                sums = small_vecmat(np.ascontiguousarray(outer[:, own]), masked.reshape(length, -1))
                left[..., start + first :][..., :width] = sums.reshape(DEGREE, inner, heads, width)
        spread = np.broadcast_to(factors[:, :, None, None], left.shape)
        flat = left.reshape(DEGREE, -1), np.ascontiguousarray(spread).reshape(DEGREE, -1)
        self.put(self.left, vectors.mul(*flat))
        value = self.values.plain(product.value)
        cols = self.weights.cols(frame.cols)
        right = np.zeros((DEGREE, inner, heads, padded), np.uint32)
        for head in range(heads):
            first = head // product.group * size
            read = np.ascontiguousarray(value[:, first : first + size])
            found = small_matvec(read, k_to_mont(cols[head * size : (head + 1) * size]))
            right[:, :, head, :tokens] = found.reshape(DEGREE, tokens, inner).swapaxes(1, 2)
        self.put(self.right, right.reshape(DEGREE, -1))
