"""Lookups of consecutive committed rows, and what they claim at the leaf point (protocol §6.5, §13).

A run's rows are (block, outer, inner, head), the last index fastest, as the rows of a committed matrix are; its tiles
hold them one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref.circuits.argument.functional import Array, Functional, total
from huref.circuits.program.tables import Table
from huref.common.algebra.field import DEGREE, embed, kdot, kmul, kouter, kzero, reduce, to_field
from huref.common.algebra.kscalar import KS


@dataclass(frozen=True)
class RunCells:
    """Operand: committed rows of A from `start` on, plus `offset`."""

    start: int
    offset: int = 0


@dataclass(frozen=True)
class RunRepeated:
    """Operand: rows (block, inner) of A from `start` on, for every outer index and head."""

    start: int


@dataclass(frozen=True)
class RunSpread:
    """Operand: entry (outer, inner, head) of a row of A that starts at row `start`, in all columns and blocks."""

    start: int


@dataclass(frozen=True)
class RunNumber:
    """Operand: a public number for every inner index."""

    values: tuple[int, ...]


RunOperand = RunCells | RunRepeated | RunSpread | RunNumber


@dataclass(frozen=True)
class Run:
    """`cols` columns of every row are looked up."""

    label: str
    table: Table
    tile: int
    blocks: int
    outer: int
    inner: int
    heads: int
    cols: int
    operands: tuple[RunOperand, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.blocks * self.outer * self.inner * self.heads

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Blocks, outer, inner, heads."""
        return self.blocks, self.outer, self.inner, self.heads


def summed(coefficients: Array, shape: Sequence[int], axes: tuple[int, ...]) -> Array:
    """Coefficients (rows, 5) of rows with these indices, summed over some of them: (rows left, 5)."""
    total = reduce(coefficients.reshape(*shape, DEGREE).sum(axis=axes, dtype=np.uint64))
    return total.reshape(-1, DEGREE)


def flat_term(functional: Functional, start: int, coefficients: Array) -> None:
    """Add Σ coefficients[i]·(entry i of a row that is committed from row `start` of A on)."""
    w = functional.columns.w
    blocks = -(-len(coefficients) // w)
    values = np.concatenate([coefficients, kzero((1,))])
    choice = np.full(blocks * w, len(coefficients), np.int32)
    choice[: len(coefficients)] = np.arange(len(coefficients))
    functional.dense("A", start, values, choice.reshape(blocks, w))


def run_claims(
    run: Run,
    tiles: Array,
    row: Array,
    column: Array,
    name: str,
    into: Functional,
    powers: Sequence[KS],
) -> tuple[KS, KS]:
    """Add a run's operands to the denominator's functional `into`; returns the mass of its entries, and what the
    operands add to the constant.

    `tiles` are the eq coefficients of the run's tiles, `row` and `column` those inside a tile, `name` that of the
    column vector, `powers` β, β², ….
    """
    masked = into.columns.masked(name, run.cols)
    whole = kouter(tiles, row).reshape(-1, DEGREE)[: run.rows]
    across = total(column[: run.cols])
    mass = total(whole) * across
    constant = KS(0)
    for power, operand in zip(powers, run.operands, strict=False):
        match operand:
            case RunCells(start, offset):
                constant -= power * mass * offset
                into.product("A", start, kmul(tiles, (-power).array()), row, run.rows, masked)
            case RunRepeated(start):
                once = summed(whole, run.shape, (1, 3))
                into.rows("A", start, kmul(once, (-power).array()), masked)
            case RunSpread(start):
                once = summed(whole, run.shape, (0,))
                flat_term(into, start, kmul(once, (-power * across).array()))
            case RunNumber(values):
                once = summed(whole, run.shape, (0, 1, 3))
                residues = embed(to_field(np.array(values, np.int64)))
                constant -= power * across * KS.from_array(kdot(once, residues))
    return mass, constant
