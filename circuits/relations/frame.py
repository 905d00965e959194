"""Shapes of what a proof of relations commits to, and of the equations between them (protocol §13).

Rows are counted through three indices, the slowest first: `outer` (tokens), `inner` (layers, or norms), `heads`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """Rows by three indices, and columns.

    A causal frame has `lengths`: its outer index runs through sequences of these lengths, one after the other, and row
    (t, …) has the columns 0 … v only, v the position of t in its own sequence. It has as many columns as the longest.
    """

    outer: int
    inner: int
    heads: int = 1
    cols: int = 1
    lengths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if min(self.outer, self.inner, self.heads, self.cols, *self.lengths) < 1:
            raise ValueError("an empty frame")
        if self.lengths and (self.outer, self.cols) != (sum(self.lengths), max(self.lengths)):
            raise ValueError(
                "a causal frame has the tokens of its sequences and as many columns as the longest"
            )

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.outer * self.inner * self.heads

    @property
    def causal(self) -> bool:
        """Whether rows have the columns up to their own position only."""
        return bool(self.lengths)

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """Of a causal frame: the position of every outer index in its sequence."""
        return positions_of(self.lengths)

    @cached_property
    def spans(self) -> tuple[tuple[int, int, int], ...]:
        """First outer index, number of outer indices and columns of what has the same columns: everything, or
        sequences of one length that follow one another.
        """
        if not self.causal:
            return ((0, self.outer, self.cols),)
        found, start = [], 0
        for length, alike in groupby(self.lengths):
            count = sum(alike)
            found.append((start, count, length))
            start += count
        return tuple(found)

    @property
    def entries(self) -> int:
        """Number of entries that there are, and in a causal frame those behind a row's own position."""
        return self.inner * self.heads * sum(count * cols for _, count, cols in self.spans)


def starts_of(lengths: Sequence[int]) -> tuple[int, ...]:
    """Where each of some sequences begins, one behind the other."""
    return tuple(accumulate(lengths, initial=0))[:-1]


def positions_of(lengths: Sequence[int]) -> NDArray[np.int64]:
    """The position of every token of some sequences in its own one."""
    return np.concatenate([np.arange(length) for length in lengths])


@dataclass(frozen=True)
class Matrix:
    """Integers that a proof commits to, by the indices of `frame`.

    A `flat` one has one column; it is committed as one row with an entry for every row of the frame. `largest` is the
    largest absolute value that its lookups admit.
    """

    name: str
    frame: Frame
    largest: int
    flat: bool = False

    def __post_init__(self) -> None:
        if self.flat and self.frame.cols != 1:
            raise ValueError(f"{self.name}: a flat matrix has one column")

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Committed as so many rows and columns."""
        return (1, self.frame.rows) if self.flat else (self.frame.rows, self.frame.cols)
