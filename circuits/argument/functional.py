"""Linear functionals on the committed matrices, and the claims that sub-protocols return (protocol §6, §7).

A functional is Σ over its terms of aᵀ·U·b, with a over a run of rows and b one vector over the w columns; a
dense term has a column vector of its own for every row, a grouped one for every group of rows, and a scattered one
has single cells. Column vectors are shared by name, because claims that share one are merged before the opening reads
the matrix. All vectors are zero outside the declared shape of the tensor they address: padding cells are
unconstrained (protocol §4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.placed import Placed
from huref.common.algebra.field import DEGREE, kfold, kmul, kouter, ksum, reduce
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form

Array = NDArray[np.uint64]
Matrix = Literal["W", "A"]


def total(vector: Array) -> KS:
    """Sum of a K vector (n, 5)."""
    return KS.from_array(ksum(vector)) if len(vector) else KS(0)


@dataclass(frozen=True)
class Term:
    """aᵀ·U[start : start + n]·b, b the column vector called `columns`; a is `left`, or `left` ⊗ `right`, of which
    the first `count` entries are kept if that is given. There must be as many.
    """

    matrix: Matrix
    start: int
    left: Array
    columns: str
    right: Array | None = None
    count: int | None = None

    @property
    def a(self) -> Array:
        """The row coefficients, shape (n, 5)."""
        return self.scaled(KS(1))

    @property
    def length(self) -> int:
        """n, the number of rows."""
        if self.count is not None:
            return self.count
        return len(self.left) if self.right is None else len(self.left) * len(self.right)

    def scaled(self, factor: KS) -> Array:
        """factor · a, with the factor on the left vector."""
        left = kmul(self.left, factor.array())
        whole = left if self.right is None else kouter(left, self.right).reshape(-1, DEGREE)
        return whole[: self.count]


@dataclass(frozen=True)
class Stacked:
    """Σ_irb rows[i, r]·blocks[i, b]·U[start + (i·R + r)·B + b]·c_b, of tensors i of one shape that follow one another:
    c_b is the column vector `columns`, for the last block of a row the one called `tail`. Rows (n, R, 5), blocks
    (n, B, 5).
    """

    matrix: Matrix
    start: int
    rows: Array
    blocks: Array
    columns: str
    tail: str


@dataclass(frozen=True)
class Dense:
    """Σ_ij values[choice[i, j]]·U[start + i, j]: any coefficients, as indices (n, w) into `values` (m, 5)."""

    matrix: Matrix
    start: int
    values: Array
    choice: NDArray[np.int32]


@dataclass(frozen=True)
class Scattered:
    """Σ_k values[k]·U[rows[k], cols[k]]: single cells."""

    matrix: Matrix
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    values: Array


@dataclass(frozen=True)
class Cut:
    """Column vectors outer[g]·column, of which the first `widths[g]` entries are kept and the others are zero."""

    outer: Array
    column: Array
    widths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.outer)

    def __getitem__(self, part: slice) -> Cut:
        return Cut(self.outer[part], self.column, self.widths[part])

    def used(self) -> NDArray[np.bool_]:
        """Which vectors are not zero."""
        filled = np.append(0, np.cumsum(self.column.any(axis=1)))  # of the first 0, 1 … columns
        return np.asarray(self.outer.any(axis=1) & (filled[self._kept] > 0))

    def written(self) -> Array:
        """All vectors, (m, w, 5)."""
        kept = np.arange(len(self.column)) < self.widths[:, None]
        return np.where(kept[..., None], kouter(self.outer, self.column), np.uint64(0))

    def folded(self, eq: Array) -> Array:
        """Every vector times `eq`, (m, 5): a product each, since sums of first entries are shared."""
        sums = np.zeros((len(self.column) + 1, DEGREE), np.uint64)
        sums[1:] = np.cumsum(kmul(self.column, eq), axis=0)  # w residues: far below 2^64
        return kmul(self.outer, reduce(sums)[self._kept])

    @property
    def _kept(self) -> NDArray[np.int64]:
        """How many columns of every vector are kept."""
        return np.clip(self.widths, 0, len(self.column))


@dataclass(frozen=True)
class Grouped:
    """Σ_gi rows[i]·U[start + g·n + i]·vectors[g]: a column vector (w, 5) for each of some groups of n rows, such as the
    layers of one token; with `interleaved`, row i·m + g, of m groups, belongs to group g.
    """

    matrix: Matrix
    start: int
    rows: Array
    vectors: Array | Cut
    interleaved: bool = False

    @property
    def length(self) -> int:
        """The number of rows of U."""
        return len(self.rows) * len(self.vectors)

    def written(self) -> Array:
        """The column vectors, (m, w, 5)."""
        return self.vectors.written() if isinstance(self.vectors, Cut) else self.vectors

    def folded(self, eq: Array) -> Array:
        """Every column vector times `eq`, (m, 5)."""
        return self.vectors.folded(eq) if isinstance(self.vectors, Cut) else kfold(self.vectors, eq)

    def sides(self, folded: Array) -> tuple[Array, Array]:
        """Row coefficients as left ⊗ right, once every group's column vector is one number, (m, 5)."""
        return (self.rows, folded) if self.interleaved else (folded, self.rows)


Own = Dense | Grouped | Scattered
"""Terms with column vectors of their own."""


@dataclass
class Columns:
    """The named column vectors of a proof, each (w, 5); masked variants are zero from entry `tail` on."""

    w: int
    vectors: dict[str, Array] = field(default_factory=dict)

    def add(self, name: str, vector: Array) -> str:
        """Register `vector` under `name`. ValueError if another vector has the name: terms keep names only."""
        if name in self.vectors and not np.array_equal(self.vectors[name], vector):
            raise ValueError(f"two column vectors are called {name}")
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
    terms: list[Term | Stacked | Own] = field(default_factory=list)

    def tensor(self, placed: Placed, rows: Array, blocks: Array, columns: str) -> None:
        """Add Σ rows[i]·blocks[j]·columns[c]·T[i, j·w + c] over the declared shape of the placed tensor T.

        `rows` may be shorter than T: the remaining rows are left out. Shapes (≤ T.rows, 5), (T.blocks, 5).
        """
        tail = placed.cols - (placed.blocks - 1) * self.columns.w
        if tail == self.columns.w:
            self._outer(placed, rows, blocks, columns)
            return
        last = np.zeros_like(blocks)
        last[-1] = blocks[-1]
        self._outer(placed, rows, last, self.columns.masked(columns, tail))
        if placed.blocks > 1:
            whole = blocks.copy()
            whole[-1] = 0
            self._outer(placed, rows, whole, columns)

    def block(self, placed: Placed, rows: Array, block: int, columns: str) -> None:
        """Add Σ rows[i]·columns[c]·T[i, block·w + c]; `columns` must vanish past the declared shape."""
        if placed.matrix == "A":
            self.terms.append(Term("A", placed.start + block * placed.rows, rows, columns))
            return
        one = np.zeros((placed.blocks, DEGREE), np.uint64)
        one[block, 0] = 1
        self._outer(placed, rows, one, columns)

    def _outer(self, placed: Placed, rows: Array, blocks: Array, columns: str) -> None:
        if placed.matrix == "A":
            padded = np.zeros((placed.rows, DEGREE), np.uint64)
            padded[: len(rows)] = rows
            self.terms.append(Term("A", placed.start, blocks, columns, padded))
        else:
            self.terms.append(Term("W", placed.start, rows, columns, blocks))

    def rows(self, matrix: Matrix, start: int, a: Array, columns: str) -> None:
        """Add aᵀ·U[start : start + n]·columns."""
        self.terms.append(Term(matrix, start, a, columns))

    def stacked(self, placed: Placed, rows: Array, blocks: Array, columns: str) -> None:
        """Add Σ_i rows[i] ⊗ blocks[i] ⊗ columns over the declared shapes of tensors that follow the placed one in W."""
        tail = self.columns.masked(columns, placed.cols - (placed.blocks - 1) * self.columns.w)
        self.terms.append(Stacked("W", placed.start, rows, blocks, columns, tail))

    def product(
        self, matrix: Matrix, start: int, left: Array, right: Array, count: int, columns: str
    ) -> None:
        """Add the same for the first `count` entries a of left ⊗ right."""
        self.terms.append(Term(matrix, start, left, columns, right, count))

    def dense(self, matrix: Matrix, start: int, values: Array, choice: NDArray[np.int32]) -> None:
        """Add Σ_ij values[choice[i, j]]·U[start + i, j]."""
        self.terms.append(Dense(matrix, start, values, choice))

    def scattered(
        self, matrix: Matrix, rows: NDArray[np.int64], cols: NDArray[np.int64], values: Array
    ) -> None:
        """Add Σ_k values[k]·U[rows[k], cols[k]]."""
        if len(rows):
            self.terms.append(Scattered(matrix, rows, cols, values))

    def grouped(
        self, matrix: Matrix, start: int, rows: Array, vectors: Array | Cut, *, interleaved: bool = False
    ) -> None:
        """Add Σ_gi rows[i]·U[start + g·n + i]·vectors[g], or of row i·m + g; groups of zeros at either end are left out
        where groups follow one another.
        """
        used = np.flatnonzero(vectors.used() if isinstance(vectors, Cut) else vectors.any(axis=(1, 2)))
        if not len(used):
            return
        first, last = (0, len(vectors)) if interleaved else (int(used[0]), int(used[-1]) + 1)
        self.terms.append(Grouped(matrix, start + first * len(rows), rows, vectors[first:last], interleaved))


@dataclass(frozen=True)
class Claim:
    """functional(W, A) = value, value a public number or an affine form in pads."""

    label: str
    functional: Functional
    value: Form
