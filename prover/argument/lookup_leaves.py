"""Which integers every row of the lookup's leaf layer looks up, and how (protocol §6.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.spaces import (
    Block,
    Constant,
    LookupSpace,
    TableBlock,
    WeightBlock,
)
from huref.circuits.program.tables import Table
from huref.common.algebra.kscalar import KS
from huref.prover.argument.witness import LookupInputs, Varying, stack_activation
from huref.prover.kernels.field.field import U32, to_mont
from huref.prover.kernels.lookup.rows import (
    COMPONENTS,
    DIGITS,
    HALVES,
    LIFT,
    WEIGHTS,
    WORDS,
    LeafRows,
    fill_tiles,
    job_constants,
    pair_count,
    split_words,
)

Ints = NDArray[Any]
_TABLE_RUN = 1 << 16


class LeafLayer:
    """The leaf layer's rows of a space; `rows` is what the kernels read, once `close` has been called."""

    rows: LeafRows

    def __init__(self, space: LookupSpace, alpha: KS, beta: KS) -> None:
        self.space, self._alpha = space, alpha
        self._powers = [beta**i for i in range(1 + COMPONENTS)]
        starts = np.cumsum([0, *(count for _, count in space.tiles)])
        self._storage = {first: int(at) for (first, _), at in zip(space.tiles, starts, strict=False)}
        self.tiles = int(starts[-1])
        shape = (self.tiles, space.tile_rows)
        self._job, self._base = np.full(shape, -1, np.int32), np.zeros(shape, np.int64)
        self._numerator = np.full(shape, -1, np.int64)
        self._jobs: list[tuple[int, int, list[int], int, U32]] = []
        self._words, self._digits, self._counts = Store(np.uint32), Store(np.int8), Store(np.int32)

    def batch(self, first: int, count: int) -> tuple[U32, U32]:
        """Numerators (n,) and denominators (5, n) of `count` stored tiles, absent cells 0/1, Montgomery form."""
        return fill_tiles(self.rows, first, count)

    def close(self, weights: Ints, halves: Ints) -> None:
        """Make `rows`; signed bytes of the weights and 16-bit integers are read from these."""
        kinds, cols, deltas, pairs, scales = (np.array(part) for part in zip(*self._jobs, strict=True))
        kinds = kinds.astype(np.int32)
        self.rows = LeafRows(
            job=self._job,
            base=self._base,
            numerator=self._numerator,
            kind=kinds,
            cols=cols,
            deltas=deltas,
            pairs=pairs,
            scales=scales,
            constants=job_constants(kinds, scales),
            weights=(weights if weights.dtype == np.int8 else np.empty(0, np.int8)).reshape(-1),
            digits=self._digits.joined(),
            halves=halves,
            words=self._words.joined(),
            counts=self._counts.joined(),
            w=self.space.w,
        )

    def _new_job(
        self,
        table: Table,
        kind: int,
        cols: int,
        deltas: Sequence[int],
        constants: Sequence[int | None],
        added: Sequence[int] = (),
    ) -> int:
        """A job for tuples whose m-th component is `constants[m]` or, where that is None, read; plus `added[m]`."""
        offset = self._alpha - self.space.tag(table)
        scales = []
        for power, constant in zip(self._powers[1:], constants, strict=False):
            if constant is None:
                scales.append(-power)
                offset += power * LIFT[kind]
            else:
                offset -= power * constant
        for power, number in zip(self._powers[1:], added, strict=False):
            offset -= power * number
        zeros = [KS(0)] * (COMPONENTS - len(scales))
        made = to_mont(np.array([tuple(value) for value in (*scales, *zeros, offset)], np.uint64))
        padded = [*deltas, *[0] * (COMPONENTS - 1 - len(deltas))]
        self._jobs.append((kind, cols, padded, pair_count(kind, len(scales)), made))
        return len(self._jobs) - 1

    def add_table(self, block: TableBlock, counts: Ints) -> None:
        """Add a table's own fractions, with its multiplicities."""
        w, table = self.space.w, block.table
        padded = block.rows * w
        kind, store = (DIGITS, self._digits) if table.kind == "digits" else (WORDS, self._words)
        columns = np.zeros((table.arity, padded), np.int8 if kind == DIGITS else np.int32)
        for first in range(0, table.size, _TABLE_RUN):
            part = slice(first, min(first + _TABLE_RUN, table.size))
            for column, values in zip(columns, table.columns(part.start, part.stop), strict=True):
                column[part] = values
        start = store.add((columns if kind == DIGITS else split_words(columns)).reshape(-1))
        at = self._counts.add(np.asarray(counts, np.int32))
        deltas, reading = [m * padded for m in range(1, table.arity)], [None] * table.arity
        whole = self._new_job(table, kind, w, deltas, reading)
        tail = table.size - (block.rows - 1) * w
        first = self._storage[block.tile] * self.space.tile_rows
        run = slice(first, first + block.rows)
        places = np.arange(block.rows) * w
        self._base.reshape(-1)[run], self._numerator.reshape(-1)[run] = start + places, at + places
        self._job.reshape(-1)[run] = whole
        if tail < w:
            self._job.reshape(-1)[first + block.rows - 1] = self._new_job(table, kind, tail, deltas, reading)


class Leaves(LeafLayer):
    """The leaf layer of a space of sites, and of weights."""

    def __init__(
        self, inputs: LookupInputs, space: LookupSpace, counts: Mapping[Table, Ints], alpha: KS, beta: KS
    ) -> None:
        super().__init__(space, alpha, beta)
        self._inputs = inputs
        for block in space.blocks:
            self._add_block(block)
        for weights in space.weight_blocks:
            self._add_weights(weights)
        for table in space.tables:
            self.add_table(table, counts[table.table])
        self.close(inputs.weights, inputs.halves)

    def _add_block(self, block: Block) -> None:
        w = self.space.w
        constants = [operand.value if isinstance(operand, Constant) else None for operand in block.operands]
        varying = [operand for operand in block.operands if not isinstance(operand, Constant)]
        kind, starts = HALVES, [self._inputs.start(block, operand) for operand in varying]
        bases = [start for start in starts if start is not None]
        if len(bases) < len(varying):
            kind, bases = WORDS, [self._place(block, operand) for operand in varying]
        deltas = [base - bases[0] for base in bases[1:]]
        whole = self._new_job(block.table, kind, w, deltas, constants)
        tail = block.cols - (block.blocks - 1) * w
        last = whole if tail == w else self._new_job(block.table, kind, tail, deltas, constants)
        tile, rows = self._storage[block.tile], slice(block.row, block.row + block.rows)
        places = np.arange(block.blocks * block.rows).reshape(block.blocks, block.rows) * w
        self._base[tile : tile + block.blocks, rows] = bases[0] + places
        self._job[tile : tile + block.blocks, rows] = whole
        self._job[tile + block.blocks - 1, rows] = last

    def _place(self, block: Block, operand: Varying) -> int:
        """Where the operand's values start among the words, stacked as in A over the block's own rows."""
        return self._words.add(
            split_words(stack_activation(self._inputs.operand(block, operand), self.space.w))
        )

    def _add_weights(self, block: WeightBlock) -> None:
        arity, w, height = block.table.arity, self.space.w, self.space.tile_rows
        if self._inputs.weights.dtype == np.int8:
            whole = self._inputs.whole_rows(block).shape[1]
            job = self._new_job(
                block.table, WEIGHTS, w, [m * block.rows * w for m in range(1, arity)], [None] * arity
            )
        else:
            whole, job = 0, -1
        rest = self._inputs.weight_rows(block, whole, block.rows - whole)
        start = self._words.add(split_words(rest).reshape(-1))
        steps = [m * (block.rows - whole) * w for m in range(1, arity)]
        spare = self._new_job(block.table, WORDS, w, steps, [None] * arity)
        index = np.arange(block.rows)
        first = self._storage[block.tile] * height
        run = slice(first, first + block.rows)
        self._job.reshape(-1)[run] = np.where(index < whole, job, spare)
        self._base.reshape(-1)[run] = np.where(
            index < whole, (block.start + index) * w, start + (index - whole) * w
        )


class Store:
    """Arrays laid end to end."""

    def __init__(self, dtype: Any) -> None:
        self._dtype, self._parts, self._length = dtype, list[Ints](), 0

    def add(self, values: Ints) -> int:
        """Append flat `values`; returns where they start."""
        start = self._length
        self._parts.append(values.reshape(-1))
        self._length += values.size
        return start

    def joined(self) -> Ints:
        """All of it in one array; the store is empty afterwards."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, self._dtype), *parts])
