"""From a program's trace to committed rows, lookup leaves and multiplicities (protocol §4, §6.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.evaluate import SiteTrace, Trace
from circuits.layout import Block, Cells, Constant, Layout, Placed, Quotient, TableBlock, WeightBlock
from circuits.tables import Table
from common.field import DEGREE
from common.kscalar import KS
from prover.kernels import gkr
from prover.kernels.field import U32, to_mont

Ints = NDArray[Any]
LIFT = np.int32(1 << 20)
"""Added to looked-up values so that the kernel reads them as residues; every operand is above its negative."""


def stack_weights(placed: Mapping[str, Placed], rows: int, weights: Mapping[str, Ints], w: int) -> Ints:
    """The data rows of W: every tensor's rows cut into column blocks, shape (rows, w), padding zero."""
    dtype = np.result_type(*(weights[name].dtype for name in placed))
    out = np.zeros((rows, w), dtype)
    for name, place in placed.items():
        target = out[place.start : place.start + place.count].reshape(place.rows, place.blocks * w)
        target[:, : place.cols] = weights[name]
    return out


def stack_activation(values: Ints, w: int) -> Ints:
    """Rows of A for a (rows × cols) matrix: column block after column block, padding zero."""
    rows, cols = values.shape
    blocks = -(-cols // w)
    padded = np.zeros((rows, blocks * w), values.dtype)
    padded[:, :cols] = values
    return np.ascontiguousarray(padded.reshape(rows, blocks, w).swapaxes(0, 1)).reshape(-1, w)


@dataclass(frozen=True)
class LookupInputs:
    """Integer values behind every operand of every lookup block."""

    layout: Layout
    weights: Ints  # stacked data rows of W
    placed: Mapping[int, Ints]  # by first row in A
    sites: Mapping[str, SiteTrace]

    def operand(self, block: Block, operand: Cells | Quotient | Constant) -> Ints:
        """Values of one operand over the block, (rows × cols), or a constant of shape (1, 1)."""
        match operand:
            case Constant(value):
                return np.full((1, 1), value, np.int32)
            case Cells(placed):
                return self.placed[placed.start][: block.rows].astype(np.int32)
            case Quotient(site, shift, _):
                trace = self.sites[site]
                if shift == trace.shift:
                    return trace.quotient
                if trace.below is None:
                    raise ValueError(f"{site} has no finer quotient")
                return trace.below.quotient

    def weight_rows(self, block: WeightBlock, first: int, count: int) -> Ints:
        """Weights looked up by entry rows first … first + count − 1, (arity × count × w) int32."""
        out = np.zeros((block.table.arity, count, self.layout.w), np.int32)
        for m in range(block.table.arity):
            start = m * block.rows + first
            stop = max(start, min(start + count, block.count))
            out[m, : stop - start] = self.weights[block.start + start : block.start + stop]
        return out


def lookup_inputs(layout: Layout, weights: Ints, trace: Trace) -> LookupInputs:
    """Collect the committed integer matrices by where they are placed."""
    placed: dict[int, Ints] = {}
    for name, columns in layout.sites.items():
        site = trace.sites[name]
        placed[columns.out.start] = site.out
        placed[columns.magnitude.start] = np.abs(site.out[: columns.magnitude.rows])
        if columns.remainder:
            placed[columns.remainder.start] = site.remainder
        if site.below is not None and columns.finer_magnitude:
            placed[columns.finer_magnitude.start] = site.below.magnitude
            if columns.finer_remainder:
                placed[columns.finer_remainder.start] = site.below.remainder
    return LookupInputs(layout, weights, placed, trace.sites)


def multiplicities(inputs: LookupInputs) -> dict[Table, NDArray[np.int64]]:
    """How often each table entry is looked up, (size,) per table."""
    layout = inputs.layout
    counts = {block.table: np.zeros(block.table.size, np.int64) for block in layout.tables}

    def count(table: Table, values: Sequence[Ints | int]) -> None:
        index = table.index(tuple(values)).reshape(-1)
        counts[table] += np.bincount(index, minlength=table.size)

    for block in layout.blocks:
        values = [inputs.operand(block, operand) for operand in block.operands]
        count(block.table, [int(v[0, 0]) if v.shape == (1, 1) else v for v in values])
    for weights in layout.weight_blocks:
        for first in range(0, weights.rows, layout.tile_rows):
            rows = min(layout.tile_rows, weights.rows - first)
            count(weights.table, list(inputs.weight_rows(weights, first, rows)))
    return counts


def build_leaves(
    inputs: LookupInputs, counts: Mapping[Table, NDArray[np.int64]], alpha: KS, beta: KS
) -> tuple[U32, U32]:
    """Numerators (n,) and denominators (5, n) of all present tiles, absent cells 0/1, in Montgomery form."""
    return _Leaves(inputs.layout, alpha, beta).build(inputs, counts)


class _Leaves:
    def __init__(self, layout: Layout, alpha: KS, beta: KS) -> None:
        self.layout, self.alpha = layout, alpha
        self.powers = [beta**i for i in range(4)]
        starts = np.cumsum([0, *(count for _, count in layout.tiles)])
        self.storage = {first: int(at) for (first, _), at in zip(layout.tiles, starts, strict=False)}
        size = int(starts[-1]) * layout.tile_size
        self.p = np.zeros(size, np.uint32)
        self.q = np.zeros((DEGREE, size), np.uint32)
        self.q[0] = to_mont(np.ones(1, np.uint64))[0]

    def build(self, inputs: LookupInputs, counts: Mapping[Table, Ints]) -> tuple[U32, U32]:
        w, size = self.layout.w, self.layout.tile_size
        for block in self.layout.blocks:
            values = [inputs.operand(block, operand) for operand in block.operands]
            for j in range(block.blocks):
                part = [v if v.shape == (1, 1) else v[:, j * w : (j + 1) * w] for v in values]
                at = self._at(block.tile) + j * size + block.row * w
                self._fill(block.table, part, at)
        for weights in self.layout.weight_blocks:
            for first in range(0, weights.rows, self.layout.tile_rows):
                rows = min(self.layout.tile_rows, weights.rows - first)
                self._fill(
                    weights.table,
                    list(inputs.weight_rows(weights, first, rows)),
                    self._at(weights.tile) + first * w,
                )
        for table in self.layout.tables:
            self._table(table, counts[table.table])
        return self.p, self.q

    def _at(self, tile: int) -> int:
        return self.storage[tile] * self.layout.tile_size

    def _fill(self, table: Table, values: Sequence[Ints], at: int) -> None:
        offset = self.alpha - self.layout.tag(table)
        varying, scales = [], []
        for power, value in zip(self.powers[1:], values, strict=False):
            if value.shape == (1, 1):
                offset -= power * int(value[0, 0])
            else:
                varying.append(value)
                scales.append(-power)
        stacked = np.empty((len(varying), *varying[0].shape), np.uint32)
        for m, (scale, value) in enumerate(zip(scales, varying, strict=True)):
            np.add(value, LIFT, out=stacked[m], dtype=np.int32, casting="unsafe")
            offset -= scale * int(LIFT)
        doubled = to_mont(to_mont(np.array([tuple(s) for s in scales], np.uint64)))
        gkr.fill(self.p, self.q, stacked, doubled, to_mont(offset.array()), at, self.layout.w)

    def _table(self, block: TableBlock, counts: Ints) -> None:
        columns = [column[None, :] for column in block.table.columns()]
        at = self._at(block.tile)
        self._fill(block.table, columns, at)
        numerators = np.mod(-counts, np.int64(2013265921)).astype(np.uint64)
        self.p[at : at + block.table.size] = to_mont(numerators)


def proof_segments(
    layout: Layout, inputs: LookupInputs, counts: Mapping[Table, Ints], pads: Ints, masks: Ints
) -> list[Ints]:
    """The data rows of A in order: activations, multiplicities, pads (total, 5), mask rows (10, w)."""
    w = layout.w
    segments = [stack_activation(inputs.placed[start], w) for start in sorted(inputs.placed)]
    for block in layout.tables:
        rows = np.zeros(block.rows * w, np.int32)
        rows[: block.table.size] = counts[block.table]
        segments.append(rows.reshape(-1, w))
    rows = np.zeros((layout.mask_start - layout.pad_start) * w, np.uint32)
    rows[: pads.size] = pads.reshape(-1)
    return [*segments, rows.reshape(-1, w), masks]
