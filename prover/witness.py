"""From a program's trace to committed rows, lookup leaves and multiplicities (protocol §4, §6.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.evaluate import SiteTrace, Trace
from circuits.layout import Block, Cells, Constant, Layout, Placed, Quotient, TableBlock, WeightBlock
from circuits.tables import Table
from common.field import DEGREE, P
from common.kscalar import KS
from prover.kernels import gkr
from prover.kernels.field import ONE, U32, to_mont
from prover.kernels.histogram import count_digits
from prover.kernels.threads import run_tasks

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

    def operand(self, block: Block, operand: Cells | Quotient) -> Ints:
        """Values of one operand over the block, (rows × cols)."""
        match operand:
            case Cells(placed):
                return self.placed[placed.start][: block.rows]
            case Quotient(site, shift, _):
                trace = self.sites[site]
                if shift == trace.shift:
                    return trace.quotient
                if trace.below is None:
                    raise ValueError(f"{site} has no finer quotient")
                return trace.below.quotient

    def weight_rows(self, block: WeightBlock, first: int, count: int) -> Ints:
        """Weights looked up by entry rows first … first + count − 1, (arity × count × w)."""
        out = np.zeros((block.table.arity, count, self.layout.w), self.weights.dtype)
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
        count(
            block.table,
            [
                operand.value if isinstance(operand, Constant) else inputs.operand(block, operand)
                for operand in block.operands
            ],
        )
    for weights in layout.weight_blocks:
        for first in range(0, weights.rows, layout.tile_rows):
            rows = min(layout.tile_rows, weights.rows - first)
            values = inputs.weight_rows(weights, first, rows)
            count_digits(counts[weights.table], values, weights.table.parameters[0])
    return counts


@dataclass(frozen=True)
class _Job:
    """Fractions to write into one tile: `rows` entry rows from local entry `at`, values read when filled."""

    at: int
    scales: U32
    offset: U32
    read: Callable[[], list[Ints]]
    counts: Ints | None = None  # a table's multiplicities, negated into the numerators


class Leaves:
    """The leaf layer of the fraction tree, made on demand tile by tile (protocol §6.5)."""

    def __init__(self, inputs: LookupInputs, counts: Mapping[Table, Ints], alpha: KS, beta: KS) -> None:
        self.layout, self._alpha = inputs.layout, alpha
        self._powers = [beta**i for i in range(4)]
        starts = np.cumsum([0, *(count for _, count in self.layout.tiles)])
        self._storage = {first: int(at) for (first, _), at in zip(self.layout.tiles, starts, strict=False)}
        self.tiles = int(starts[-1])
        self._jobs: list[list[_Job]] = [[] for _ in range(self.tiles)]
        for block in self.layout.blocks:
            self._add_block(inputs, block)
        for weights in self.layout.weight_blocks:
            self._add_weights(inputs, weights)
        for table in self.layout.tables:
            self._add_table(table, counts[table.table])

    def batch(self, first: int, count: int) -> tuple[U32, U32]:
        """Numerators (n,) and denominators (5, n) of `count` stored tiles, absent cells 0/1, Montgomery form."""
        size = self.layout.tile_size
        p = np.zeros(count * size, np.uint32)
        q = np.zeros((DEGREE, count * size), np.uint32)
        q[0] = ONE
        run_tasks(self._fill_tile, [(p, q, first + tile, tile * size) for tile in range(count)])
        return p, q

    def _fill_tile(self, p: U32, q: U32, tile: int, start: int) -> None:
        for job in self._jobs[tile]:
            at = start + job.at
            values = job.read()
            stacked = np.empty((len(values), *values[0].shape), np.uint32)
            for m, value in enumerate(values):
                np.add(value, LIFT, out=stacked[m], dtype=np.int32, casting="unsafe")
            gkr.fill(p, q, stacked, job.scales, job.offset, at, self.layout.w)
            if job.counts is not None:
                p[at : at + len(job.counts)] = to_mont(np.mod(-job.counts, np.int64(P)))

    def _job(
        self,
        table: Table,
        at: int,
        constants: Sequence[int | None],
        read: Callable[[], list[Ints]],
        counts: Ints | None = None,
    ) -> _Job:
        """A job for tuples whose m-th component is `constants[m]` or, where that is None, read."""
        offset = self._alpha - self.layout.tag(table)
        scales = []
        for power, constant in zip(self._powers[1:], constants, strict=False):
            if constant is None:
                scales.append(-power)
                offset += power * int(LIFT)
            else:
                offset -= power * constant
        doubled = to_mont(to_mont(np.array([tuple(scale) for scale in scales], np.uint64)))
        return _Job(at, doubled, to_mont(offset.array()), read, counts)

    def _add_block(self, inputs: LookupInputs, block: Block) -> None:
        w = self.layout.w
        constants = [operand.value if isinstance(operand, Constant) else None for operand in block.operands]
        varying = [operand for operand in block.operands if not isinstance(operand, Constant)]
        for j in range(block.blocks):

            def read(j: int = j) -> list[Ints]:
                return [inputs.operand(block, operand)[:, j * w : (j + 1) * w] for operand in varying]

            job = self._job(block.table, block.row * w, constants, read)
            self._jobs[self._storage[block.tile] + j].append(job)

    def _add_weights(self, inputs: LookupInputs, block: WeightBlock) -> None:
        step = self.layout.tile_rows
        for j, first in enumerate(range(0, block.rows, step)):

            def read(first: int = first) -> list[Ints]:
                return list(inputs.weight_rows(block, first, min(step, block.rows - first)))

            job = self._job(block.table, 0, [None] * block.table.arity, read)
            self._jobs[self._storage[block.tile] + j].append(job)

    def _add_table(self, block: TableBlock, counts: Ints) -> None:
        size = self.layout.tile_size
        for j, first in enumerate(range(0, block.table.size, size)):
            part = slice(first, min(first + size, block.table.size))

            def read(part: slice = part) -> list[Ints]:
                return [column[None, :] for column in block.table.columns(part.start, part.stop)]

            job = self._job(block.table, 0, [None] * block.table.arity, read, counts[part])
            self._jobs[self._storage[block.tile] + j].append(job)


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
