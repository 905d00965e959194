"""`hardened-2` a second time, layer by layer: committed int8 rows and steps → every site, every public number, and e.

numpy and the integer kernel; one layer's weights at a time. `Rows` says what a model has to offer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.constants import (
    FILTER_STEPS,
    INNER,
    MULTIPLIER_BITS,
    OUTPUTS,
    RATIO_BITS,
    RATIO_CLAMP,
    ROW_BITS,
    TERMS,
)
from huref.circuits.fingerprint.hardened.program import Site, Sizes
from huref.circuits.fingerprint.hardened.tables import Sketch, output_map
from huref.circuits.program.influence import LOWER_QUARTILE, Cap, find_cap, multipliers
from huref.prover.kernels.integers.integer_gemm import product

Int8 = NDArray[np.int8]
Int64 = NDArray[np.int64]
FACTORS = (("q", "k"), ("o", "v"), ("up", "down"))
"""Left and right rows of every term. k and v serve a group of q's and o's heads."""


class Rows(Protocol):
    """The committed integers of a model: rows of length d, and the step exponent of each row."""

    layers: int

    def embedding(self) -> Int8:
        """x, (K, d): the rows of the selected tokens, in the order of the selection."""
        ...

    def embedding_steps(self) -> Int64:
        """Steps of these rows, (K,)."""
        ...

    def rows(self, layer: int, name: str) -> Int8:
        """q, k, v, o, up or down of a layer, (rows, d); k and v already repeated to the rows of q and o."""
        ...

    def steps(self, layer: int, name: str) -> Int64:
        """Steps of these rows and of gate, (rows,); of a layer without a gate, zeros for gate."""
        ...


@dataclass
class Run:
    """All that a run computes: sites by name (int64), shifts, calibration sums, caps, ratios, and e."""

    sizes: Sizes
    sites: dict[str, Int64] = field(default_factory=dict)
    shifts: dict[str, int] = field(default_factory=dict)
    sums: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    caps: dict[str, Cap] = field(default_factory=dict)
    multipliers: dict[str, Int64] = field(default_factory=dict)
    heads: dict[str, Int64] = field(default_factory=dict)
    shares: dict[str, Int64] = field(default_factory=dict)
    ratios: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    e: Int64 = field(default_factory=lambda: np.zeros(OUTPUTS, dtype=np.int64))


def evaluate(rows: Rows, sizes: Sizes, left: Sketch, right: Sketch, challenge: bytes) -> Run:
    """Run the program. Memory: the sites (`Sizes.committed` entries) and one layer."""
    run = Run(sizes)
    steps = rows.embedding_steps()
    run.caps["x"] = find_cap(steps)
    run.multipliers["x"] = multipliers(steps, run.caps["x"], ROW_BITS, interpolated=False)
    x = rows.embedding().astype(np.int64) * run.multipliers["x"][:, None]
    sketch = _Sketches(run, x, left, right)
    ys, yt = sketch.filtered()
    _influences(run, rows)
    _shares(run, rows, ys, yt)
    for term, (name, factor, combined) in enumerate(
        zip(TERMS, ("qa", "oa", "ua"), ("qc", "oc", "uc"), strict=True)
    ):
        _factors(run, rows, term, factor, ys)
        _combine(run, rows, term, factor, combined)
        blocks = run.sites[combined].reshape(len(ys), sizes.groups(term), -1)
        _requantize(run, name, (blocks @ yt.T).reshape(len(ys), -1))
    _requantize(run, "gram", ys @ yt.T)
    _outputs(run, challenge)
    return run


class _Sketches:
    def __init__(self, run: Run, x: Int64, left: Sketch, right: Sketch) -> None:
        self.run = run
        for name, sketch in (("ys", left), ("yt", right)):
            _requantize(run, name, _centred(sketch, x))

    def filtered(self) -> tuple[Int64, Int64]:
        """The left sketch after its descent steps, and the right one."""
        run, ys, yt = self.run, self.run.sites["ys"], self.run.sites["yt"]
        rows = run.sizes.ratio_rows
        for step in range(1, FILTER_STEPS + 1):
            g = _requantize(run, f"g{step}", ys @ yt.T)
            z = _requantize(run, f"z{step}", g @ yt)
            weight = _ratio(run, f"ys{step}", ys[:rows], z[:rows])
            ys = _requantize(run, f"ys{step}", (ys << RATIO_BITS) - weight * z)
        return ys, yt


def _centred(sketch: Sketch, wide: Int64) -> Int64:
    """K·Σ s_k x_k − (Σ s_k)·Σ x over every pool: the sketch of rows whose mean was subtracted, times K."""
    sums = np.zeros((sketch.pools, wide.shape[1]), dtype=np.int64)
    np.add.at(sums, sketch.pool, sketch.sign[:, None] * wide)
    return len(wide) * sums - sketch.total[:, None] * wide.sum(axis=0)


def _ratio(run: Run, name: str, value: Int64, base: Int64) -> int:
    a, b = int((value * base).sum()), int((base * base).sum())
    run.ratios[name] = (a, b, ratio(a, b))
    return run.ratios[name][2]


def _influences(run: Run, rows: Rows) -> None:
    """Multipliers of every column of qs, oa, ua. What a head does not write needs no scores."""
    names = {"vo": ("o", "v"), "qk": ("q", "k"), "ud": ("gate", "up", "down")}
    for term, factors in names.items():
        layers = [sum(rows.steps(n, name) for name in factors) for n in range(rows.layers)]
        influence = np.concatenate(layers)
        if term == "qk":
            influence = influence + [_lost(int(times)) for times in run.multipliers["vo"]]
        if term == "ud":
            run.caps[term] = find_cap(influence)
            run.multipliers[term] = multipliers(influence, run.caps[term], MULTIPLIER_BITS, interpolated=True)
            continue
        run.caps[term] = find_cap(influence, LOWER_QUARTILE)
        sizes = np.floor(32 * np.exp2(np.maximum(influence, -64) - float(run.caps[term].octave)) + 0.5)
        run.multipliers[term] = np.where(influence < -64, 0, np.minimum(sizes, 256)).astype(np.int64)


def _lost(times: int) -> int:
    """An octave for every octave below a quarter of the quantile's multiplier, which is 32; all where it is 0."""
    return -128 if times == 0 else -max(0, 3 - (times.bit_length() - 1))


def _shares(run: Run, rows: Rows, ys: Int64, yt: Int64) -> None:
    """What is left of heads of a layer that score alike, by a few scores of each of them."""
    sizes, width = run.sizes, run.sizes.head_dim
    count = sizes.scores
    q = np.concatenate([rows.rows(n, "q") for n in range(rows.layers)]).astype(np.int64)
    k = np.concatenate([rows.rows(n, "k") for n in range(rows.layers)]).astype(np.int64)
    kept = k.reshape(-1, sizes.group, width, k.shape[1])[:, 0].reshape(-1, k.shape[1])
    for term in ("qk", "vo"):
        cap, before = run.caps[term], run.multipliers[term].reshape(-1, width)
        inside = 4 * (cap.at - cap.above)
        part = min(15, 16 * (4 * cap.at - 3 * cap.alive) // inside) if inside else 0
        root = round(2**16 * 2.0 ** (-part / 16))
        sums = [16 * int(head.sum()) * root // (32 * width * 2**16) for head in before]
        run.heads[term] = _divided(before, sums)
    living = run.caps["qk"].alive
    asked = _requantize(run, "qs", ys[:count] @ q.T, run.heads["qk"], living)
    given = _requantize(run, "ks", yt[:count] @ kept.T)
    given = np.repeat(given.reshape(count, -1, 1, width), sizes.group, axis=2).reshape(count, -1)
    scores = _requantize(run, "scores", (asked * given).reshape(count, -1, width).sum(axis=2))
    layers = scores.reshape(count, rows.layers, sizes.heads)
    acc = np.zeros((sizes.sites["alike"].rows, rows.layers, sizes.heads), np.int64)
    for place in range(sizes.heads):
        acc[place] = (layers * np.roll(layers, -place, axis=2)).sum(axis=0)
    alike = _requantize(run, "alike", acc.reshape(len(acc), -1), full=count * 15**2).sum(axis=0)
    for term in ("qk", "vo"):
        run.shares[term] = _divided(run.heads[term].reshape(-1, width), alike.tolist())


def _divided(before: Int64, counts: list[int]) -> Int64:
    """The multipliers of every head (heads, width), divided by its count in sixteenths."""
    found = [[_shared(int(x), n) for x in row] for row, n in zip(before, counts, strict=True)]
    return np.array(found, np.int64).reshape(-1)


def _shared(times: int, alike: int) -> int:
    """Divided by the half octave next to alike/16."""
    halves = 0
    while max(alike, 16) ** 4 * 2 >= 16**4 << (2 * halves + 2):
        halves += 1
    root = (65536, 46341)[halves % 2]
    return (times * root + (1 << (15 + halves // 2))) >> (16 + halves // 2)


def _stacked(rows: Rows, name: str) -> Iterator[tuple[slice, Int8]]:
    start = 0
    for n in range(rows.layers):
        weight = rows.rows(n, name)
        yield slice(start, start + len(weight)), weight
        start += len(weight)


def _factors(run: Run, rows: Rows, term: int, name: str, ys: Int64) -> None:
    """The P × m factors of a term, ys times the left rows of all layers, each column times its multiplier."""
    site, times = run.sizes.sites[name], run.multipliers[TERMS[term]]
    times = run.shares.get(TERMS[term], times)
    sketch = ys.astype(np.int16)
    acc = np.empty((site.rows, site.cols), dtype=np.int32)
    for part, weight in _stacked(rows, FACTORS[term][0]):
        acc[:, part] = product(sketch, weight)
    _requantize(run, name, acc, times, run.caps[TERMS[term]].alive)


def _combine(run: Run, rows: Rows, term: int, factor: str, name: str) -> None:
    """Σ over a group's columns of factor times right row, (P × G·d)."""
    site = run.sizes.sites[name]
    left = run.sites[factor].astype(np.int16)
    width = site.cols // run.sizes.groups(term)
    acc = np.zeros((site.rows, site.cols), dtype=np.int64)
    for part, weight in _stacked(rows, FACTORS[term][1]):
        for group in range(part.start // INNER, (part.stop - 1) // INNER + 1):
            a, b = max(part.start, group * INNER), min(part.stop, (group + 1) * INNER)
            block = np.ascontiguousarray(weight[a - part.start : b - part.start].T)
            acc[:, group * width : (group + 1) * width] += product(np.ascontiguousarray(left[:, a:b]), block)
    _requantize(run, name, acc)


def _requantize(
    run: Run,
    name: str,
    acc: NDArray[np.integer],
    times: Int64 | None = None,
    living: int | None = None,
    full: int = 0,
) -> Int64:
    """Round by the canonical shift: the smallest whose Σ|out| over the calibration rows is below τ·N.

    N counts the columns that are alive, at least one: those that are zero must not make the others loud.
    """
    site = run.sizes.sites[name]
    part = acc[: site.calibration].astype(np.int64)
    bits = MULTIPLIER_BITS if name == "ua" else 5
    target = site.target * len(part) * (site.cols if living is None else max(1, living))

    def total(shift: int) -> int:
        return int(np.abs(_rounded(site, part, shift, times, full, bits)).sum())

    shift = _smallest(total, target)
    run.shifts[name] = shift
    run.sums[name] = (total(shift), total(shift - 1) if shift else None)
    run.sites[name] = _rounded(site, acc.astype(np.int64), shift, times, full, bits)
    return run.sites[name]


def _smallest(total: Callable[[int], int], target: int) -> int:
    shift = 0
    while total(shift) >= target:
        shift += 1
    return shift


def _rounded(site: Site, acc: Int64, shift: int, times: Int64 | None, full: int, bits: int) -> Int64:
    """clamp(⌊(h·μ + 2^(b−1)) / 2^b⌋), h = ⌊(acc + 2^(s−1)) / 2^s⌋, μ the column's multiplier; clamp(h) without one.
    With `full`, C·(h/full)^4 rounded, 0 for what is negative."""
    out = (acc + ((1 << shift) >> 1)) >> shift
    if full:
        return np.floor(site.clamp * (np.maximum(out, 0) / full) ** 4 + 0.5).astype(np.int64)
    if times is not None:
        out = (out * times + (1 << (bits - 1))) >> bits
    return np.clip(out, -site.clamp, site.clamp)


def _outputs(run: Run, challenge: bytes) -> None:
    """e: signed sums of the terms, `ud` less its share of `gram`."""
    p, sizes = run.sizes.pools, run.sizes
    rows = sizes.compared_rows
    for term, name in enumerate(TERMS):
        blocks = run.sites[name].reshape(p, sizes.groups(term), p).sum(axis=1)
        entries = blocks << RATIO_BITS
        if name == "ud":
            gram = run.sites["gram"]
            entries -= _ratio(run, "ud", blocks[:rows], gram[:rows]) * gram
        place, sign = output_map(term, p, challenge)
        np.add.at(run.e, place, sign * entries)


def ratio(numerator: int, denominator: int) -> int:
    """The public integer ⌊(2^(RATIO_BITS+1)·a + b) / 2b⌋, clamped to ±RATIO_CLAMP; 0 if b = 0.

    That is a/b in units of 2^−RATIO_BITS, halves up; b ≥ 0.
    """
    if denominator == 0:
        return 0
    exact = ((numerator << (RATIO_BITS + 1)) + denominator) // (2 * denominator)
    return max(-RATIO_CLAMP, min(RATIO_CLAMP, exact))
