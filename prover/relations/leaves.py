"""The leaf layer of a proof of relations: which integers every row looks up (protocol §6.5, §13)."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.runs import Run, RunCells, RunNumber, RunRepeated, RunSpread
from huref.circuits.argument.spaces import LookupSpace
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Matrix
from huref.common.algebra.kscalar import KS
from huref.prover.argument.lookup_leaves import LeafLayer, Store
from huref.prover.kernels.lookup.histogram import count_entries
from huref.prover.kernels.lookup.rows import HALVES, WORDS, split_words
from huref.prover.kernels.threads import run_tasks
from huref.prover.relations.values import Values

Ints = NDArray[Any]
_ROWS = 1 << 13


class RunValues:
    """The entries that runs look up, and how often they look up what."""

    def __init__(self, values: Values) -> None:
        self.values, self.w = values, values.w
        layout = values.layout
        self._by_row = sorted(
            (layout.placed[matrix.name].start, matrix) for matrix in layout.relations.matrices
        )
        self._starts = np.array([start for start, _ in self._by_row])

    def found(self, row: int) -> tuple[Matrix, int]:
        """The matrix that is committed at a row of A, and which of its rows it is."""
        at = int(np.searchsorted(self._starts, row, side="right")) - 1
        start, matrix = self._by_row[at]
        return matrix, row - start

    def rows(self, run: Run, operand: RunCells | RunRepeated | RunSpread) -> Ints:
        """An operand's entries, (rows, w) or (rows, 1) where all columns are the same."""
        matrix, first = self.found(operand.start)
        match operand:
            case RunCells():
                return self.values.stacked(matrix)[first : first + run.rows]
            case RunRepeated():
                once = self.values.stacked(matrix)[first : first + run.blocks * run.inner]
                shape = (run.blocks, run.outer, run.inner, run.heads, self.w)
                spread = np.broadcast_to(once.reshape(run.blocks, 1, run.inner, 1, self.w), shape)
                return spread.reshape(-1, self.w)
            case RunSpread():
                once = self.values.flat(matrix)
                return np.tile(once, run.blocks)[:, None]

    def varying(self, run: Run) -> list[RunCells | RunRepeated | RunSpread]:
        """The operands that are not public numbers."""
        return [operand for operand in run.operands if not isinstance(operand, RunNumber)]

    def count(self, space: LookupSpace) -> dict[Table, NDArray[np.int32]]:
        """How often each table entry is looked up, (size,) per table."""
        counts = {block.table: np.zeros(block.table.size, np.int32) for block in space.tables}
        parts = [(run, *part) for run in space.runs for part in _parts(run.rows)]
        for (run, *_), found in zip(parts, run_tasks(self._count, parts), strict=True):
            counts[run.table] += found
        return counts

    def _count(self, run: Run, start: int, stop: int) -> NDArray[np.int32]:
        """Counts of the rows start … stop − 1 of a run."""
        columns: list[Ints] = []
        for operand in run.operands:
            if isinstance(operand, RunNumber):
                inner = np.arange(start, stop) // run.heads % run.inner
                columns.append(np.array(operand.values, np.int32)[inner][:, None])
                continue
            rows = self.rows(run, operand)[start:stop]
            part = rows[:, : run.cols] if rows.shape[1] > 1 else rows
            offset = operand.offset if isinstance(operand, RunCells) else 0
            columns.append(part.astype(np.int32) + offset if offset else part)
        index = np.broadcast_to(run.table.index(tuple(columns)), (stop - start, run.cols))
        return count_entries(np.ascontiguousarray(index).reshape(-1), run.table.size)

    def jobs(self, run: Run) -> Iterator[tuple[tuple[int | None, ...], NDArray[np.int64]]]:
        """Groups of rows whose public numbers agree: the components (None where one is read), and the rows."""
        numbers = [operand.values for operand in run.operands if isinstance(operand, RunNumber)]
        inner = np.arange(run.rows) // run.heads % run.inner
        for combination in sorted(set(zip(*numbers, strict=True))) if numbers else [()]:
            left = iter(combination)
            components = tuple(
                next(left) if isinstance(operand, RunNumber) else None for operand in run.operands
            )
            mine = np.ones(run.inner, bool)
            for values, value in zip(numbers, combination, strict=True):
                mine &= np.array(values) == value
            yield components, np.flatnonzero(mine[inner])


def _parts(rows: int) -> list[tuple[int, int]]:
    """Rows in parts that are counted at a time."""
    return [(start, min(start + _ROWS, rows)) for start in range(0, rows, _ROWS)]


Counts = Mapping[Table, Ints]


class _Placed:
    """The operands of a space's runs as flat arrays: `halves` those whose entries fit 16 bits; the others are
    added to `words`, split. Entries that runs read as they are committed come first, then copies; `places` says
    of a run whether its operands are in `words`, and where each of them starts.
    """

    def __init__(self, operands: RunValues, space: LookupSpace, words: Store) -> None:
        self._operands, self._values = operands, operands.values
        halves = Store(np.int16)
        self._stores = {False: halves, True: words}
        read: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
        for run in space.runs:
            wide = self._wide(run)
            for operand in operands.varying(run):
                if (start := self._in_place(operand, wide)) is not None:
                    read[wide].append((start, start + run.rows * operands.w))
        self._spans = {
            False: [(low, halves.add(self._values.halves[low:high])) for low, high in _joined(read[False])],
            True: [
                (low, words.add(split_words(self._values.words[low:high])))
                for low, high in _joined(read[True])
            ],
        }
        self.places = {run.label: self._place(run) for run in space.runs}
        self.halves = halves.joined()

    def _wide(self, run: Run) -> bool:
        found = (self._operands.found(operand.start)[0] for operand in self._operands.varying(run))
        return any(self._values.wide[matrix.name] for matrix in found)

    def _in_place(self, operand: RunCells | RunRepeated | RunSpread, wide: bool) -> int | None:
        """Where an operand starts among the values of its width, if it can be read there."""
        matrix, first = self._operands.found(operand.start)
        if isinstance(operand, RunCells) and self._values.wide[matrix.name] == wide:
            return self._values.starts[matrix.name] + first * self._values.w
        return None

    def _place(self, run: Run) -> tuple[bool, list[int]]:
        wide, starts = self._wide(run), []
        for operand in self._operands.varying(run):
            if (start := self._in_place(operand, wide)) is not None:
                spans = self._spans[wide]
                low, at = spans[bisect(spans, start, key=lambda span: span[0]) - 1]
                starts.append(at + start - low)
                continue
            rows = np.broadcast_to(self._operands.rows(run, operand), (run.rows, self._values.w))
            copy = split_words(rows.astype(np.int32)) if wide else rows.astype(np.int16)
            starts.append(self._stores[wide].add(copy))
        return wide, starts


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of entries, those that meet as one."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return found


class RunLeaves(LeafLayer):
    """The leaf layer of a space of runs."""

    def __init__(self, operands: RunValues, space: LookupSpace, counts: Counts, alpha: KS, beta: KS) -> None:
        super().__init__(space, alpha, beta)
        placed, height = _Placed(operands, space, self._words), space.tile_rows
        for run in space.runs:
            wide, starts = placed.places[run.label]
            deltas = [start - starts[0] for start in starts[1:]]
            added = [getattr(operand, "offset", 0) for operand in run.operands]
            first = self._storage[run.tile] * height
            places = starts[0] + np.arange(run.rows) * space.w
            self._base.reshape(-1)[first : first + run.rows] = places
            for components, rows in operands.jobs(run):
                job = self._new_job(run.table, WORDS if wide else HALVES, run.cols, deltas, components, added)
                self._job.reshape(-1)[first + rows] = job
        for table in space.tables:
            self.add_table(table, counts[table.table])
        self.close(np.empty(0, np.int8), placed.halves)
