"""Σ eq and Σ eq·component over the entries of a lookup table, at a point of the leaf layer (protocol §6.5).

Tables of straight pieces, digits and limbs have closed forms in the point's coordinates. Of others every component
is a straight line plus steps where there are few of these, else it is summed entry by entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Array
from huref.circuits.program.tables import Table
from huref.common.algebra.field import kadd, kdot, kmatvec, kmul, kzero, reduce
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_index, eq_table, log2_ceil, prefix_sums

_FOLDED = 12  # last coordinates whose eq values are made; the others' are made apart
_STEP = 8  # entries of a dense sum that cost what a step costs


class TableSums:
    """The sums of all tables at one point."""

    def __init__(self, point: Sequence[KS]) -> None:
        self._point = list(point)

    def of(self, table: Table, start: int) -> tuple[KS, list[KS]]:
        """Σ eq, and Σ eq·x for every component x, of a table whose first entry is number `start`, a multiple of its
        size rounded up to a power of two.
        """
        bits = log2_ceil(table.size)
        cut = len(self._point) - bits
        top, local = eq_index(self._point[:cut], start >> bits), self._point[cut:]
        match table.kind:
            case "digits":
                mass, sums = KS(1), _digit_sums(table, local)
            case "limbs":
                mass, sums = KS(1), _limb_sums(table, local)
            case _ if table.straight:
                mass, sums = _line_sums(table, local)
            case _:
                mass, sums = self._component_sums(table, local)
        return top * mass, [top * value for value in sums]

    @cached_property
    def _low(self) -> tuple[Array, Array]:
        """`_eq_and_before` of the last coordinates, which large tables share."""
        return _eq_and_before(self._point[-_FOLDED:])

    def _component_sums(self, table: Table, point: Sequence[KS]) -> tuple[KS, list[KS]]:
        """Any table's, its columns read."""
        mass, moment = prefix_sums(point, table.size)
        cut = max(0, len(point) - _FOLDED)
        eq = _SplitEq(eq_table(point[:cut]), self._low if cut else _eq_and_before(point))
        values = []
        for column in table.columns():
            found = _line_and_steps(column)
            if found is None:
                values.append(eq.dot(column))
            else:
                slope, last, at, jumps = found
                values.append(moment * slope + mass * last - eq.steps(at, jumps))
        return mass, values


def _line_sums(table: Table, point: Sequence[KS]) -> tuple[KS, list[KS]]:
    found: dict[int, tuple[KS, KS]] = {}

    def until(count: int) -> tuple[KS, KS]:
        if count not in found:
            found[count] = prefix_sums(point, count)
        return found[count]

    values = []
    for lines in table.lines():
        value = KS(0)
        for line in lines:
            (mass0, moment0), (mass1, moment1) = until(line.start), until(line.stop)
            value += (moment1 - moment0) * line.slope + (mass1 - mass0) * line.offset
        values.append(value)
    return until(table.size)[0], values


def _digit_sums(table: Table, point: Sequence[KS]) -> list[KS]:
    """Σ eq·digit for every digit: a bit's sum is its coordinate."""
    bits, count = table.parameters
    values = []
    for m in range(count):
        value = KS(-(1 << (bits - 1)))
        for bit in range(bits):
            value += point[(m + 1) * bits - 1 - bit] * (1 << bit)
        values.append(value)
    return values


def _limb_sums(table: Table, point: Sequence[KS]) -> list[KS]:
    """Σ eq·limb for both limbs; the number of high ones is a power of two."""
    height, bits = table.parameters
    cut = len(point) - bits
    parts = (point[:cut], -height), (point[cut:], -(1 << (bits - 1)))
    return [
        sum((x * (1 << (len(part) - 1 - i)) for i, x in enumerate(part)), KS(offset))
        for part, offset in parts
    ]


Steps = tuple[int, int, NDArray[np.int64], NDArray[np.int64]]


def _line_and_steps(column: NDArray[np.int32]) -> Steps | None:
    """A column as slope·index + steps, if these are few: the slope, the last entry less the line, where the rest
    jumps and by how much.
    """
    wide = column.astype(np.int64)
    differences = wide[1:] - wide[:-1]
    for slope in (0, 1):
        at = np.flatnonzero(differences != slope)
        if len(at) * _STEP <= len(column):
            last = int(column[-1]) - slope * (len(column) - 1)
            return slope, last, at + 1, differences[at] - slope
    return None


class _SplitEq:
    """eq(point, ·), entries split into high and low bits."""

    def __init__(self, high: Array, low: tuple[Array, Array]) -> None:
        self._high, self._high_before = high, _running(high)
        self._low, self._low_before = low

    def dot(self, column: NDArray[np.int32]) -> KS:
        """Σ eq·column over the first entries, low bits folded first: no table of all eq values is made."""
        count = len(self._low)
        padded = np.zeros(-(-len(column) // count) * count, column.dtype)
        padded[: len(column)] = column
        folded = kmatvec(padded.reshape(-1, count), self._low)
        return KS.from_array(kdot(folded, self._high[: len(folded)]))

    def steps(self, at: NDArray[np.int64], jumps: NDArray[np.int64]) -> KS:
        """Σ jumps·(Σ eq of the entries before `at`)."""
        high, low = np.divmod(at, len(self._low))
        before = kadd(self._high_before[high], kmul(self._high[high], self._low_before[low]))
        return KS.from_array(kmatvec(jumps[None], before)[0])


def _eq_and_before(point: Sequence[KS]) -> tuple[Array, Array]:
    """eq(point, ·), and its sums over all entries before each."""
    eq = eq_table(point)
    return eq, _running(eq)


def _running(values: Array) -> Array:
    """Sums of all values before each, (n, 5) to (n, 5)."""
    sums = reduce(np.cumsum(values[:-1], axis=0))  # far fewer than 2^33 values
    return np.concatenate([kzero((1,)), sums])
