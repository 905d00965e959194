"""What a program measures on the model: how much every neuron and head counts, and ratios of sums.

Caps of influences and the two sums of a ratio are published with the statement and proven (protocol §3.6). The
program's numbers follow from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.influence import (
    ALIVE,
    ALONE,
    MEDIAN,
    Cap,
    Int64,
    find_cap,
    lost,
    octave_values,
    octaves,
    root_of,
)
from huref.circuits.program.tables import Table
from huref.common.distinct import distinct


@dataclass(frozen=True)
class StepRead:
    """Entries of committed rows of steps, laid end to end: entry f is at place `index[f]` of the tensors' columns."""

    tensors: tuple[str, ...]
    index: NDArray[np.int64]

    def read(self, values: Mapping[str, NDArray[np.integer]]) -> Int64:
        """The steps, (len(index),)."""
        joined = np.concatenate([values[name].reshape(-1) for name in self.tensors])
        return np.asarray(joined[self.index], np.int64)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, StepRead)
            and self.tensors == other.tensors
            and np.array_equal(self.index, other.index)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Influence:
    """A committed row `name` of `cols` multipliers μ, which follow from the sums of `steps` and a quantile of these.

    μ is 2^bits from `above` octaves over the cap's quantile on; the cap is `interpolated` inside its octave or not,
    `quarters` is that of `Cap`. Where `gate`
    names another row of as many bits, what its multiplier takes is added to the influence (`lost`). `number` tells the
    tables of different rows apart.
    """

    name: str
    number: int
    cols: int
    steps: tuple[StepRead, ...]
    bits: int
    interpolated: bool
    gate: str = ""
    quarters: int = MEDIAN
    above: int = 1

    def gated(self, steps: Int64, rows: Mapping[str, Int64]) -> Int64:
        """The influences (cols,) of sums of steps, given the `rows` of multipliers found before."""
        return steps + lost(rows[self.gate], self.bits) if self.gate else steps

    def find(self, influence: Int64) -> tuple[Cap, Int64]:
        """The canonical cap, and μ."""
        cap = find_cap(influence, self.quarters)
        return cap, self.multiplied(influence, cap)

    def multiplied(self, influence: Int64, cap: Cap) -> Int64:
        """μ under a cap."""
        return octaves(influence, cap.octave + self.above - 1, self._root(cap), self.bits)

    def values(self, cap: Cap) -> tuple[int, ...]:
        """All multipliers that there can be, ascending."""
        return octave_values(self._root(cap), self.bits)

    def table(self, caps: Mapping[str, Cap], gate: Influence | None) -> Table:
        """The table of (influence, μ), or of (sum of the steps, the gate's μ, μ)."""
        cap, low = caps[self.name], -128 * len(self.steps)
        others = () if gate is None else gate.values(caps[gate.name])
        head = (self.number, cap.octave + self.above - 1, self._root(cap), self.bits, low, -low - 1)
        return Table("octaves", (*head, *others))

    def counted(self, caps: Mapping[str, Cap], table: Table) -> Sequence[tuple[int, NDArray[np.bool_]]]:
        """The three published counts, with the table's entries that each of them counts."""
        cap, influence = caps[self.name], table.influences()
        edges = ((cap.alive, ALIVE), (cap.at, cap.octave), (cap.above, cap.octave + 1))
        return [(count, influence >= edge) for count, edge in edges]

    def head_root(self, cap: Cap) -> int:
        """2^16 over how far its quantile lies above its octave, by which heads are bounded."""
        return root_of(cap, True, self.quarters)

    def _root(self, cap: Cap) -> int:
        return root_of(cap, self.interpolated, self.quarters)


@dataclass(frozen=True)
class HeadBound:
    """A committed row `name` of multipliers in units of 2^−bits: those of the influence `of`, `width` of them a head,
    divided where a head's mean is above one and above the cap's quantile.
    """

    name: str
    of: str
    width: int
    bits: int

    def counts(self, before: Int64, _: Mapping[str, NDArray[np.integer]]) -> Int64:
        """The sum of a head's multipliers, one for every multiplier."""
        return np.repeat(before.reshape(-1, self.width).sum(axis=1), self.width)

    def table(self, before: Sequence[int], root: int) -> Table:
        """The table of (sum, multiplier before, multiplier), given all that there can be before and the cap's root."""
        return Table("bounds", (before[-1] * self.width, root, self.width << self.bits, *before))


@dataclass(frozen=True)
class Share:
    """A committed row `name` of multipliers: those of the row `of`, divided among heads that are alike.

    `width` of them belong to a head, and the sum of its column of the site `likeness` says how many heads it is like,
    in units of 1/`ALONE`; there are `heads` heads in a layer.
    """

    name: str
    of: str
    likeness: str
    width: int
    heads: int

    def counts(self, _: Int64, values: Mapping[str, NDArray[np.integer]]) -> Int64:
        """The sums of the columns, one for every multiplier."""
        return np.repeat(values[self.likeness].sum(axis=0, dtype=np.int64), self.width)

    def table(self, before: Sequence[int], _: int) -> Table:
        """The table of (sum of likenesses, multiplier before, multiplier), given all that there can be before."""
        return Table("shares", (ALONE * self.heads, *before))


HeadRow = HeadBound | Share


def all_values(table: Table) -> tuple[int, ...]:
    """All multipliers that there can be in a row that is looked up in this table, ascending."""
    return tuple(distinct(table.columns()[-1]).tolist())


@dataclass(frozen=True)
class Ratio:
    """The published sums a = Σ value·base and b = Σ base² over the first `rows` rows of two sites.

    `value` may have as many columns as base several times: its blocks are summed first. Their ratio in units of
    2^−bits is `weight`.
    """

    name: str
    value: str
    base: str
    rows: int
    bits: int
    clamp: int

    def weight(self, sums: tuple[int, int]) -> int:
        """The integer ⌊(2^(bits+1)·a + b) / 2b⌋ of (a, b), clamped to ±clamp; 0 if b = 0. b ≥ 0."""
        a, b = sums
        if b == 0:
            return 0
        return max(-self.clamp, min(self.clamp, ((a << (self.bits + 1)) + b) // (2 * b)))

    def compared(self, values: Mapping[str, NDArray[np.integer]]) -> tuple[Int64, Int64]:
        """The rows of value, its blocks summed, and of base, (rows, columns of base) each."""
        base = values[self.base][: self.rows].astype(np.int64)
        value = values[self.value][: self.rows].astype(np.int64)
        return value.reshape(len(base), -1, base.shape[1]).sum(axis=1), base

    def sums(self, values: Mapping[str, NDArray[np.integer]]) -> tuple[int, int]:
        """(a, b), exact."""
        value, base = self.compared(values)
        return int((value * base).sum()), int((base * base).sum())
