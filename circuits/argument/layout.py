"""Where everything sits: rows of the two committed matrices, and the spaces of the lookups (protocol §4, §6.5).

Everything here is a function of the statement, never read from a proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from huref.circuits.argument.placed import Placed, Stack, place_joined, place_weights
from huref.circuits.argument.spaces import (
    Block,
    Cells,
    Constant,
    HeadSums,
    LookupSpace,
    Operand,
    Quotient,
    Repeated,
    Steps,
    Tiles,
    close_space,
    place_digits,
    shard_digits,
)
from huref.circuits.program.influence import Cap
from huref.circuits.program.measured import Ratio, all_values
from huref.circuits.program.program import (
    GatedMatMul,
    HeadProducts,
    Likeness,
    MatMul,
    Program,
    Site,
    SketchSum,
)
from huref.circuits.program.tables import Table
from huref.common.algebra.multilinear import log2_ceil
from huref.common.argument.hidden import PadSpace

MASK_ROWS = 10  # R and R', five base rows each (protocol §7.1)
SLOT_ROWS = 16  # heights of calibration slots in their tiles are multiples of it


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


@dataclass(frozen=True)
class Layout:
    """The complete geometry of one proof's committed data, for given shifts and row width w."""

    program: Program
    w: int
    weights: dict[str, Placed]
    weight_rows: int
    sites: dict[str, SiteColumns]
    rows_of: dict[str, Placed]  # every row of multipliers
    octaves: dict[str, Table]  # and the table that it is looked up in
    spaces: tuple[LookupSpace, ...]
    inner: dict[str, int]  # offset of each product site and ratio in the inner-product vectors
    log_inner: int
    pads: PadSpace
    pad_start: int
    mask_start: int
    rows: int  # rows of A that carry data

    @property
    def entries(self) -> int:
        """Looked-up tuples and table entries of all spaces."""
        return sum(space.entries for space in self.spaces)


def build_layout(
    program: Program,
    shifts: Mapping[str, int],
    heights: Mapping[str, int],
    w: int,
    caps: Mapping[str, Cap] | None = None,
) -> Layout:
    """Lay out a proof. `shifts` and clamp table `heights` (H, protocol §3.3) are given per site name, `caps` per
    influence.
    """
    caps = caps or {}
    weights, weight_rows = place_weights(program.committed, w)
    weights |= place_joined(program.weights, weights)
    stack, tiles = Stack("A", w), Tiles()
    sites = {
        site.name: _site_columns(site, shifts[site.name], heights[site.name], stack, tiles)
        for site in program.sites
    }
    rows_of = {found.name: stack.place(1, found.cols) for found in program.influences}
    octaves = {
        found.name: found.table(caps, program.influence.get(found.gate)) for found in program.influences
    }
    values = {found.name: found.values(caps[found.name]) for found in program.influences}
    for share in program.shares:
        counting = program.counting(share.name)
        rows_of[share.name] = stack.place(1, counting.cols)
        octaves[share.name] = share.table(values[share.of], counting.head_root(caps[counting.name]))
        values[share.name] = all_values(octaves[share.name])
    if sites:
        scales = {
            site.name: _Scale(
                rows_of[site.multipliers], program.unit(site.multipliers), values[site.multipliers]
            )
            for site in program.sites
            if site.multipliers
        }
        slots = _row_slots(program, rows_of, octaves)
        spaces = [_sites_space(program, weights, sites, scales, slots, stack, tiles, w)]
    else:
        spaces = shard_digits(program.committed, weights, stack, w)
    inner, length = _inner_offsets(program, w)
    log_inner = log2_ceil(length) if inner else 0
    pads = _count_pads(program, spaces, log_inner, w)
    pad_start = stack.rows
    mask_start = pad_start + -(-5 * pads.total // w)
    return Layout(
        program=program,
        w=w,
        weights=weights,
        weight_rows=weight_rows,
        sites=sites,
        rows_of=rows_of,
        octaves=octaves,
        spaces=tuple(spaces),
        inner=inner,
        log_inner=log_inner,
        pads=pads,
        pad_start=pad_start,
        mask_start=mask_start,
        rows=mask_start + MASK_ROWS,
    )


@dataclass(frozen=True)
class _Scale:
    """A site's column multipliers: where they are, in units of 2^−bits, and which there can be."""

    placed: Placed
    bits: int
    values: tuple[int, ...]

    def table(self, kind: Literal["scaled", "absscaled"], height: int, clamp: int) -> Table:
        return Table(kind, (height, clamp, self.bits, *self.values))


@dataclass(frozen=True)
class _Slot:
    """Lookups that share tiles with others: few rows of as many columns as a placed matrix."""

    label: str
    table: Table
    rows: int
    placed: Placed
    operands: tuple[Operand, ...]


def _sites_space(
    program: Program,
    weights: dict[str, Placed],
    sites: dict[str, SiteColumns],
    scales: Mapping[str, _Scale],
    slots: list[_Slot],
    stack: Stack,
    tiles: Tiles,
    w: int,
) -> LookupSpace:
    """Everything that sites look up, and the weights where no other proof shows their range."""
    tile_rows = max(program.tile_rows, SLOT_ROWS)
    shifts = [columns.shift for columns in sites.values()]
    remainders = Table("remainder", _remainder_shifts(shifts))
    blocks = []
    for name, columns in sites.items():
        blocks += _main_blocks(columns, scales.get(name), remainders, tiles)
        slots += _calibration_slots(columns, scales.get(name), remainders)
    blocks += _place_slots(slots, tiles, tile_rows)
    digits = [] if program.ranged else place_digits(program.committed, weights, tiles, w, tile_rows)
    return close_space("lookup", w, tile_rows, tiles, stack, blocks, digits)


def _row_slots(program: Program, rows_of: Mapping[str, Placed], octaves: Mapping[str, Table]) -> list[_Slot]:
    """Every row of multipliers follows from its steps, or from another row and sums over its heads."""
    slots = []
    for found in program.influences:
        gate = (Cells(rows_of[found.gate]),) if found.gate else ()
        operands = (Steps(found.name), *gate, Cells(rows_of[found.name]))
        slots.append(_Slot(found.name, octaves[found.name], 1, rows_of[found.name], operands))
    for share in program.shares:
        whole = (HeadSums(share.name), Cells(rows_of[share.of]), Cells(rows_of[share.name]))
        slots.append(_Slot(share.name, octaves[share.name], 1, rows_of[share.name], whole))
    return slots


def _remainder_shifts(shifts: Iterable[int]) -> tuple[int, ...]:
    wanted = {s for shift in shifts for s in (shift, shift - 1) if s >= 1}
    return tuple(sorted(wanted))


def _site_columns(site: Site, shift: int, height: int, stack: Stack, tiles: Tiles) -> SiteColumns:
    out = stack.place(site.rows, site.cols)
    remainder = stack.place(site.rows, site.cols) if shift >= 1 else None
    magnitude = stack.place(site.calibration_rows, site.cols)
    finer = stack.place(site.calibration_rows, site.cols) if shift >= 1 else None
    finer_remainder = stack.place(site.calibration_rows, site.cols) if shift >= 2 else None
    tile = tiles.take(out.blocks, 1 << log2_ceil(out.blocks))
    return SiteColumns(site, shift, out, remainder, magnitude, finer, finer_remainder, tile, height)


def _main_blocks(columns: SiteColumns, scale: _Scale | None, remainders: Table, tiles: Tiles) -> list[Block]:
    site, out = columns.site, columns.out
    quotient = Quotient(site.name, columns.shift, columns.remainder)
    shape = (0, site.rows, site.cols, out.blocks)
    operands: tuple[Operand, ...]
    if site.full:
        clamp, operands = Table("likeness", (columns.height, site.full, site.clamp)), (quotient, Cells(out))
    elif scale is None:
        clamp, operands = Table("clamp", (columns.height, site.clamp, site.low)), (quotient, Cells(out))
    else:
        clamp = scale.table("scaled", columns.height, site.clamp)
        operands = (quotient, Repeated(scale.placed), Cells(out))
    blocks = [Block(f"{site.name}.clamp", clamp, columns.tile, *shape, operands)]
    if columns.remainder:
        pair = (Constant(columns.shift), Cells(columns.remainder))
        tile = tiles.take(out.blocks)
        blocks.append(Block(f"{site.name}.remainder", remainders, tile, *shape, pair))
    return blocks


def _calibration_slots(columns: SiteColumns, scale: _Scale | None, remainders: Table) -> list[_Slot]:
    site, shift = columns.site, columns.shift

    def slot(kind: str, table: Table, *operands: Operand) -> _Slot:
        return _Slot(f"{site.name}.{kind}", table, site.calibration_rows, columns.out, operands)

    magnitudes = Table("abs", (site.clamp, site.low))
    slots = [slot("magnitude", magnitudes, Cells(columns.out), Cells(columns.magnitude))]
    if columns.finer_magnitude:
        quotient, finer = (
            Quotient(site.name, shift - 1, columns.finer_remainder),
            Cells(columns.finer_magnitude),
        )
        # twice the height: |h'| ≤ 2|h| + 1, so the finer rounding never overflows where the main one fits
        height = 2 * columns.height
        if scale is None:
            slots.append(slot("finer", Table("absclamp", (height, site.clamp, site.low)), quotient, finer))
        else:
            table = scale.table("absscaled", height, site.clamp)
            slots.append(slot("finer", table, quotient, Repeated(scale.placed), finer))
    if columns.finer_remainder:
        pair = (Constant(shift - 1), Cells(columns.finer_remainder))
        slots.append(slot("finer_remainder", remainders, *pair))
    return slots


def _place_slots(slots: list[_Slot], tiles: Tiles, tile_rows: int) -> list[Block]:
    """The slots with most column blocks first; as many share a row of tiles as fit one above the other."""
    blocks: list[Block] = []
    used, tile = tile_rows, 0
    for slot in sorted(slots, key=lambda slot: -slot.placed.blocks):
        if used + slot.rows > tile_rows:
            tile, used = tiles.take(slot.placed.blocks, 1 << log2_ceil(slot.placed.blocks)), 0
        shape = (used, slot.rows, slot.placed.cols, slot.placed.blocks)
        blocks.append(Block(slot.label, slot.table, tile, *shape, slot.operands))
        used += -(-slot.rows // SLOT_ROWS) * SLOT_ROWS
    return blocks


def _inner_offsets(program: Program, w: int) -> tuple[dict[str, int], int]:
    offsets, length = {}, 0
    for site in program.sites:
        if isinstance(site.acc, MatMul):
            size = site.acc.inner
        elif isinstance(site.acc, SketchSum) and site.acc.multipliers:
            size = len(site.acc.token)
        elif isinstance(site.acc, HeadProducts | Likeness):
            read = site.acc.left if isinstance(site.acc, HeadProducts) else site.acc.source
            size = program.site[read].rows * -(-program.site[read].cols // w) * w
        else:
            continue
        offsets[site.name] = length
        length += -(-size // w) * w
    for ratio in program.ratios:
        offsets[ratio_label(ratio)] = length
        blocks = -(-program.site[ratio.base].cols // w)
        length += ratio.rows * blocks * w
    return offsets, length


def ratio_label(ratio: Ratio) -> str:
    """What a ratio's run of the inner-product vectors is called; sites have names of their own."""
    return f"ratio.{ratio.name}"


def count_lookup_pads(spaces: Iterable[LookupSpace], log_inner: int | None) -> PadSpace:
    """Hidden messages and products of lookups, and of an inner product of 2^log_inner entries if there is one."""
    return PadSpace.for_counts(*_lookup_counts(spaces, log_inner))


def _lookup_counts(spaces: Iterable[LookupSpace], log_inner: int | None) -> tuple[int, int]:
    singles = products = 0
    for space in spaces:
        singles += sum(2 * layer for layer in range(space.log_entries))
        products += 1 + 2 * space.log_entries
    if log_inner is not None:
        singles += 1 + 2 * log_inner
        products += 1
    return singles, products


def _count_pads(program: Program, spaces: Iterable[LookupSpace], log_inner: int, w: int) -> PadSpace:
    """Hidden messages and products of a proof, in the order of `docs/protocol.md`."""
    singles, products = _lookup_counts(spaces, log_inner if program.has_products else None)
    for site in program.sites:
        if isinstance(site.acc, GatedMatMul):
            singles += 1 + 3 * (log2_ceil(-(-site.acc.inner // w) * w) + log2_ceil(site.cols))
            products += 2
    return PadSpace.for_counts(singles, products)
