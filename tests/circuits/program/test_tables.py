"""Closed forms of lookup tables at a point, against the tables themselves."""

from __future__ import annotations

import numpy as np
import pytest

from huref.circuits.program.tables import Table
from huref.common.algebra.field import P, embed, kdot, ksum
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, prefix_sums

TABLES = [
    Table("clamp", (64, 7, -7)),
    Table("clamp", (64, 7, 0)),
    Table("clamp", (4, 1, -1)),
    Table("absclamp", (64, 7, -7)),
    Table("absclamp", (64, 7, 0)),
    Table("abs", (7, -7)),
    Table("abs", (7, 0)),
    Table("remainder", (1, 3, 4)),
    Table("remainder", ()),
]


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_lines_are_the_columns(table: Table) -> None:
    for column, lines in zip(table.columns(), table.lines(), strict=True):
        assert sum(line.stop - line.start for line in lines) == table.size
        for line in lines:
            index = np.arange(line.start, line.stop)
            assert np.array_equal(column[line.start : line.stop], line.slope * index + line.offset)


def test_parts_of_tables_are_slices() -> None:
    for table in [*TABLES, Table("digits", (3, 2))]:
        whole = table.columns()
        for start, stop in ((0, table.size // 2), (table.size // 3, table.size)):
            for full, part in zip(whole, table.columns(start, stop), strict=True):
                assert np.array_equal(full[start:stop], part)


def test_prefix_sums_against_the_table_of_eq() -> None:
    rng = np.random.default_rng(1)
    point = [KS(rng.integers(0, P, 5).tolist()) for _ in range(6)]
    eq = eq_table(point)
    for count in range(65):
        mass, moment = prefix_sums(point, count)
        assert mass == KS.from_array(ksum(eq[:count]))
        index = np.arange(count, dtype=np.uint64)
        assert moment == (KS.from_array(kdot(eq[:count], embed(index))) if count else KS(0))
