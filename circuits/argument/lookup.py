"""What the lookup argument claims about committed data, at a point of its leaf layer (protocol §6.5).

At the leaf point the fraction sum's numerators and denominators are
    P~ = Σ_entries eq − Σ_table eq·m,          Q~ = 1 + Σ_entries eq·(α − 1 − f) + Σ_table eq·(α − 1 − f),
f = tag + β·x₁ + β²·x₂ + …; absent cells are (0, 1). Both are affine in linear functionals of committed data and
in the accumulators behind quotients, which come back as one bilinear request per site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref.circuits.argument.functional import Array, Columns, Functional, total
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.runs import Run, flat_term, run_claims
from huref.circuits.argument.spaces import (
    Block,
    Cells,
    Constant,
    HeadSums,
    LookupSpace,
    Quotient,
    Repeated,
    Steps,
    TableBlock,
    WeightBlock,
)
from huref.circuits.argument.table_sums import TableSums
from huref.circuits.program.measured import HeadBound
from huref.circuits.program.tables import Table
from huref.common.algebra.field import DEGREE, P, kadd, kmul, kone, kouter, kzero, reduce
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_index, eq_table, log2_ceil

HALF = pow(2, -1, P)


@dataclass
class SiteRequest:
    """Σ_ij rows[i]·eq(blocks, column)[j]·acc_ij of a site, for some last coordinates of the leaf point.

    `name` is that of the column vector eq(column, ·).
    """

    rows: Array
    block_point: list[KS]
    column_point: list[KS]
    name: str

    def columns(self, count: int) -> Array:
        """The first `count` column coefficients, shape (count, 5)."""
        return eq_table(self.block_point + self.column_point)[:count]

    def blocks(self, count: int) -> Array:
        """Their column-block parts, shape (count, 5)."""
        return eq_table(self.block_point)[:count]


@dataclass(frozen=True)
class LeafClaims:
    """The leaf layer's two values in terms of committed data.

    numerator = `numerator_const` + `numerator`(U); denominator = `denominator_const` + `denominator`(U) +
    Σ over `requests` of the requested accumulator sums.
    """

    numerator_const: KS
    numerator: Functional
    denominator_const: KS
    denominator: Functional
    requests: dict[str, SiteRequest]


def scaled(vector: Array, factor: KS) -> Array:
    """factor · vector for a K array and a scalar."""
    return kmul(vector, factor.array())


class LeafPoint:
    """eq(point, ·) over the lookup index space, split into tile, row and column parts."""

    def __init__(self, space: LookupSpace, point: Sequence[KS], columns: Columns) -> None:
        self.space = space
        row_bits = log2_ceil(space.tile_rows)
        self.tile_point = list(point[: space.log_tiles])
        self.column_point = list(point[space.log_tiles + row_bits :])
        self.local_point = list(point[space.log_tiles :])
        self.tiles = eq_table(self.tile_point)
        self.row = eq_table(list(point[space.log_tiles : space.log_tiles + row_bits]))
        self.column = eq_table(self.column_point)
        self.columns = columns
        self.name = columns.add(space.label, self.column)

    def run(self, tile: int, rows: int) -> Array:
        """Coefficients of the tiles that hold `rows` consecutive entry rows from the first row of `tile` on; times
        `row` they are the rows' coefficients.
        """
        return self.tiles[tile : tile - (-rows // self.space.tile_rows)]

    def mass(self, tile: int, rows: int) -> KS:
        """Sum of the coefficients of these rows (a full row's column coefficients sum to 1)."""
        tiles = self.run(tile, rows)
        rest = rows - (len(tiles) - 1) * self.space.tile_rows
        return total(tiles[:-1]) * total(self.row) + KS.from_array(tiles[-1]) * total(self.row[:rest])


def leaf_claims(
    layout: Layout | None, space: LookupSpace, point: Sequence[KS], alpha: KS, beta: KS, columns: Columns
) -> LeafClaims:
    """Express a space's leaf values at `point` (protocol §6.5); `columns` receives the column vectors used.

    `layout` is needed for the blocks of sites and influences only.
    """
    return _Builder(layout, space, LeafPoint(space, point, columns), alpha, beta).build()


class _Builder:
    def __init__(
        self, layout: Layout | None, space: LookupSpace, leaf: LeafPoint, alpha: KS, beta: KS
    ) -> None:
        self._layout, self.space, self.leaf = layout, space, leaf
        self.tables = TableSums(leaf.tile_point + leaf.local_point)
        self.offset = alpha - 1
        self.powers = [beta**i for i in range(4)]
        self.numerator_const, self.denominator_const = KS(0), KS(1)
        self.numerator, self.denominator = Functional(leaf.columns), Functional(leaf.columns)
        self.requests: dict[str, SiteRequest] = {}

    @property
    def layout(self) -> Layout:
        """Where the sites are that a space speaks of."""
        if self._layout is None:
            raise ValueError("a space of sites needs their layout")
        return self._layout

    def build(self) -> LeafClaims:
        for block in self.space.blocks:
            self._block(block)
        for weights in self.space.weight_blocks:
            self._weights(weights)
        for run in self.space.runs:
            self._run(run)
        for table in self.space.tables:
            self._table(table)
        return LeafClaims(
            self.numerator_const,
            self.numerator,
            self.denominator_const,
            self.denominator,
            self.requests,
        )

    def _entries(self, mass: KS, table: Table) -> None:
        """Account for fractions 1/(α − tag − …) whose coefficients sum to `mass`."""
        self.numerator_const += mass
        self.denominator_const += mass * (self.offset - self.space.tag(table))

    def _run(self, run: Run) -> None:
        leaf = self.leaf
        mass, constant = run_claims(
            run,
            leaf.run(run.tile, run.rows),
            leaf.row,
            leaf.column,
            leaf.name,
            self.denominator,
            self.powers[1:],
        )
        self._entries(mass, run.table)
        self.denominator_const += constant

    def _block(self, block: Block) -> None:
        leaf, w = self.leaf, self.space.w
        rows = leaf.row[block.row : block.row + block.rows]
        tiles = leaf.tiles[block.tile : block.tile + block.blocks]
        tail = block.cols - (block.blocks - 1) * w
        mass = total(rows) * (total(tiles[:-1]) + KS.from_array(tiles[-1]) * total(leaf.column[:tail]))
        self._entries(mass, block.table)
        for power, operand in zip(self.powers[1:], block.operands, strict=False):
            match operand:
                case Constant(value):
                    self.denominator_const -= power * value * mass
                case Cells(placed):
                    self.denominator.tensor(placed, scaled(rows, -power), tiles, leaf.name)
                case Repeated(placed):
                    once = scaled(total(rows).array()[None], -power)
                    self.denominator.tensor(placed, once, tiles, leaf.name)
                case Steps(influence):
                    first = -power * KS.from_array(rows[0])
                    self._steps(influence, scaled(kouter(tiles, leaf.column).reshape(-1, DEGREE), first))
                case HeadSums(share):
                    first = -power * KS.from_array(rows[0])
                    self._heads(share, scaled(kouter(tiles, leaf.column).reshape(-1, DEGREE), first))
                case Quotient(site, shift, remainder):
                    unit = -power * pow(HALF, shift, P)
                    if shift:
                        self.denominator_const += unit * mass * (1 << (shift - 1))
                    if remainder:
                        self.denominator.tensor(remainder, scaled(rows, -unit), tiles, leaf.name)
                    self._request(site, block, scaled(rows, unit))

    def _steps(self, influence: str, coefficients: Array) -> None:
        """Add Σ_f coefficients[f]·(sum of the steps that entry f reads)."""
        w = self.space.w
        for read in self.layout.program.influence[influence].steps:
            places = [self.layout.weights[name] for name in read.tensors]
            first = min(place.start for place in places)
            last = max(place.start + place.count for place in places)
            stored = np.concatenate([(place.start - first) * w + np.arange(place.cols) for place in places])
            spread = kzero(((last - first) * w,))
            np.add.at(spread, stored[read.index], coefficients[: len(read.index)])
            spread %= np.uint64(P)
            self.denominator.dense("W", first, spread, np.arange(len(spread), dtype=np.int32).reshape(-1, w))

    def _heads(self, name: str, coefficients: Array) -> None:
        """Add Σ_f coefficients[f]·(what the head of f is divided by)."""
        w, share = self.space.w, self.layout.program.share[name]
        cols = self.layout.rows_of[name].cols
        by_head = reduce(coefficients[:cols].reshape(-1, share.width, DEGREE).sum(axis=1))
        if isinstance(share, HeadBound):
            flat_term(
                self.denominator, self.layout.rows_of[share.of].start, np.repeat(by_head, share.width, 0)
            )
            return
        placed = self.layout.sites[share.likeness].out
        stored = kzero((placed.blocks * w,))
        stored[: placed.cols] = by_head
        for block in range(placed.blocks):
            part = stored[block * w : (block + 1) * w]
            column = self.leaf.columns.add(f"{self.leaf.name}.{name}.{block}", part)
            self.denominator.block(placed, kone((placed.rows,)), block, column)

    def _request(self, site: str, block: Block, rows: Array) -> None:
        """Accumulate a site's row coefficients, with the constant that its first tile contributes."""
        leaf, bits = self.leaf, log2_ceil(block.blocks)
        cut = self.space.log_tiles - bits
        top = eq_index(leaf.tile_point[:cut], block.tile >> bits)
        count = self.layout.sites[site].site.rows
        fresh = SiteRequest(kzero((count,)), leaf.tile_point[cut:], leaf.column_point, leaf.name)
        request = self.requests.setdefault(site, fresh)
        request.rows[: len(rows)] = kadd(request.rows[: len(rows)], scaled(rows, top))

    def _weights(self, block: WeightBlock) -> None:
        leaf = self.leaf
        self._entries(leaf.mass(block.tile, block.rows), block.table)
        for m in range(block.table.arity):
            start = m * block.rows
            count = max(0, min(block.rows, block.count - start))
            if count:
                tiles = scaled(leaf.run(block.tile, count), -self.powers[1 + m])
                self.denominator.product("W", block.start + start, tiles, leaf.row, count, leaf.name)

    def _table(self, block: TableBlock) -> None:
        w, size, table, leaf = self.space.w, block.table.size, block.table, self.leaf
        whole, tail = divmod(size, w)
        if whole:
            tiles = scaled(leaf.run(block.tile, whole), KS(-1))
            self.numerator.product("A", block.multiplicity, tiles, leaf.row, whole, leaf.name)
        if tail:
            masked = leaf.columns.masked(leaf.name, tail)
            tile, row = divmod(whole, self.space.tile_rows)
            last = -KS.from_array(leaf.tiles[block.tile + tile]) * KS.from_array(leaf.row[row])
            self.numerator.rows("A", block.multiplicity + whole, last.array()[None], masked)
        mass, values = self.tables.of(table, block.tile * leaf.space.tile_size)
        self.denominator_const += mass * (self.offset - self.space.tag(table))
        for power, value in zip(self.powers[1:], values, strict=False):
            self.denominator_const -= power * value
