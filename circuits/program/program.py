"""The integer program as data: typed nodes that the executors run and the proof system proves.

A program reads committed `weights`, runs `sites` in order and ends in an `Output`. Every site computes one
accumulator matrix and re-quantizes it (protocol §3.3); its result is an activation matrix named after the
site, with entries in [low, clamp]. Matrices are `rows × cols`; a weight keeps one row per output neuron and
its columns run over the hidden dimension. Nothing here depends on weights' values: the verifier compiles
the same program from the public statement (protocol §2).

Notation: `inner` is the index that a product sums over; `acc` the accumulator before rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.measured import HeadBound, HeadRow, Influence, Ratio

OUTPUTS = 512
"""Length of the fingerprint vector v."""
MAX_CALIBRATION_ROWS = 64
CALIBRATION_TARGET = 26
"""Mean |out| over the calibration rows stays below this (protocol §3.3): a Gaussian rms just under 32."""


def _power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


@dataclass(frozen=True)
class Weight:
    """A committed tensor, (rows × cols) signed `bits`-bit integers, of at most 8 bits.

    `parts`, if given, are tensors that are committed one after the other and that it is the rows of.
    """

    name: str
    rows: int
    cols: int
    bits: int = 8
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.bits <= 8:
            raise ValueError(f"{self.name}: weights have 1 to 8 bits, not {self.bits}")

    @property
    def bound(self) -> int:
        """Largest absolute value the range check admits."""
        return 1 << (self.bits - 1)


@dataclass(frozen=True)
class View:
    """A matrix read through a public map of its columns: column x of the view is column `index[x]`.

    `plain` is the identity. With grouped key/value heads of width `head_dim`, `repeat` serves each stored
    head to `group` consecutive query heads, and `tile` repeats the whole block `group` times. A `transposed` view,
    on the right of a product, is that of the transposed matrix: then rows are mapped.
    """

    source: str
    kind: Literal["plain", "repeat", "tile"] = "plain"
    head_dim: int = 0
    group: int = 1
    transposed: bool = False

    def index(self, inner: int) -> NDArray[np.int64]:
        """Stored column of every view column, shape (inner,)."""
        x = np.arange(inner, dtype=np.int64)
        if self.kind == "repeat":
            return (x // (self.head_dim * self.group)) * self.head_dim + x % self.head_dim
        if self.kind == "tile":
            return x % (inner // self.group)
        return x


@dataclass(frozen=True)
class SketchSum:
    """acc = S · source, for a public sparse matrix S (rows × source rows) given in coordinate form.

    Entry e of the matrix is `sign[e]` at (`row[e]`, `token[e]`). Arrays are excluded from equality; the
    profile that made them is part of the statement. `centred`: acc = n·(S·source) − (S·1)·(Σ of the rows `token`) with
    n entries in all, which is n times S on rows less their mean. `multipliers` names a committed row of an `Influence`:
    the row that entry e reads is multiplied by its e-th number first.
    """

    source: str
    row: NDArray[np.int64]
    token: NDArray[np.int64]
    sign: NDArray[np.int8]
    centred: bool = False
    multipliers: str = ""

    def totals(self, rows: int) -> NDArray[np.int64]:
        """Sum of the signs of every row of S."""
        return np.bincount(self.row, weights=self.sign, minlength=rows).astype(np.int64)

    def bound(self, rows: int, largest: int) -> int:
        """Largest |acc| for source entries of absolute value at most `largest`."""
        counts, n = np.bincount(self.row, minlength=rows), len(self.row)
        if not self.centred:
            return int(counts.max()) * largest
        return int((n * (counts + np.abs(self.totals(rows)))).max()) * largest

    def by_row(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
        """The entries grouped by row: row r has the tokens and signs of places starts[r] … starts[r+1] − 1.

        Returns `starts` (rows + 1), tokens and signs; entries may be listed in any order.
        """
        order = np.argsort(self.row, kind="stable")
        starts = np.searchsorted(self.row[order], np.arange(rows + 1))
        return starts, self.token[order], self.sign[order]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SketchSum)
            and self.source == other.source
            and np.array_equal(self.row, other.row)
            and np.array_equal(self.token, other.token)
            and np.array_equal(self.sign, other.sign)
            and (self.centred, self.multipliers) == (other.centred, other.multipliers)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class MatMul:
    """acc_ij = Σ_x left_ix · right_jx over `inner` view columns.

    With `split` the sum is cut into runs of so many of them: acc has a column for every run and j, run after run.
    """

    left: View
    right: View
    inner: int
    split: int = 0

    @property
    def runs(self) -> list[slice]:
        """The view columns of every sum."""
        step = self.split or self.inner
        return [slice(x, min(x + step, self.inner)) for x in range(0, self.inner, step)]


@dataclass(frozen=True)
class GatedMatMul:
    """acc_if = Σ_j left_ij · gate_fj · up_fj (paper profile's gated feed-forward term)."""

    left: str
    gate: str
    up: str
    inner: int


@dataclass(frozen=True)
class Deflation:
    """acc = 2^bits · source − w · base, entry by entry, w the weight of the program's ratio called `ratio`."""

    source: str
    base: str
    ratio: str
    bits: int


@dataclass(frozen=True)
class HeadProducts:
    """acc_ih = Σ_x left_ix · right_ix over the `width` view columns x of head h: one score of every head and row."""

    left: str
    right: View
    width: int


@dataclass(frozen=True)
class Likeness:
    """acc_th = Σ_i source_ih · source_ih', h' being the head t places behind h in its layer, in a circle of `heads`;
    0 for t ≥ heads.
    """

    source: str
    heads: int

    def partners(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """h' of every t < heads and of these h, (heads, columns)."""
        layer, head = np.divmod(columns, self.heads)
        return layer * self.heads + (head + np.arange(self.heads)[:, None]) % self.heads


Accumulator = SketchSum | MatMul | GatedMatMul | Deflation | HeadProducts | Likeness


@dataclass(frozen=True)
class Site:
    """One accumulator and its re-quantization: out = clamp(round(acc / 2^s), low, clamp).

    `rows` is a power of two; `bound` the static worst case of |acc|; `calibration_rows` the R of protocol
    §3.3 (a power of two ≤ 64). The shift s is found by the prover and published with the statement: the
    smallest with L_s < `target`·R·cols.

    With `multipliers`, a committed row of an `Influence` or `HeadRow` with an entry for every column, out = clamp(⌊(h·μ
    + 2^(b−1)) / 2^b⌋) of h = round(acc / 2^s), b the row's bits, and the columns that are alive are counted in place of
    cols, at least one. With `full` F, out = `likeness` of h; its clamp is below its target, so that s is 0.
    """

    name: str
    acc: Accumulator
    rows: int
    cols: int
    clamp: int
    low: int
    bound: int
    calibration_rows: int
    target: int = CALIBRATION_TARGET
    multipliers: str = ""
    full: int = 0

    def __post_init__(self) -> None:
        if not _power_of_two(self.rows) or not _power_of_two(self.calibration_rows):
            raise ValueError(f"{self.name}: rows and calibration rows must be powers of two")
        if self.calibration_rows > min(MAX_CALIBRATION_ROWS, self.rows):
            raise ValueError(f"{self.name}: {self.calibration_rows} calibration rows of {self.rows}")


@dataclass(frozen=True)
class Output:
    """v_b = Σ factor·sign·entry over the entries of `sources` whose bucket is b, of `length` ones.

    `bucket` and `sign` have one (rows × cols) array per source; sign 0 leaves an entry out. `factors` has an integer
    per source (all 1 if there are none), or the name of a ratio: then it is less the ratio's weight.
    """

    sources: tuple[str, ...]
    bucket: tuple[NDArray[np.int16], ...]
    sign: tuple[NDArray[np.int8], ...]
    bound: int
    factors: tuple[int | str, ...] = ()
    length: int = OUTPUTS

    def numbers(self, weights: Mapping[str, int]) -> tuple[int, ...]:
        """The factor of every source, given the ratios' weights."""
        factors = self.factors or (1,) * len(self.sources)
        return tuple(-weights[factor] if isinstance(factor, str) else factor for factor in factors)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Output)
            and (self.sources, self.factors, self.length) == (other.sources, other.factors, other.length)
            and all(np.array_equal(a, b) for a, b in zip(self.bucket, other.bucket, strict=True))
            and all(np.array_equal(a, b) for a, b in zip(self.sign, other.sign, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]


NO_OUTPUT = Output((), (), (), 0, length=0)
"""Of a program that publishes no vector."""


@dataclass(frozen=True)
class Program:
    """Weights, sites in execution order, and the output map. `tile_rows` is the largest site row count.

    `stack` is the whole commitment that the weights are part of; empty: they are all of it. `ranged`: that its entries
    are in range is proven apart, by a program that has no sites (protocol §6.8); otherwise by this one.
    `influences` come before all sites, and one whose row is a gate before what it gates; `shares` are rows of heads,
    which come after rows that they divide, and follow from sites before those that they multiply.
    """

    weights: tuple[Weight, ...]
    sites: tuple[Site, ...]
    output: Output
    stack: tuple[Weight, ...] = ()
    ranged: bool = False
    influences: tuple[Influence, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    shares: tuple[HeadRow, ...] = ()

    def __post_init__(self) -> None:
        known = {weight.name: weight for weight in self.committed}
        order = {name: i for i, name in enumerate(known)}
        for weight in self.weights:
            parts = [known.get(name) for name in weight.parts or (weight.name,)]
            places = [order.get(name, -1) for name in weight.parts]
            shapes = {(part.cols, part.bits) for part in parts if part is not None}
            if (
                None in parts
                or shapes != {(weight.cols, weight.bits)}
                or sum(part.rows for part in parts if part is not None) != weight.rows
                or any(b != a + 1 for a, b in pairwise(places))
            ):
                raise ValueError(f"{weight.name} is not in the stack of the program that reads it")

    @property
    def committed(self) -> tuple[Weight, ...]:
        """All tensors of the commitment."""
        return self.stack or self.weights

    @property
    def length(self) -> int:
        """Number of outputs."""
        return self.output.length

    @property
    def has_products(self) -> bool:
        """Whether something is in it that an inner product has to show."""
        return any(
            isinstance(site.acc, MatMul | HeadProducts | Likeness)
            or (isinstance(site.acc, SketchSum) and site.acc.multipliers)
            for site in self.sites
        )

    @cached_property
    def influence(self) -> dict[str, Influence]:
        """Rows of multipliers by name."""
        return {influence.name: influence for influence in self.influences}

    @cached_property
    def share(self) -> dict[str, HeadRow]:
        """Rows of heads by name."""
        return {share.name: share for share in self.shares}

    def counting(self, row: str) -> Influence:
        """The influence that a row of multipliers comes from."""
        while row in self.share:
            row = self.share[row].of
        return self.influence[row]

    def unit(self, row: str) -> int:
        """b: a row of multipliers is in units of 2^−b."""
        while row in self.share:
            share = self.share[row]
            if isinstance(share, HeadBound):
                return share.bits
            row = share.of
        return self.influence[row].bits

    @cached_property
    def ratio(self) -> dict[str, Ratio]:
        """Ratios by name."""
        return {ratio.name: ratio for ratio in self.ratios}

    @cached_property
    def weight(self) -> dict[str, Weight]:
        """Weights by name."""
        return {weight.name: weight for weight in self.weights}

    @cached_property
    def site(self) -> dict[str, Site]:
        """Sites by name."""
        return {site.name: site for site in self.sites}

    @property
    def tile_rows(self) -> int:
        """Row count of the tallest site (a power of two)."""
        return max(site.rows for site in self.sites)

    def columns_of(self, name: str) -> int:
        """Column count of a weight or an activation."""
        return self.weight[name].cols if name in self.weight else self.site[name].cols
