"""Products in equations as data (protocol §13): each is an inner product of two vectors that are linear in what is
committed, whatever the weights of the equation's rows and columns are.

Sums of matrices stand for one: `(matrix, factor)` pairs. Rows of the frame are (t, i, …), c its column.
"""

from __future__ import annotations

from dataclasses import dataclass

from huref.circuits.relations.frame import Matrix
from huref.circuits.relations.terms import Factor, Select

Sum = tuple[tuple[Matrix, int], ...]
Outliers = tuple[tuple[int, int, int], ...]
"""(inner index, column, what is added to the factor 1 of this column)."""


@dataclass(frozen=True)
class Projection:
    """factor_i · Σ_x matrix[(tokens(t), select(i)), x] · tensors[i][c, x]; no `tokens`: t, a negative one: zero."""

    equation: str
    matrix: Matrix
    tensors: tuple[str, ...]
    factor: Factor = 1
    select: Select = None
    tokens: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Transposed:
    """factor_i · Σ_x weight_i(x) · matrix[(tokens(t), i), x] · tensors[i][x, c], weight 1 but for `outliers`; no
    `tokens`: t, a negative one: zero.
    """

    equation: str
    matrix: Matrix
    tensors: tuple[str, ...]
    factor: Factor = 1
    outliers: Outliers = ()
    tokens: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ColumnScale:
    """factor_i · (sum)[(t, i), c] · scale[i, c]; `scale` has one outer index."""

    equation: str
    matrices: Sum
    scale: Matrix
    factor: Factor = 1


@dataclass(frozen=True)
class StoredScale:
    """factor_i · matrix[(t, i), c] · Σ_r numbers[r] · tensors[i][r, c], r over all rows of a committed weight."""

    equation: str
    matrix: Matrix
    tensors: tuple[str, ...]
    numbers: tuple[int, ...]
    factor: Factor = 1


@dataclass(frozen=True)
class RowScale:
    """factor_i · (sum)[(t, i), c] · scale[t, i, h]; `scale` is flat, h the head of column c where it has heads."""

    equation: str
    matrices: Sum
    scale: Matrix
    factor: Factor = 1


@dataclass(frozen=True)
class Gathered:
    """factor · scale[t] · tensor[index[t], c], zero where that is negative; `scale` is flat."""

    equation: str
    tensor: str
    index: tuple[int, ...]
    scale: Matrix
    factor: int = 1


@dataclass(frozen=True)
class Hadamard:
    """factor_i · left[(t, i), c] · right[(t, i), c]."""

    equation: str
    left: Matrix
    right: Matrix
    factor: Factor = 1


@dataclass(frozen=True)
class Squares:
    """Into three equations with rows (t, i): Σ_c of high², of high · low, and of low²."""

    equation: str
    equation_mixed: str
    equation_low: str
    high: Matrix
    low: Matrix


@dataclass(frozen=True)
class HeadSquares:
    """Row (t, i, h): factor_i · Σ_x matrix[(t, i), (h, x)]², x one of `size` columns."""

    equation: str
    matrix: Matrix
    size: int
    factor: Factor = 1


@dataclass(frozen=True)
class FlatProduct:
    """factor_i · left[t, i] · right[t, i]; both flat."""

    equation: str
    left: Matrix
    right: Matrix
    factor: Factor = 1


@dataclass(frozen=True)
class Outer:
    """factor · side[t] · top[c]: a flat matrix, and one with a single row."""

    equation: str
    side: Matrix
    top: Matrix
    factor: int = 1


@dataclass(frozen=True)
class CausalScores:
    """Row (t, i, h), column v of a causal equation: factor_i · Σ_x query[(t, i), (h, x)] · key[(u, i), (h div group,
    x)], u the token at position v of t's sequence.
    """

    equation: str
    query: Matrix
    key: Matrix
    size: int
    group: int
    factor: Factor = 1


@dataclass(frozen=True)
class CausalMix:
    """Row (t, i), column (h, x): factor_i · Σ_v share[(t, i, h), v] · value[(u, i), (h div group, x)], over the columns
    v of a causal `share`, u the token at position v of t's sequence.
    """

    equation: str
    share: Matrix
    value: Matrix
    size: int
    group: int
    factor: Factor = 1


Product = (
    Projection | Transposed | ColumnScale | StoredScale | RowScale | Gathered | Hadamard | Squares | HeadSquares
    | FlatProduct | Outer | CausalScores | CausalMix
)  # fmt: skip
