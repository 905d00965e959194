"""From a program's trace to committed rows, lookup leaves and multiplicities (protocol §4, §6.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.layout import Layout
from huref.circuits.argument.spaces import (
    Block,
    Cells,
    Constant,
    HeadSums,
    LookupSpace,
    Quotient,
    Repeated,
    Steps,
    WeightBlock,
)
from huref.circuits.program.evaluate import Trace
from huref.circuits.program.tables import Table
from huref.prover.kernels.lookup.histogram import count_digits, count_entries
from huref.prover.kernels.threads import run_tasks

Ints = NDArray[Any]
Varying = Cells | Repeated | Steps | HeadSums | Quotient


def stack_activation(values: Ints, w: int) -> Ints:
    """Rows of A for a (rows × cols) matrix: column block after column block, padding zero."""
    rows, cols = values.shape
    blocks = -(-cols // w)
    padded = np.zeros((rows, blocks * w), values.dtype)
    padded[:, :cols] = values
    return np.ascontiguousarray(padded.reshape(rows, blocks, w).swapaxes(0, 1)).reshape(-1, w)


@dataclass(frozen=True)
class LookupInputs:
    """Integer values behind every operand of every lookup block.

    `stacked` holds them as rows of A, by first row there or, for quotients, site and shift. Those that fit 16 bits
    are views of `halves`, from the entry that `starts` tells.
    """

    layout: Layout
    weights: Ints  # stacked data rows of W
    placed: Mapping[int, Ints]  # by first row in A
    trace: Trace
    halves: NDArray[np.int16]
    stacked: Mapping[int | tuple[str, int], Ints]
    starts: Mapping[int | tuple[str, int], int]

    def operand(self, block: Block, operand: Varying) -> Ints:
        """Values of one operand over the block, (rows × cols)."""
        match operand:
            case Cells(placed):
                return self.placed[placed.start][: block.rows]
            case Repeated(placed):
                return np.broadcast_to(self.placed[placed.start], (block.rows, block.cols))
            case Steps(influence):
                return self.trace.influences[influence].steps.astype(np.int16)[None]
            case HeadSums(name):
                share = self.layout.program.share[name]
                outs = {site: trace.out for site, trace in self.trace.sites.items()}
                return share.counts(self.trace.rows[share.of], outs).astype(np.int32)[None]
            case Quotient(site, shift, _):
                trace = self.trace.sites[site]
                if shift == trace.shift:
                    return trace.quotient
                if trace.below is None:
                    raise ValueError(f"{site} has no finer quotient")
                return trace.below.quotient

    def start(self, block: Block, operand: Varying) -> int | None:
        """Where the operand's values, stacked over the block's own rows, start in `halves`; None if not there."""
        if isinstance(operand, Repeated | Steps | HeadSums):
            return None
        key = operand.placed.start if isinstance(operand, Cells) else (operand.site, operand.shift)
        whole = len(self.stacked[key]) == block.rows * block.blocks
        return self.starts.get(key) if whole else None

    def whole_rows(self, block: WeightBlock) -> Ints:
        """A view of the first entry rows, those that no virtual zero is part of, (arity × rows × w)."""
        count = max(0, block.count - (block.table.arity - 1) * block.rows)
        first = self.weights[block.start : block.start + count]
        shape, step = (block.table.arity, *first.shape), block.rows * first.strides[0]
        return np.lib.stride_tricks.as_strided(first, shape, (step, *first.strides), writeable=False)

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
    for name, row in layout.rows_of.items():
        placed[row.start] = trace.rows[name].astype(np.int16)[None]
    return LookupInputs(layout, weights, placed, trace, *_stack(layout, placed, trace))


def _stack(
    layout: Layout, placed: Mapping[int, Ints], trace: Trace
) -> tuple[NDArray[np.int16], dict[Any, Ints], dict[Any, int]]:
    """`halves`, `stacked` and `starts` of `LookupInputs`."""
    operands: dict[int | tuple[str, int], Ints] = dict(sorted(placed.items()))
    for name, site in trace.sites.items():
        operands[name, site.shift] = site.quotient
        if site.below is not None:
            operands[name, site.shift - 1] = site.below.quotient
    w, small, starts, rows = layout.w, np.iinfo(np.int16), dict[Any, int](), 0
    for key, values in operands.items():
        if values.min() > small.min and values.max() <= small.max:
            starts[key] = rows * w
            rows += len(values) * -(-values.shape[1] // w)
    halves = np.empty(rows * w, np.int16)

    def fill(key: int | tuple[str, int]) -> Ints:
        stacked = stack_activation(operands[key], w)
        if key not in starts:
            return stacked
        target = halves[starts[key] :][: stacked.size].reshape(-1, w)
        target[:] = stacked
        return target

    return halves, dict(zip(operands, run_tasks(fill, [(key,) for key in operands]), strict=True)), starts


def multiplicities(inputs: LookupInputs, space: LookupSpace) -> dict[Table, NDArray[np.int32]]:
    """How often each table entry is looked up in a space, (size,) per table."""
    counts: dict[Table, NDArray[np.int32]] = {}
    for weights in space.weight_blocks:
        whole = inputs.whole_rows(weights)
        rest = inputs.weight_rows(weights, len(whole[0]), weights.rows - len(whole[0]))
        found = count_digits(whole, weights.table.parameters[0])
        np.add.at(
            found, weights.table.index(tuple(rest)).reshape(-1), 1
        )  # a row or two: no table of their own
        _add(counts, weights.table, found)

    def count(block: Block) -> NDArray[np.int32]:
        values = [
            operand.value if isinstance(operand, Constant) else inputs.operand(block, operand)
            for operand in block.operands
        ]
        return count_entries(block.table.index(tuple(values)).reshape(-1), block.table.size)

    for block, found in zip(space.blocks, run_tasks(count, [(b,) for b in space.blocks]), strict=True):
        _add(counts, block.table, found)
    return {block.table: counts[block.table] for block in space.tables}


def _add(counts: dict[Table, NDArray[np.int32]], table: Table, found: NDArray[np.int32]) -> None:
    if table in counts:
        counts[table] += found
    else:
        counts[table] = found


def proof_segments(
    layout: Layout, inputs: LookupInputs, counts: Sequence[Mapping[Table, Ints]], pads: Ints, masks: Ints
) -> list[Ints]:
    """The data rows of A in order: activations, multiplicities, pads (total, 5), mask rows (10, w)."""
    segments = [inputs.stacked[start] for start in sorted(inputs.placed)]
    hidden = layout.mask_start - layout.pad_start
    return [*segments, *closing_segments(layout.spaces, layout.w, hidden, counts, pads), masks]


def closing_segments(
    spaces: Sequence[LookupSpace],
    w: int,
    hidden: int,
    counts: Sequence[Mapping[Table, Ints]],
    pads: Ints,
) -> list[Ints]:
    """What follows a proof's own integers in A: multiplicities by space, and `hidden` rows of pads (total, 5)."""
    segments = []
    for space, counted in zip(spaces, counts, strict=True):
        for block in space.tables:
            rows = np.zeros(block.rows * w, np.int32)
            rows[: block.table.size] = counted[block.table]
            segments.append(rows.reshape(-1, w))
    rows = np.zeros(hidden * w, np.uint32)
    rows[: pads.size] = pads.reshape(-1)
    return [*segments, rows.reshape(-1, w)]
