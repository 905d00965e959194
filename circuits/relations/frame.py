"""Shapes of what a proof of relations commits to, and of the equations between them (protocol §13).

Rows are counted through three indices, the slowest first: `outer` (tokens), `inner` (layers, or norms), `heads`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Frame:
    """Rows by three indices, and columns. With `causal`, row (t, …) has the columns 0 … t only."""

    outer: int
    inner: int
    heads: int = 1
    cols: int = 1
    causal: bool = False

    def __post_init__(self) -> None:
        if min(self.outer, self.inner, self.heads, self.cols) < 1:
            raise ValueError("an empty frame")
        if self.causal and self.outer != self.cols:
            raise ValueError("a causal frame has as many columns as tokens")

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.outer * self.inner * self.heads


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
