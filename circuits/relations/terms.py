"""Equations between committed integers as data (protocol §13).

An equation says that for every row and column of its frame a sum of linear terms and products vanishes. Its static
bound is below p, so that it is one of integers. Factors are public integers, one for all rows or one for every inner
index. `select` tells which inner index of a matrix each inner index of the frame reads; none: the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.relations.frame import Frame, Matrix

Factor = int | tuple[int, ...]
Select = tuple[int, ...] | None


@dataclass(frozen=True)
class Cells:
    """factor · the entry of a matrix with the frame's shape."""

    matrix: Matrix
    factor: Factor = 1
    select: Select = None


@dataclass(frozen=True)
class Along:
    """factor · the entry of a matrix with one outer index, the same for all tokens."""

    matrix: Matrix
    factor: Factor = 1


@dataclass(frozen=True)
class Beside:
    """factor · the entry of a flat matrix with the frame's rows, the same for all columns."""

    matrix: Matrix
    factor: Factor = 1
    select: Select = None


@dataclass(frozen=True)
class Stored:
    """factor · entry (`row`, column) of a committed weight, one tensor by inner index; the same for all tokens."""

    tensors: tuple[str, ...]
    factor: Factor = 1
    row: int = 0


@dataclass(frozen=True)
class StoredAt:
    """factor · entry `index[t]` of a committed weight with one row, none where that is negative; for a frame of tokens
    only.
    """

    tensor: str
    index: tuple[int, ...]
    factor: int = 1


@dataclass(frozen=True)
class At:
    """factor · entry (t, `column[t]`) of a matrix; for a frame of tokens only."""

    matrix: Matrix
    column: tuple[int, ...]
    factor: int = 1


@dataclass(frozen=True)
class Public:
    """A number for every inner index."""

    values: Factor


@dataclass(frozen=True)
class PublicTokens:
    """A number for every token; for a frame of tokens only."""

    values: tuple[int, ...]


@dataclass(frozen=True)
class Sparse:
    """Numbers at (inner index, column), the same for all tokens."""

    entries: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class RowSum:
    """factor · the sum of a row's columns (with a causal frame, of those it has); for a frame of the rows only."""

    matrix: Matrix
    factor: Factor = 1


@dataclass(frozen=True)
class Total:
    """factor · the sum of the next `counts[t]` entries of a flat matrix, in its order; for a frame of tokens only."""

    matrix: Matrix
    counts: tuple[int, ...]
    factor: int = 1


@dataclass(frozen=True)
class Mapped:
    """factor · Σ_i maps[v][j, i] · (entry (t, …, i) of a matrix), v = `index[t]` (none: t), for every head of `size`
    columns; a factor of zero leaves an inner index out.

    `maps` are public integers (maps × size × size).
    """

    matrix: Matrix
    maps: NDArray[np.int64]
    factor: Factor = 1
    index: Select = None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Mapped)
            and (self.matrix, self.factor, self.index) == (other.matrix, other.factor, other.index)
            and np.array_equal(self.maps, other.maps)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Rotated:
    """Σ_i Q[i, c] · (entry i of a matrix's row), or Q[c, i] if `back`; Q are the integers of `rotation(cols, bits)`."""

    matrix: Matrix
    bits: int
    back: bool


Linear = (
    Cells | Along | Beside | Stored | StoredAt | At | Public | PublicTokens | Sparse | RowSum | Total | Mapped
    | Rotated
)  # fmt: skip


@dataclass(frozen=True)
class Equation:
    """What vanishes: `linear` terms, and the products that name the equation."""

    name: str
    frame: Frame
    linear: tuple[Linear, ...]


def by_inner(factor: Factor, inner: int) -> tuple[int, ...]:
    """The factor of every inner index."""
    return (factor,) * inner if isinstance(factor, int) else factor
