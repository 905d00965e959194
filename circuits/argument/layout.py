"""Where everything sits: rows of the two committed matrices, and the spaces of the lookups (protocol §4, §6.5).

Everything here is a function of the statement, never read from a proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from huref.circuits.argument.placed import Placed, Stack, place_weights
from huref.circuits.argument.spaces import (
    Block,
    Cells,
    Constant,
    LookupSpace,
    Quotient,
    Tiles,
    close_space,
    place_digits,
    shard_digits,
)
from huref.circuits.program.program import Conv, GatedMatMul, MatMul, Program, Site
from huref.circuits.program.tables import Table
from huref.common.algebra.multilinear import log2_ceil
from huref.common.argument.hidden import PadSpace

MASK_ROWS = 10  # R and R', five base rows each (protocol §7.1)
SLOT_ROWS = 16  # height of a calibration slot in its tile


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
    spaces: tuple[LookupSpace, ...]
    inner: dict[str, int]  # offset of each product site in the inner-product vectors
    log_inner: int
    pads: PadSpace
    pad_start: int
    mask_start: int
    rows: int  # rows of A that carry data

    @property
    def entries(self) -> int:
        """Looked-up tuples and table entries of all spaces."""
        return sum(space.entries for space in self.spaces)


def build_layout(program: Program, shifts: Mapping[str, int], heights: Mapping[str, int], w: int) -> Layout:
    """Lay out a proof. `shifts` and clamp table `heights` (H, protocol §3.3) are given per site name."""
    weights, weight_rows = place_weights(program.committed, w)
    stack, tiles = Stack("A", w), Tiles()
    sites = {
        site.name: _site_columns(site, shifts[site.name], heights[site.name], stack, tiles)
        for site in program.sites
    }
    if sites:
        spaces = [_sites_space(program, weights, sites, stack, tiles, w)]
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
        spaces=tuple(spaces),
        inner=inner,
        log_inner=log_inner,
        pads=pads,
        pad_start=pad_start,
        mask_start=mask_start,
        rows=mask_start + MASK_ROWS,
    )


def _sites_space(
    program: Program,
    weights: dict[str, Placed],
    sites: dict[str, SiteColumns],
    stack: Stack,
    tiles: Tiles,
    w: int,
) -> LookupSpace:
    """Everything that sites look up, and the weights where no other proof shows their range."""
    tile_rows = max(program.tile_rows, SLOT_ROWS)
    shifts = [columns.shift for columns in sites.values()]
    remainders = Table("remainder", _remainder_shifts(shifts))
    blocks = [block for columns in sites.values() for block in _main_blocks(columns, remainders, tiles)]
    blocks += _calibration_blocks(list(sites.values()), remainders, tiles, tile_rows)
    digits = [] if program.ranged else place_digits(program.committed, weights, tiles, w, tile_rows)
    return close_space("lookup", w, tile_rows, tiles, stack, blocks, digits)


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


def _main_blocks(columns: SiteColumns, remainders: Table, tiles: Tiles) -> list[Block]:
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
    sites: list[SiteColumns], remainders: Table, tiles: Tiles, tile_rows: int
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


def _count_pads(program: Program, spaces: Iterable[LookupSpace], log_inner: int, w: int) -> PadSpace:
    """Hidden messages and products of a proof, in the order of `docs/protocol.md`."""
    singles = products = 0
    for space in spaces:
        singles += sum(2 * layer for layer in range(space.log_entries))
        products += 1 + 2 * space.log_entries
    if program.has_products:
        singles += 1 + 2 * log_inner
        products += 1
    for site in program.sites:
        if isinstance(site.acc, GatedMatMul):
            singles += 1 + 3 * (log2_ceil(-(-site.acc.inner // w) * w) + log2_ceil(site.cols))
            products += 2
    return PadSpace.for_counts(singles, products)
