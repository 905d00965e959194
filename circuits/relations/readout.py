"""eq weights of the inner product's entries at the point at which it is read (protocol §13.4)."""

from __future__ import annotations

from collections.abc import Sequence

from huref.circuits.argument.functional import Array, Columns
from huref.circuits.relations.layout import RelationLayout
from huref.circuits.relations.weights import COLUMN
from huref.common.algebra.field import DEGREE, kmul, kouter
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil


class Readout:
    """`inner` and `weighted` name the column vectors eq(ζ, ·) and eq(ζ, ·) times the equations' column weights."""

    def __init__(self, layout: RelationLayout, point: Sequence[KS], columns: Columns) -> None:
        cut = len(point) - log2_ceil(layout.w)
        self._high = eq_table(point[:cut])
        self.low = eq_table(point[cut:])
        self.columns = columns
        self.inner = columns.add("inner", self.low)
        self.weighted = columns.add("inner.weighted", kmul(self.low, columns.vectors[COLUMN]))

    def high(self, at: int, count: int) -> Array:
        """Weights of blocks of w entries from block `at` on, (count, 5)."""
        return self._high[at : at + count]

    def entries(self, at: int, count: int) -> Array:
        """Weights of single entries from block `at` on."""
        blocks = -(-count // len(self.low))
        return kouter(self.high(at, blocks), self.low).reshape(-1, DEGREE)[:count]
