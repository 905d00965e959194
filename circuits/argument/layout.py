"""Where everything sits: rows of the two committed matrices and tiles of the lookup index space.

Committed matrices are stacks of rows of w entries (protocol §4):
- W (weights): tensor row i, column block j is row start + i·blocks + j; tensors ordered by bit width, then
  as in the program;
- A (per proof): activation row i, block j is row start + j·rows + i, so that a column block of an activation
  is a run of `rows` rows.

The lookup index space (protocol §6.5) is a list of tiles of `tile_rows` × w entries. A site's entries take
one tile per column block, and its first tile is aligned to the power of two above its block count: then the
coefficient eq(point, ·) of an accumulator entry (i, j) factors into a part in i and a part in j, and the part
in j is the same, up to a constant, in the site's calibration slots. Absent tiles cost nothing. Everything
here is a function of the statement, never read from a proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from huref.circuits.program.program import Conv, GatedMatMul, MatMul, Program, Site
from huref.circuits.program.tables import Table
from huref.common.algebra.multilinear import log2_ceil
from huref.common.argument.hidden import PadSpace

MASK_ROWS = 10  # R and R', five base rows each (protocol §7.1)
SLOT_ROWS = 16  # height of a calibration slot in its tile
WIDE_DIGITS_FROM = 1 << 27  # committed entries from which weights are looked up in triples


@dataclass(frozen=True)
class Placed:
    """A (rows × cols) tensor inside a committed matrix, in column blocks of w entries."""

    matrix: Literal["W", "A"]
    start: int
    rows: int
    cols: int
    blocks: int

    @property
    def count(self) -> int:
        """Committed rows it takes."""
        return self.rows * self.blocks


@dataclass(frozen=True)
class Cells:
    """Operand: entries of a placed tensor's first rows."""

    placed: Placed


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
    operands: tuple[Cells | Quotient | Constant, ...]


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
class SiteColumns:
    """What a site commits: result, remainder, and its calibration rows (None where there is none)."""

    site: Site
    shift: int
    out: Placed
    remainder: Placed | None
    magnitude: Placed  # |out| on the calibration rows
    finer_magnitude: Placed | None  # |out'| at shift − 1
    finer_remainder: Placed | None
    tile: int  # first main tile
    height: int  # H of the clamp table


class _Stack:
    """Allocates consecutive rows of a committed matrix."""

    def __init__(self, matrix: Literal["W", "A"], w: int) -> None:
        self.matrix, self.w, self.rows = matrix, w, 0

    def place(self, rows: int, cols: int) -> Placed:
        placed = Placed(self.matrix, self.rows, rows, cols, -(-cols // self.w))
        self.rows += placed.count
        return placed


class _Tiles:
    """Allocates tiles; `take` aligns to a power of two."""

    def __init__(self) -> None:
        self.used: list[tuple[int, int]] = []
        self.next = 0

    def take(self, count: int, align: int = 1) -> int:
        start = -(-self.next // align) * align
        self.used.append((start, count))
        self.next = start + count
        return start


@dataclass(frozen=True)
class Layout:
    """The complete geometry of one proof's committed data, for given shifts and row width w."""

    program: Program
    w: int
    tile_rows: int
    weights: dict[str, Placed]
    weight_rows: int
    sites: dict[str, SiteColumns]
    blocks: tuple[Block, ...]
    weight_blocks: tuple[WeightBlock, ...]
    tables: tuple[TableBlock, ...]
    tiles: tuple[tuple[int, int], ...]  # present tiles as (first, count)
    log_tiles: int
    inner: dict[str, int]  # offset of each product site in the inner-product vectors
    log_inner: int
    pads: PadSpace
    pad_start: int
    mask_start: int
    rows: int  # rows of A that carry data

    @property
    def tile_size(self) -> int:
        """Lookup entries in a tile."""
        return self.tile_rows * self.w

    @property
    def log_entries(self) -> int:
        """Number of variables of the lookup tree."""
        return self.log_tiles + log2_ceil(self.tile_size)

    @property
    def entries(self) -> int:
        """Looked-up tuples and table entries."""
        looked = sum(block.rows * block.cols for block in self.blocks)
        looked += sum(block.rows * self.w for block in self.weight_blocks)
        return looked + sum(block.table.size for block in self.tables)

    def tag(self, table: Table) -> int:
        """The table's tag in tuple combinations: its place in the list, from 1."""
        return 1 + next(i for i, block in enumerate(self.tables) if block.table == table)


def place_weights(program: Program, w: int) -> tuple[dict[str, Placed], int]:
    """Tensor directory of the weights' commitment and its data row count, for row width w."""
    stack = _Stack("W", w)
    ordered = sorted(program.weights, key=lambda weight: weight.bits)
    placed = {weight.name: stack.place(weight.rows, weight.cols) for weight in ordered}
    return placed, stack.rows


def build_layout(program: Program, shifts: Mapping[str, int], heights: Mapping[str, int], w: int) -> Layout:
    """Lay out a proof. `shifts` and clamp table `heights` (H, protocol §3.3) are given per site name."""
    weights, weight_rows = place_weights(program, w)
    tile_rows = max(program.tile_rows, SLOT_ROWS)
    stack, tiles = _Stack("A", w), _Tiles()
    remainders = Table("remainder", _remainder_shifts(shifts.values()))
    sites = {
        site.name: _site_columns(site, shifts[site.name], heights[site.name], stack, tiles)
        for site in program.sites
    }
    blocks = [block for columns in sites.values() for block in _main_blocks(columns, remainders, tiles)]
    blocks += _calibration_blocks(list(sites.values()), remainders, tiles, tile_rows)
    weight_blocks = _weight_blocks(program, weights, tiles, w, tile_rows)
    used = {block.table for block in blocks} | {block.table for block in weight_blocks}
    tables = []
    for table in sorted(used):
        rows = -(-table.size // w)
        count = -(-rows // tile_rows)
        tile = tiles.take(count, 1 << log2_ceil(count))
        tables.append(TableBlock(table, tile, stack.rows, rows))
        stack.rows += rows
    inner, length = _inner_offsets(program, w)
    log_tiles, log_inner = log2_ceil(tiles.next), log2_ceil(length)
    pads = _count_pads(program, log_tiles + log2_ceil(tile_rows * w), log_inner, w)
    pad_start = stack.rows
    mask_start = pad_start + -(-5 * pads.total // w)
    return Layout(
        program=program,
        w=w,
        tile_rows=tile_rows,
        weights=weights,
        weight_rows=weight_rows,
        sites=sites,
        blocks=tuple(blocks),
        weight_blocks=tuple(weight_blocks),
        tables=tuple(tables),
        tiles=tuple(tiles.used),
        log_tiles=log_tiles,
        inner=inner,
        log_inner=log_inner,
        pads=pads,
        pad_start=pad_start,
        mask_start=mask_start,
        rows=mask_start + MASK_ROWS,
    )


def _remainder_shifts(shifts: Iterable[int]) -> tuple[int, ...]:
    wanted = {s for shift in shifts for s in (shift, shift - 1) if s >= 1}
    return tuple(sorted(wanted))


def _site_columns(site: Site, shift: int, height: int, stack: _Stack, tiles: _Tiles) -> SiteColumns:
    out = stack.place(site.rows, site.cols)
    remainder = stack.place(site.rows, site.cols) if shift >= 1 else None
    magnitude = stack.place(site.calibration_rows, site.cols)
    finer = stack.place(site.calibration_rows, site.cols) if shift >= 1 else None
    finer_remainder = stack.place(site.calibration_rows, site.cols) if shift >= 2 else None
    tile = tiles.take(out.blocks, 1 << log2_ceil(out.blocks))
    return SiteColumns(site, shift, out, remainder, magnitude, finer, finer_remainder, tile, height)


def _main_blocks(columns: SiteColumns, remainders: Table, tiles: _Tiles) -> list[Block]:
    site, out = columns.site, columns.out
    clamp = Table("clamp", (columns.height, site.clamp, site.low))
    quotient = Quotient(site.name, columns.shift, columns.remainder)
    shape = (0, site.rows, site.cols, out.blocks)
    blocks = [Block(f"{site.name}.clamp", clamp, columns.tile, *shape, (quotient, Cells(out)))]
    if columns.remainder:
        operands = (Constant(columns.shift), Cells(columns.remainder))
        tile = tiles.take(out.blocks)
        blocks.append(Block(f"{site.name}.remainder", remainders, tile, *shape, operands))
    return blocks


def _calibration_blocks(
    sites: list[SiteColumns], remainders: Table, tiles: _Tiles, tile_rows: int
) -> list[Block]:
    wanted: list[tuple[SiteColumns, str, Table, tuple[Cells | Quotient | Constant, ...]]] = []
    for columns in sorted(sites, key=lambda columns: -columns.out.blocks):
        site, shift = columns.site, columns.shift
        magnitudes = Table("abs", (site.clamp, site.low))
        wanted.append((columns, "magnitude", magnitudes, (Cells(columns.out), Cells(columns.magnitude))))
        if columns.finer_magnitude:
            quotient = Quotient(site.name, shift - 1, columns.finer_remainder)
            # twice the height: |h'| ≤ 2|h| + 1, so the finer rounding never overflows where the main one fits
            table = Table("absclamp", (2 * columns.height, site.clamp, site.low))
            wanted.append((columns, "finer", table, (quotient, Cells(columns.finer_magnitude))))
        if columns.finer_remainder:
            pair = (Constant(shift - 1), Cells(columns.finer_remainder))
            wanted.append((columns, "finer_remainder", remainders, pair))
    slots = tile_rows // SLOT_ROWS
    blocks = []
    for first in range(0, len(wanted), slots):
        group = wanted[first : first + slots]
        count = group[0][0].out.blocks
        tile = tiles.take(count, 1 << log2_ceil(count))
        for slot, (columns, kind, table, operands) in enumerate(group):
            site = columns.site
            shape = (slot * SLOT_ROWS, site.calibration_rows, site.cols, columns.out.blocks)
            blocks.append(Block(f"{site.name}.{kind}", table, tile, *shape, operands))
    return blocks


def _weight_blocks(
    program: Program, placed: dict[str, Placed], tiles: _Tiles, w: int, tile_rows: int
) -> list[WeightBlock]:
    blocks = []
    total = sum(place.count for place in placed.values()) * w
    for bits in sorted({weight.bits for weight in program.weights}):
        group = [placed[weight.name] for weight in program.weights if weight.bits == bits]
        start = min(place.start for place in group)
        count = sum(place.count for place in group)
        arity = 3 if total >= WIDE_DIGITS_FROM else 2
        rows = -(-count // arity)
        tile = tiles.take(-(-rows // tile_rows))
        blocks.append(WeightBlock(Table("digits", (bits, arity)), tile, start, count, rows))
    return blocks


def _inner_offsets(program: Program, w: int) -> tuple[dict[str, int], int]:
    offsets, length = {}, 0
    for site in program.sites:
        if isinstance(site.acc, MatMul):
            size, align = site.acc.inner, w
        elif isinstance(site.acc, Conv):
            size = align = max(w, 1 << log2_ceil(site.acc.in_channels * site.acc.kernel**2))
        else:
            continue
        offsets[site.name] = -(-length // align) * align
        length = offsets[site.name] + -(-size // w) * w
    return offsets, length


def _count_pads(program: Program, log_entries: int, log_inner: int, w: int) -> PadSpace:
    """Hidden messages and products of a proof, in the order of `docs/protocol.md`."""
    singles = sum(2 * layer for layer in range(log_entries)) + 1 + 2 * log_inner
    products = 1 + 2 * log_entries + 1
    for site in program.sites:
        if isinstance(site.acc, GatedMatMul):
            singles += 1 + 3 * (log2_ceil(-(-site.acc.inner // w) * w) + log2_ceil(site.cols))
            products += 2
    return PadSpace.for_counts(singles, products)
