"""What a program measures on the model and publishes: how much every neuron counts, and ratios of two sums.

Both are found by the prover, published with the statement and proven: caps by counts of influences, ratios by the two
sums (protocol §3.6). The program's numbers follow from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.influence import (
    ALIVE,
    IDLE,
    Cap,
    Int64,
    find_cap,
    multipliers,
    octave_values,
    root_of,
)
from huref.circuits.program.tables import Table


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
    """A committed row `name` of `cols` multipliers μ, which follow from the sums of `steps` and from their median.

    μ is at most 2^bits; the cap is `interpolated` inside its octave or not. Where `gate` names another row and its
    multiplier is 0, `IDLE` is added to the influence. `number` tells the tables of different rows apart.
    """

    name: str
    number: int
    cols: int
    steps: tuple[StepRead, ...]
    bits: int
    interpolated: bool
    gate: str = ""

    def gated(self, steps: Int64, rows: Mapping[str, Int64]) -> Int64:
        """The influences (cols,) of sums of steps, given the `rows` of multipliers found before."""
        return steps + IDLE * (rows[self.gate] == 0) if self.gate else steps

    def find(self, influence: Int64) -> tuple[Cap, Int64]:
        """The canonical cap, and μ."""
        cap = find_cap(influence)
        return cap, multipliers(influence, cap, self.bits, interpolated=self.interpolated)

    def values(self, cap: Cap) -> tuple[int, ...]:
        """All multipliers that there can be, ascending."""
        return octave_values(root_of(cap, self.interpolated), self.bits)

    def table(self, caps: Mapping[str, Cap], gate: Influence | None) -> Table:
        """The table of (influence, μ), or of (sum of the steps, the gate's μ, μ)."""
        cap, low = caps[self.name], -128 * len(self.steps)
        others = () if gate is None else gate.values(caps[gate.name])
        root = root_of(cap, self.interpolated)
        return Table("octaves", (self.number, cap.octave, root, self.bits, low, -low - 1, *others))

    def counted(self, caps: Mapping[str, Cap], table: Table) -> Sequence[tuple[int, NDArray[np.bool_]]]:
        """The three published counts, with the table's entries that each of them counts."""
        cap, influence = caps[self.name], table.influences()
        edges = ((cap.alive, ALIVE), (cap.at, cap.octave), (cap.above, cap.octave + 1))
        return [(count, influence >= edge) for count, edge in edges]


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
