"""Linear functionals on the committed matrices, and the claims that sub-protocols return (protocol §6, §7).

A functional is Σ over its terms of aᵀ·U·b, with a over a run of rows and b one vector over the w columns; a
dense term has a column vector of its own for every row. Column vectors are shared by name, because claims
that share one are merged before the opening reads the matrix. All vectors are zero outside the declared
shape of the tensor they address: padding cells are unconstrained (protocol §4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from circuits.layout import Placed
from common.field import DEGREE, kmul, kouter
from common.hidden import Form

Array = NDArray[np.uint64]
Matrix = Literal["W", "A"]


@dataclass(frozen=True)
class Term:
    """aᵀ·U[start : start + n]·b, a of shape (n, 5), b the column vector called `columns`."""

    matrix: Matrix
    start: int
    a: Array
    columns: str


@dataclass(frozen=True)
class Dense:
    """Σ_ij coefficients[i, j]·U[start + i, j], coefficients of shape (n, w, 5)."""

    matrix: Matrix
    start: int
    coefficients: Array


@dataclass
class Columns:
    """The named column vectors of a proof, each (w, 5); masked variants are zero from entry `tail` on."""

    w: int
    vectors: dict[str, Array] = field(default_factory=dict)

    def add(self, name: str, vector: Array) -> str:
        """Register `vector` under `name`."""
        self.vectors[name] = vector
        return name

    def masked(self, name: str, tail: int) -> str:
        """Name of the variant of `name` that keeps only its first `tail` entries."""
        if tail == self.w:
            return name
        variant = f"{name}[:{tail}]"
        if variant not in self.vectors:
            vector = self.vectors[name].copy()
            vector[tail:] = 0
            self.vectors[variant] = vector
        return variant


@dataclass
class Functional:
    """A sum of terms, built up by the methods."""

    columns: Columns
    terms: list[Term | Dense] = field(default_factory=list)

    def tensor(self, placed: Placed, rows: Array, blocks: Array, columns: str) -> None:
        """Add Σ rows[i]·blocks[j]·columns[c]·T[i, j·w + c] over the declared shape of the placed tensor T.

        `rows` may be shorter than T: the remaining rows are left out. Shapes (≤ T.rows, 5), (T.blocks, 5).
        """
        tail = placed.cols - (placed.blocks - 1) * self.columns.w
        whole = placed.blocks if tail == self.columns.w else placed.blocks - 1
        if whole:
            self._blocks(placed, rows, blocks[:whole], 0, columns)
        if whole < placed.blocks:
            self._blocks(placed, rows, blocks[whole:], whole, self.columns.masked(columns, tail))

    def block(self, placed: Placed, rows: Array, block: int, columns: str) -> None:
        """Add Σ rows[i]·columns[c]·T[i, block·w + c]; `columns` must vanish past the declared shape."""
        one = np.zeros((1, DEGREE), np.uint64)
        one[0, 0] = 1
        self._blocks(placed, rows, one, block, columns)

    def _blocks(self, placed: Placed, rows: Array, blocks: Array, first: int, columns: str) -> None:
        count = len(blocks)
        if placed.matrix == "A":
            for j in range(count):
                start = placed.start + (first + j) * placed.rows
                self.terms.append(Term("A", start, kmul(rows, blocks[j]), columns))
        elif count == placed.blocks:
            a = kouter(rows, blocks).reshape(-1, DEGREE)
            self.terms.append(Term("W", placed.start, a, columns))
        else:
            a = np.zeros((len(rows), placed.blocks, DEGREE), np.uint64)
            a[:, first : first + count] = kouter(rows, blocks)
            self.terms.append(Term("W", placed.start, a.reshape(-1, DEGREE), columns))

    def rows(self, matrix: Matrix, start: int, a: Array, columns: str) -> None:
        """Add aᵀ·U[start : start + n]·columns."""
        self.terms.append(Term(matrix, start, a, columns))

    def dense(self, matrix: Matrix, start: int, coefficients: Array) -> None:
        """Add Σ_ij coefficients[i, j]·U[start + i, j]."""
        self.terms.append(Dense(matrix, start, coefficients))


@dataclass(frozen=True)
class Claim:
    """functional(W, A) = value, value a public number or an affine form in pads."""

    label: str
    functional: Functional
    value: Form
