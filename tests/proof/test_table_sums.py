"""Sums over tables at a point, against every entry of the table times its eq value (protocol §6.5)."""

from __future__ import annotations

import numpy as np
import pytest

from huref.circuits.argument.table_sums import TableSums
from huref.circuits.program.tables import Table
from huref.common.algebra.field import kdot, kscale, ksum, to_field
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from tests.proof.oracles import elements

TABLES = [
    Table("digits", (3, 2)),
    Table("limbs", (16, 5)),
    Table("abs", (63, -63)),
    Table("clamp", (64, 15, 0)),
    Table("remainder", (1, 3, 8)),
    Table("likeness", (4096, 900, 16)),  # few steps and none of them
    Table("scaled", (1024, 127, 5, 0, 1, 3, 32, 45, 256)),
    Table("absscaled", (1024, 15, 5, 0, 1, 3, 32, 45, 256)),
    Table("shares", (192, 0, 1, 3, 32, 45, 256)),
    Table("octaves", (1, -16, 65536, 8, -40, 39, 0, 1, 64, 256)),
]


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("table", TABLES, ids=str)
def test_sums_over_a_table(table: Table, number: int) -> None:
    bits = log2_ceil(table.size)
    point = [KS.from_array(x) for x in elements(bits + 2)]
    start = number << bits
    mass, sums = TableSums(point).of(table, start)
    eq = eq_table(point)[start : start + table.size]
    assert mass == KS.from_array(ksum(eq))
    columns = table.columns()
    assert len(sums) == len(columns)
    for found, column in zip(sums, columns, strict=True):
        assert found == KS.from_array(ksum(kscale(eq, to_field(column.astype(np.int64)))))


class Listed:
    """A table of any entries."""

    kind, straight = "listed", False

    def __init__(self, *columns: np.ndarray) -> None:
        self._columns = columns
        self.size = len(columns[0])

    def columns(self) -> tuple[np.ndarray, ...]:
        return self._columns


def test_steps_at_either_end_and_large_ones() -> None:
    """Around the boundaries of the part that is folded, of the table, and of 32 bits."""
    size = (1 << 14) + 5
    step = np.zeros(size, np.int32)
    step[0], step[-1], step[4095:4097] = 7, -9, (2**30, -(2**30))
    line = np.arange(size, dtype=np.int32) - 3000
    line[size // 2 :] -= 5000
    flat = np.full(size, -4, np.int32)
    noise = np.random.default_rng(5).integers(-(2**30), 2**30, size, dtype=np.int32)
    columns = step, line, flat, noise
    point = [KS.from_array(x) for x in elements(15)]
    mass, sums = TableSums(point).of(Listed(*columns), 0)  # type: ignore[arg-type]
    eq = eq_table(point)[:size]
    assert mass == KS.from_array(ksum(eq))
    for found, column in zip(sums, columns, strict=True):
        values = np.zeros((size, 5), np.uint64)
        values[:, 0] = to_field(column.astype(np.int64))
        assert found == KS.from_array(kdot(values, eq))
