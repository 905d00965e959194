"""The exact integer reference executor: a program, its weights → every intermediate and v, in plain numpy.

Matrix products run in float64, which is exact here whatever the order of summation: every static bound is
below p/2 < 2^30, so all partial sums are integers below 2^53. The prover's fast executors
(`prover/run/executor.py`) must return the same `Trace` bit for bit; they share what is not heavy here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.bounds import MAX_SHIFT, clamp_height
from huref.circuits.program.influence import Cap
from huref.circuits.program.numbers import InfluenceTrace, Measured, SiteNumbers
from huref.circuits.program.program import (
    Deflation,
    HeadProducts,
    Likeness,
    MatMul,
    Output,
    Program,
    Site,
    SketchSum,
    View,
)
from huref.common.errors import ProverError, UsageError

Ints = NDArray[np.integer]
Weights = Mapping[str, Ints]
RunSite = Callable[[Site, int | None, SiteNumbers], "SiteTrace"]


@dataclass(frozen=True)
class Below:
    """The calibration rows at shift s−1 (protocol §3.3): |out'| and ℓ' (R × cols), and L_{s−1} = Σ|out'|."""

    magnitude: NDArray[np.int16]
    remainder: NDArray[np.int32]
    total: int
    quotient: NDArray[np.int32]


@dataclass(frozen=True)
class SiteTrace:
    """One site's re-quantization: shift s, `out` and `remainder` ℓ ∈ [0, 2^s), both (rows × cols), and
    `total` L_s = Σ|out| over the first R rows. `below` is None at s = 0."""

    shift: int
    out: NDArray[np.int16]
    remainder: NDArray[np.int32]
    total: int
    below: Below | None
    quotient: NDArray[np.int32]


@dataclass(frozen=True)
class Trace:
    """Everything a run computes; `v` has as many int64 entries as the program's output."""

    sites: dict[str, SiteTrace]
    v: NDArray[np.int64]
    influences: Mapping[str, InfluenceTrace] = field(default_factory=dict)
    ratios: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    shares: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def rows(self) -> dict[str, NDArray[np.int64]]:
        """All rows of multipliers."""
        return {**{name: found.multipliers for name, found in self.influences.items()}, **self.shares}

    @property
    def shifts(self) -> dict[str, int]:
        """Shift of every site."""
        return {name: site.shift for name, site in self.sites.items()}

    @property
    def sums(self) -> dict[str, tuple[int, int | None]]:
        """The two published calibration sums (L_s, L_{s−1}) of every site; None at s = 0."""
        return {
            name: (site.total, None if site.below is None else site.below.total)
            for name, site in self.sites.items()
        }

    @property
    def caps(self) -> dict[str, Cap]:
        """The published cap of every row of multipliers."""
        return {name: found.cap for name, found in self.influences.items()}


def run(
    program: Program,
    weights: Weights,
    shifts: Mapping[str, int] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Trace:
    """Execute `program`; without `shifts` every shift is the canonical one (protocol §3.3).

    `weights[name]` is an integer array (rows × cols) within the declared width. `progress` is called with
    each site's name when it is done.

    Raises:
        UsageError: weights or shifts do not match the program.
        ProverError: an accumulator needs a value of h outside its clamp table; names the site.
    """
    values: dict[str, Ints] = dict(weights)

    def run_site(site: Site, shift: int | None, numbers: SiteNumbers) -> SiteTrace:
        acc = accumulate(site, values, numbers)
        chosen = canonical_shift(site, calibration(site, acc), numbers) if shift is None else shift
        found = requantize(site, acc, chosen, numbers)
        values[site.name] = found.out
        return found

    return run_sites(program, weights, shifts, run_site, progress)


def run_sites(
    program: Program,
    weights: Weights,
    shifts: Mapping[str, int] | None,
    run_site: RunSite,
    progress: Callable[[str], None] | None,
) -> Trace:
    """What every executor does around its sites; `run_site` gets a shift (or None for the canonical one) and what
    was measured for it.

    Raises:
        UsageError, ProverError: as `run`.
    """
    check_weights(program, weights)
    if shifts is not None and set(shifts) != set(program.site):
        raise UsageError("shifts: expected exactly one shift per site of the program")
    sites: dict[str, SiteTrace] = {}
    outs: dict[str, Ints] = {}
    measured = Measured(program)
    measured.measure_influences(weights)
    for site in program.sites:
        if isinstance(site.acc, Deflation):
            measured.measure_ratio(site.acc.ratio, outs)
        if site.multipliers in program.share:
            measured.measure_share(site.multipliers, outs)
        shift = None if shifts is None else shifts[site.name]
        sites[site.name] = run_site(site, shift, measured.of(site))
        outs[site.name] = sites[site.name].out
        if progress is not None:
            progress(site.name)
    for factor in program.output.factors:
        if isinstance(factor, str):
            measured.measure_ratio(factor, outs)
    v = read_output(program.output, outs, measured.weights)
    return Trace(sites, v, measured.influences, measured.ratios, measured.shares)


def check_weights(program: Program, weights: Weights) -> None:
    """Raise `UsageError` unless every weight that is read is there with its declared shape, integer type and range."""
    known = {weight.name for weight in program.committed}
    read = {name for found in program.influences for part in found.steps for name in part.tensors}
    if not set(program.weight) | read <= set(weights) <= known | set(program.weight):
        raise UsageError(f"weights: expected {sorted(program.weight)}, got {sorted(weights)}")
    for declared in program.weights:
        array = weights[declared.name]
        if array.shape != (declared.rows, declared.cols) or array.dtype.kind != "i":
            raise UsageError(f"{declared.name}: expected integers of shape {(declared.rows, declared.cols)}")
        limits = np.iinfo(array.dtype)
        if limits.min >= -declared.bound and limits.max < declared.bound:
            continue  # no entry of the type is outside, and large weights are not read for nothing
        if int(array.min()) < -declared.bound or int(array.max()) >= declared.bound:
            raise UsageError(f"{declared.name}: an entry exceeds {declared.bits} signed bits")


def accumulate(site: Site, values: Mapping[str, Ints], numbers: SiteNumbers) -> NDArray[np.int64]:
    """The accumulator of one site (rows × cols), exact."""
    acc = site.acc
    if isinstance(acc, SketchSum):
        return _sketch_sum(acc, site.rows, values[acc.source], numbers.entries)
    if isinstance(acc, Deflation):
        return deflate(acc, values[acc.source], values[acc.base], numbers.weight)
    if isinstance(acc, HeadProducts):
        return head_products(acc, values[acc.left], values[acc.right.source])
    if isinstance(acc, Likeness):
        return alike(acc, site.rows, values[acc.source])
    if isinstance(acc, MatMul):
        left, right = _view(values, acc.left, acc.inner), _view(values, acc.right, acc.inner)
        left = left[: site.rows]
        return np.concatenate([_product(left[:, run], right[:, run]) for run in acc.runs], axis=1)
    gated = values[acc.gate].astype(np.float64) * values[acc.up]
    return _product(values[acc.left].astype(np.float64), gated)


def _view(values: Mapping[str, Ints], view: View, inner: int) -> NDArray[np.float64]:
    stored = values[view.source]
    if view.transposed:
        stored = stored.T
    read = stored if view.kind == "plain" else stored[:, view.index(inner)]
    return read.astype(np.float64)


def _product(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(left @ right.T).astype(np.int64)


def deflate(acc: Deflation, source: Ints, base: Ints, weight: int) -> NDArray[np.int64]:
    """The accumulator of a deflation."""
    return (source.astype(np.int64) << acc.bits) - weight * base.astype(np.int64)


def head_products(acc: HeadProducts, left: Ints, right: Ints) -> NDArray[np.int64]:
    """The accumulator of the scores of all heads."""
    products = left.astype(np.int64) * right[:, acc.right.index(left.shape[1])]
    return np.asarray(products.reshape(len(left), -1, acc.width).sum(axis=2))


def alike(acc: Likeness, rows: int, source: Ints) -> NDArray[np.int64]:
    """The accumulator of how alike heads are, (rows × heads)."""
    wide = source.astype(np.int64)
    out = np.zeros((rows, wide.shape[1]), np.int64)
    for place, partner in enumerate(acc.partners(np.arange(wide.shape[1]))):
        out[place] = (wide * wide[:, partner]).sum(axis=0)
    return out


def _sketch_sum(acc: SketchSum, rows: int, source: Ints, entries: Ints | None) -> NDArray[np.int64]:
    """Rows of S without an entry give zeros."""
    out = np.zeros((rows, source.shape[1]), np.int64)
    read = source[acc.token].astype(np.int64)
    if entries is not None:
        read *= entries[:, None]
    np.add.at(out, acc.row, read * acc.sign[:, None])
    return centre(acc, out, read.sum(axis=0)) if acc.centred else out


def centre(acc: SketchSum, sums: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.int64]:
    """What `centred` makes of S · source, given the sum of the rows that are read."""
    return len(acc.row) * sums - acc.totals(len(sums))[:, None] * total


def _clamped(
    site: Site, acc: NDArray[np.int64], shift: int, numbers: SiteNumbers
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    half = (1 << shift) >> 1
    h = (acc + half) >> shift
    return h, numbers.rounded(site, h)


def calibration(site: Site, acc: NDArray[np.integer]) -> NDArray[np.int64]:
    """The rows of an accumulator (rows × cols) that calibrate its site, (R × cols)."""
    return acc[: site.calibration_rows].astype(np.int64)


def canonical_shift(site: Site, rows: NDArray[np.int64], numbers: SiteNumbers) -> int:
    """The smallest s with Σ|out| < target·N over the calibration rows, N entries that count (protocol §3.3).

    |h| is entrywise non-increasing in s, so the sum is monotone and bisection finds it.
    """
    limit = site.target * len(rows) * numbers.count
    low, high = 0, MAX_SHIFT  # at s = 30 every |h| ≤ 1
    while low < high:
        middle = (low + high) // 2
        if int(np.abs(_clamped(site, rows, middle, numbers)[1]).sum()) < limit:
            high = middle
        else:
            low = middle + 1
    return low


def requantize(site: Site, acc: NDArray[np.int64], shift: int, numbers: SiteNumbers) -> SiteTrace:
    """out, ℓ and the calibration values of one site at `shift`.

    Raises:
        ProverError: the table is too small for the clamp at this shift, or some |h| does not fit it.
    """
    h, out = _clamped(site, acc, shift, numbers)
    check_height(site, shift, int(np.abs(h).max()))
    remainder = _remainder(acc, h, shift)
    rows = calibration(site, acc)
    return site_trace(site, rows, shift, out.astype(np.int16), remainder, h.astype(np.int32), numbers)


def site_trace(
    site: Site,
    rows: NDArray[np.int64],
    shift: int,
    out: NDArray[np.int16],
    remainder: NDArray[np.int32],
    quotient: NDArray[np.int32],
    numbers: SiteNumbers,
) -> SiteTrace:
    """A site's re-quantization with the values of its calibration rows; `rows` as `calibration` gives them."""
    total = int(np.abs(out[: len(rows)]).sum())
    below = _below(site, rows, shift - 1, numbers) if shift else None
    return SiteTrace(shift, out, remainder, total, below, quotient)


def _below(site: Site, rows: NDArray[np.int64], shift: int, numbers: SiteNumbers) -> Below:
    h, out = _clamped(site, rows, shift, numbers)
    magnitude = np.abs(out).astype(np.int16)
    return Below(magnitude, _remainder(rows, h, shift), int(magnitude.sum()), h.astype(np.int32))


def check_height(site: Site, shift: int, largest: int) -> None:
    """Raise `ProverError` naming the site unless values |h| ≤ `largest` lie inside its clamp table."""
    height = clamp_height(site, shift)
    if height < 4 * site.clamp:
        raise ProverError(f"{site.name}: no clamp table of height {4 * site.clamp} is sound at shift {shift}")
    if largest >= height:
        raise ProverError(
            f"{site.name}: a value {largest / 32:.0f} times the typical size does not fit the clamp table",
            hint="the checkpoint has extreme outliers or is damaged",
        )


def _remainder(acc: NDArray[np.int64], h: NDArray[np.int64], shift: int) -> NDArray[np.int32]:
    half = (1 << shift) >> 1
    return (acc + half - (h << shift)).astype(np.int32)


def read_output(output: Output, outs: Mapping[str, Ints], weights: Mapping[str, int]) -> NDArray[np.int64]:
    """v (`output.length` int64) from the output map and the ratios' weights; exact, the bound is below p/2."""
    v = np.zeros(output.length)
    maps = zip(output.sources, output.bucket, output.sign, output.numbers(weights), strict=True)
    for name, bucket, sign, factor in maps:
        signed = (outs[name].astype(np.float64) * sign).reshape(-1) * factor
        v += np.bincount(bucket.reshape(-1), weights=signed, minlength=output.length)
    return v.astype(np.int64)
