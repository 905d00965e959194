"""Lookup index spaces: which committed entries are looked up, and where that stands in a fraction tree (protocol §6.5).

A space is a list of tiles of `tile_rows` × w entries, with a tree of its own. A site's entries take one tile per
column block, and its first tile is aligned to the power of two above its block count: then the coefficient
eq(point, ·) of an accumulator entry (i, j) factors into a part in i and a part in j, and the part in j is the
same, up to a constant, in the site's calibration slots. Absent tiles cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from huref.circuits.argument.placed import Placed, Stack
from huref.circuits.argument.runs import Run
from huref.circuits.program.program import Weight
from huref.circuits.program.tables import Table
from huref.common.algebra.multilinear import log2_ceil

SHARD_TILE_ROWS = 256  # rows of a tile where nothing but weights is looked up
WIDE_DIGITS_FROM = 1 << 27  # looked-up entries from which weights are looked up in triples
SHARD_ENTRIES = 3 << 27  # weights in one space, unless sites are in it


@dataclass(frozen=True)
class Cells:
    """Operand: entries of a placed tensor's first rows."""

    placed: Placed


@dataclass(frozen=True)
class Repeated:
    """Operand: the entries of a placed row, in every row of the block."""

    placed: Placed


@dataclass(frozen=True)
class Steps:
    """Operand: the sums of steps that an influence reads from the weights, in one row."""

    influence: str


@dataclass(frozen=True)
class HeadSums:
    """Operand: what a row of heads divides by, in one row: sums of a head's multipliers, or of a column."""

    share: str


@dataclass(frozen=True)
class Quotient:
    """Operand: h = (acc + 2^(shift−1) − ℓ)·2^(−shift) of a site; h = acc and no ℓ when shift is 0."""

    site: str
    shift: int
    remainder: Placed | None


@dataclass(frozen=True)
class Constant:
    """Operand: a public number."""

    value: int


Operand = Cells | Repeated | Steps | HeadSums | Quotient | Constant


@dataclass(frozen=True)
class Block:
    """Lookups of (rows × cols) tuples into one table, at row `row` of tiles `tile` … `tile + blocks − 1`."""

    label: str
    table: Table
    tile: int
    row: int
    rows: int
    cols: int
    blocks: int
    operands: tuple[Operand, ...]


@dataclass(frozen=True)
class WeightBlock:
    """Lookups of weights `arity` at a time: entry row i holds matrix rows start + i + m·rows, m < arity.

    `count` committed rows are covered; rows past them are virtual zeros.
    """

    table: Table
    tile: int
    start: int
    count: int
    rows: int


@dataclass(frozen=True)
class TableBlock:
    """A table's own fractions −m/(α − tuple); entry e sits at row e // w, column e % w of its tiles."""

    table: Table
    tile: int
    multiplicity: int  # first row of the multiplicities in A
    rows: int


@dataclass(frozen=True)
class LookupSpace:
    """Lookups and their tables with one fraction tree; `label` begins the labels of its messages."""

    label: str
    w: int
    tile_rows: int
    blocks: tuple[Block, ...]
    weight_blocks: tuple[WeightBlock, ...]
    tables: tuple[TableBlock, ...]
    tiles: tuple[tuple[int, int], ...]  # present tiles as (first, count)
    log_tiles: int
    runs: tuple[Run, ...] = ()

    @property
    def tile_size(self) -> int:
        """Lookup entries in a tile."""
        return self.tile_rows * self.w

    @property
    def log_entries(self) -> int:
        """Number of variables of the tree."""
        return self.log_tiles + log2_ceil(self.tile_size)

    @property
    def entries(self) -> int:
        """Looked-up tuples and table entries."""
        looked = sum(block.rows * block.cols for block in self.blocks)
        looked += sum(block.rows * self.w for block in self.weight_blocks)
        looked += sum(run.rows * run.cols for run in self.runs)
        return looked + sum(block.table.size for block in self.tables)

    def tag(self, table: Table) -> int:
        """The table's tag in tuple combinations: its place in the list, from 1."""
        return 1 + next(i for i, block in enumerate(self.tables) if block.table == table)


class Tiles:
    """Allocates tiles; `take` aligns to a power of two."""

    def __init__(self) -> None:
        self.used: list[tuple[int, int]] = []
        self.next = 0

    def take(self, count: int, align: int = 1) -> int:
        start = -(-self.next // align) * align
        self.used.append((start, count))
        self.next = start + count
        return start


def close_space(
    label: str,
    w: int,
    tile_rows: int,
    tiles: Tiles,
    stack: Stack,
    blocks: Sequence[Block],
    weight_blocks: Sequence[WeightBlock],
    runs: Sequence[Run] = (),
) -> LookupSpace:
    """The space of these lookups: adds its tables, whose multiplicities are the next rows of A."""
    tables = []
    used = {block.table for block in blocks} | {block.table for block in weight_blocks}
    for table in sorted(used | {run.table for run in runs}):
        rows = -(-table.size // w)
        count = -(-rows // tile_rows)
        tile = tiles.take(count, 1 << log2_ceil(count))
        tables.append(TableBlock(table, tile, stack.rows, rows))
        stack.rows += rows
    return LookupSpace(
        label, w, tile_rows, tuple(blocks), tuple(weight_blocks), tuple(tables), tuple(tiles.used),
        log2_ceil(tiles.next), tuple(runs),
    )  # fmt: skip


@dataclass(frozen=True)
class _Run:
    """Committed rows of one bit width."""

    bits: int
    start: int
    count: int


def _runs(committed: Sequence[Weight], placed: dict[str, Placed]) -> list[_Run]:
    runs = []
    for bits in sorted({weight.bits for weight in committed}):
        group = [placed[weight.name] for weight in committed if weight.bits == bits]
        runs.append(_Run(bits, min(place.start for place in group), sum(place.count for place in group)))
    return runs


def place_digits(
    committed: Sequence[Weight], placed: dict[str, Placed], tiles: Tiles, w: int, tile_rows: int
) -> list[WeightBlock]:
    """Lookups of all committed weights, in a space with others."""
    runs = _runs(committed, placed)
    arity = _arity(sum(run.count for run in runs) * w)
    return [_digits(run, arity, tiles, tile_rows) for run in runs]


def shard_digits(
    committed: Sequence[Weight], placed: dict[str, Placed], stack: Stack, w: int
) -> list[LookupSpace]:
    """Spaces with nothing but the committed weights, at most `SHARD_ENTRIES` in each."""
    shards, most = [], SHARD_ENTRIES // w
    for run in _runs(committed, placed):
        parts = -(-run.count // most)
        even = -(-run.count // parts)
        for first in range(0, run.count, even):
            shards.append(_Run(run.bits, run.start + first, min(even, run.count - first)))
    spaces = []
    for number, shard in enumerate(shards):
        tiles, arity = Tiles(), _arity(shard.count * w)
        block = _digits(shard, arity, tiles, SHARD_TILE_ROWS)
        spaces.append(close_space(f"shard{number}", w, SHARD_TILE_ROWS, tiles, stack, (), (block,)))
    return spaces


def _arity(entries: int) -> int:
    return 3 if entries >= WIDE_DIGITS_FROM else 2


def _digits(run: _Run, arity: int, tiles: Tiles, tile_rows: int) -> WeightBlock:
    rows = -(-run.count // arity)
    tile = tiles.take(-(-rows // tile_rows))
    return WeightBlock(Table("digits", (run.bits, arity)), tile, run.start, run.count, rows)
