"""The weights of all equations' rows and columns, from one point and one challenge (protocol §13.3).

Equation number e (from 0) has the weight η^e; its entry (outer, inner, heads; column) the weight eq of the point's four
parts at these indices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from huref.circuits.argument.functional import Array, Columns
from huref.circuits.relations.frame import Frame
from huref.circuits.relations.layout import RelationLayout
from huref.circuits.relations.program import Relations
from huref.circuits.relations.terms import Factor, by_inner
from huref.common.algebra.field import DEGREE, kmul, kone, kouter, kscale, kzero, reduce, to_field
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil

COLUMN = "equations.column"
ONES = "ones"


def point_sizes(relations: Relations, w: int) -> tuple[int, int, int, int]:
    """Coordinates for outer, inner, heads and columns."""
    frames = [equation.frame for equation in relations.equations]
    outer, inner, heads, cols = (
        max(log2_ceil(getattr(frame, name)) for frame in frames)
        for name in ("outer", "inner", "heads", "cols")
    )
    return outer, inner, heads, max(cols, log2_ceil(w))


class EquationWeights:
    """Weights at one point. Column vectors are registered in `columns`."""

    def __init__(self, layout: RelationLayout, point: Sequence[KS], eta: KS, columns: Columns) -> None:
        sizes = point_sizes(layout.relations, layout.w)
        parts, at = [], 0
        for size in sizes:
            parts.append(list(point[at : at + size]))
            at += size
        self.layout, self.columns, w = layout, columns, layout.w
        self._outer, self._inner, self._heads = (eq_table(part) for part in parts[:3])
        self._cut = len(parts[3]) - log2_ceil(w)
        self._blocks = eq_table(parts[3][: self._cut])
        self._all_columns: Array | None = None
        self._column_point = parts[3]
        self.column = eq_table(parts[3][self._cut :])
        columns.add(COLUMN, self.column)
        columns.add(ONES, kone((w,)))
        self.eta = {equation.name: eta**number for number, equation in enumerate(layout.relations.equations)}

    def frame(self, equation: str) -> Frame:
        """The frame of an equation."""
        return self.layout.relations.equation[equation].frame

    def outer(self, count: int) -> Array:
        """Weights of outer indices, (count, 5)."""
        return self._outer[:count]

    def inner(self, equation: str, factor: Factor) -> Array:
        """η^e · factor · weight of every inner index, (inner, 5)."""
        frame = self.frame(equation)
        numbers = to_field(np.array(by_inner(factor, frame.inner), np.int64))
        return kmul(kscale(self._inner[: frame.inner], numbers), self.eta[equation].array())

    def heads(self, count: int) -> Array:
        """Weights of heads, (count, 5); 1 where a frame has but one."""
        return kone((1,)) if count == 1 else self._heads[:count]

    def rows(self, equation: str, factor: Factor = 1) -> Array:
        """Weights of all rows of an equation, times a factor of the inner index, (rows, 5)."""
        frame = self.frame(equation)
        inner = kouter(self.inner(equation, factor), self.heads(frame.heads)).reshape(-1, DEGREE)
        return kouter(self.outer(frame.outer), inner).reshape(-1, DEGREE)

    def blocks(self, cols: int) -> Array:
        """Weights of the column blocks that so many columns take."""
        return self._blocks[: self.layout.blocks(cols)]

    def cols(self, count: int) -> Array:
        """Weights of columns, (count, 5)."""
        if self._all_columns is None or len(self._all_columns) < count:
            self._all_columns = kouter(self.blocks(count), self.column).reshape(-1, DEGREE)
        return self._all_columns[:count]


def placed_rows(weights: Array, select: tuple[int, ...] | None, count: int) -> Array:
    """Weights by index (…, n, 5) at the places `select` of `count` indices; those of one place add up, those of a
    negative one are left out.
    """
    if select is None:
        return weights
    out = kzero((*weights.shape[:-2], count))
    for at, place in enumerate(select):
        if place >= 0:
            out[..., place, :] += weights[..., at, :]
    return reduce(out)


def prefix_totals(vector: Array) -> Array:
    """Sums of the first 1, 2, … entries of (n, 5)."""
    return reduce(np.cumsum(vector, axis=0, dtype=np.uint64))
