"""Relations checked entry by entry, without any weights of equations: what a proof has to show."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.rotation import rotation
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Frame, Matrix
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
from huref.circuits.relations.program import Look, Number, Own, Relations, Repeated, Spread
from huref.circuits.relations.terms import (
    Along,
    At,
    Beside,
    Cells,
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
    by_inner,
)
from huref.common.algebra.field import P

Ints = NDArray[Any]


@cache
def _columns(table: Table) -> tuple[Ints, ...]:
    return table.columns()


def seen(frame: Frame) -> Ints:
    """1 where a row of a causal frame has a column, (outer, 1, 1, cols)."""
    positions = [v for length in frame.lengths for v in range(length)]
    found = np.arange(frame.cols) <= np.array(positions)[:, None]
    return found.astype(np.int64)[:, None, None, :]


def sequences(frame: Frame) -> list[slice]:
    """The tokens of every sequence of a causal frame."""
    ends = np.cumsum(frame.lengths).tolist()
    return [slice(end - length, end) for end, length in zip(ends, frame.lengths, strict=True)]


def _picked(rows: Ints, index: tuple[int, ...]) -> Ints:
    """Rows by index, zeros where that is negative."""
    found = rows[list(index)]
    found[np.array(index) < 0] = 0
    return found


class Checker:
    """`wrong()` lists the equations and lookups that do not hold for these integers."""

    def __init__(self, relations: Relations, found: Mapping[str, Ints], tensors: Mapping[str, Ints]) -> None:
        self.relations, self.found, self.tensors = relations, found, tensors

    def of(self, matrix: Matrix) -> Ints:
        """A matrix as (outer, inner, heads, cols)."""
        f = matrix.frame
        return self.found[matrix.name].astype(np.int64).reshape(f.outer, f.inner, f.heads, f.cols)

    def sums(self) -> dict[str, Ints]:
        """What the terms of every equation add up to, (outer, inner, heads, cols)."""
        sums = {
            e.name: np.zeros((e.frame.outer, e.frame.inner, e.frame.heads, e.frame.cols), np.int64)
            for e in self.relations.equations
        }
        for equation in self.relations.equations:
            for term in equation.linear:
                sums[equation.name] += self.linear(equation.frame, term)
        for product in self.relations.products:
            for name, values in self.products(product):
                sums[name] += values
        for equation in self.relations.equations:
            if equation.frame.causal:
                sums[equation.name] *= seen(equation.frame)
        return sums

    def wrong(self) -> list[str]:
        """Names of what does not hold. Equations are checked mod p, as a proof does."""
        bad = [name for name, values in self.sums().items() if (values % P).any()]
        return bad + [look.label for look in self.relations.looks if not self.looked(look)]

    def looked(self, look: Look) -> bool:
        """Whether all tuples are in the table."""
        f = look.frame
        shape = (f.outer, f.inner, f.heads, f.cols)
        columns = []
        for operand in look.operands:
            match operand:
                case Own(matrix, offset):
                    values = self.of(matrix) + offset
                case Repeated(matrix) | Spread(matrix):
                    values = self.of(matrix)
                case Number(number):
                    values = np.array(by_inner(number, f.inner))[None, :, None, None]
            columns.append(np.broadcast_to(values, shape).reshape(-1))
        index = np.broadcast_to(look.table.index(tuple(columns)), columns[0].shape)
        inside = np.clip(index, 0, look.table.size - 1)
        found = [column[inside] for column in _columns(look.table)]
        return all(np.array_equal(a, b) for a, b in zip(found, columns, strict=True))

    def linear(self, f: Frame, term: Linear) -> Ints:
        """A term, broadcast over the frame."""
        match term:
            case Cells(matrix, factor, select) | Beside(matrix, factor, select):
                values = self.of(matrix)
                if select is not None:
                    values = values[:, list(select)]
                return values * self.factor(factor, f.inner)
            case Along(matrix, factor):
                return self.of(matrix) * self.factor(factor, f.inner)
            case Stored(tensors, factor, row):
                rows = np.stack([self.tensors[name][row] for name in tensors]).astype(np.int64)
                return rows[None, :, None, :] * self.factor(factor, f.inner)
            case StoredAt(tensor, index, factor):
                row = self.tensors[tensor].reshape(-1).astype(np.int64)
                return factor * np.array([0 if i < 0 else row[i] for i in index])[:, None, None, None]
            case At(matrix, column, factor):
                return factor * self.of(matrix)[np.arange(f.outer), 0, 0, list(column)][:, None, None, None]
            case Public(values):
                return np.asarray(self.factor(values, f.inner))
            case PublicTokens(values):
                return np.array(values)[:, None, None, None]
            case Sparse(entries):
                out = np.zeros((1, f.inner, 1, f.cols), np.int64)
                for i, col, value in entries:
                    out[0, i, 0, col] += value
                return out
            case RowSum(matrix, factor):
                values = self.of(matrix)
                if matrix.frame.causal:
                    values = values * seen(matrix.frame)
                return values.sum(axis=3, keepdims=True) * self.factor(factor, f.inner)
            case Total(matrix, counts, factor):
                parts = np.split(self.of(matrix).reshape(-1), np.cumsum(counts))
                assert len(parts.pop()) == 0
                return factor * np.array([part.sum() for part in parts])[:, None, None, None]
            case Rotated(matrix, bits, back):
                turn = rotation(f.cols, bits).astype(np.int64)
                return np.asarray(self.of(matrix) @ (turn.T if back else turn))
            case Mapped(matrix, maps, factor, index):
                maps = maps if index is None else maps[list(index)]
                values = self.of(matrix)[:, :, 0]
                by_head = values.reshape(*values.shape[:2], -1, maps.shape[1])
                mapped = np.einsum("tji,tlhi->tlhj", maps, by_head).reshape(values.shape)
                return mapped[:, :, None] * self.factor(factor, f.inner)

    @staticmethod
    def factor(factor: int | tuple[int, ...], inner: int) -> Ints:
        """By inner index."""
        return np.array(by_inner(factor, inner), np.int64)[None, :, None, None]

    def products(self, product: Product) -> list[tuple[str, Ints]]:
        """What a product adds to its equations."""
        if isinstance(product, Squares):
            high, low = self.of(product.high), self.of(product.low)
            pairs = (
                (product.equation, high, high),
                (product.equation_mixed, high, low),
                (product.equation_low, low, low),
            )
            return [(name, (a * b).sum(axis=3, keepdims=True)) for name, a, b in pairs]
        return [(product.equation, self.product(product, self.relations.equation[product.equation].frame))]

    def product(self, product: Product, f: Frame) -> Ints:
        """One that goes into one equation."""
        match product:
            case Projection(_, matrix, tensors, factor, select, tokens):
                x = self.of(matrix)[:, :, 0]
                x = x if select is None else x[:, list(select)]
                x = x if tokens is None else _picked(x, tokens)
                found = [x[:, i] @ self.tensors[name].astype(np.int64).T for i, name in enumerate(tensors)]
                return np.stack(found, axis=1)[:, :, None] * self.factor(factor, f.inner)
            case Transposed(_, matrix, tensors, factor, outliers, tokens):
                x = self.of(matrix)[:, :, 0].copy()
                x = x if tokens is None else _picked(x, tokens)
                for i, column, extra in outliers:
                    x[:, i, column] *= 1 + extra
                found = [x[:, i] @ self.tensors[name].astype(np.int64) for i, name in enumerate(tensors)]
                return np.stack(found, axis=1)[:, :, None] * self.factor(factor, f.inner)
            case ColumnScale(_, matrices, scale, factor):
                total = sum(self.of(matrix) * number for matrix, number in matrices)
                return total * self.of(scale) * self.factor(factor, f.inner)
            case StoredScale(_, matrix, tensors, numbers, factor):
                stored = [np.array(numbers) @ self.tensors[name].astype(np.int64) for name in tensors]
                return self.of(matrix) * np.stack(stored)[None, :, None] * self.factor(factor, f.inner)
            case HeadSquares(_, matrix, size, factor):
                x = self.of(matrix)[:, :, 0].reshape(f.outer, f.inner, -1, size)
                return (x * x).sum(axis=3, keepdims=True) * self.factor(factor, f.inner)
            case RowScale(_, matrices, scale, factor):
                total = sum(self.of(matrix) * number for matrix, number in matrices)
                by = self.of(scale)[:, :, :, 0]
                by = by.repeat(f.cols // by.shape[2], axis=2)[:, :, None]
                return np.asarray(total * by * self.factor(factor, f.inner))
            case Gathered(_, tensor, index, scale, factor):
                rows = _picked(self.tensors[tensor].astype(np.int64), index)[:, None, None]
                return rows * self.of(scale) * factor
            case Hadamard(_, left, right, factor) | FlatProduct(_, left, right, factor):
                return self.of(left) * self.of(right) * self.factor(factor, f.inner)
            case Outer(_, side, top, factor):
                return self.of(side) * self.of(top) * factor
            case CausalScores(_, query, key, size, group, factor):
                q, k = (self.of(m)[:, :, 0].reshape(*self.of(m).shape[:2], -1, size) for m in (query, key))
                k = k.repeat(group, axis=2)
                found = np.zeros((f.outer, f.inner, f.heads, f.cols), np.int64)
                for own in sequences(f):
                    found[own, ..., : own.stop - own.start] = np.einsum("tlhx,vlhx->tlhv", q[own], k[own])
                return found * self.factor(factor, f.inner)
            case CausalMix(_, share, value, size, group, factor):
                e = self.of(share) * seen(share.frame)
                v = self.of(value)[:, :, 0].reshape(f.outer, f.inner, -1, size).repeat(group, axis=2)
                parts = [
                    np.einsum("tlhv,vlhx->tlhx", e[own, ..., : own.stop - own.start], v[own])
                    for own in sequences(share.frame)
                ]
                found = np.concatenate(parts).reshape(f.outer, f.inner, 1, -1)
                return found * self.factor(factor, f.inner)
            case _:
                raise AssertionError(product)
