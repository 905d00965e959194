"""The reference executor against Python integers, and the fast executors bit for bit against it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from huref.circuits.fingerprint.paper import compile_paper
from huref.circuits.program.evaluate import Trace, canonical_shift, requantize, run
from huref.circuits.program.numbers import SiteNumbers
from huref.circuits.program.program import (
    Deflation,
    GatedMatMul,
    HeadProducts,
    Likeness,
    MatMul,
    Output,
    Program,
    Site,
    SketchSum,
    View,
    Weight,
)
from huref.circuits.whole import compile_whole
from huref.common.errors import ProverError, UsageError
from huref.prover.run.executor import execute
from tests.proof.programs import everything, small_build, wide
from tests.support.shapes import SMOL

DEVICES = ("cpu", "torch-cpu")
SMALL = replace(
    SMOL, hidden=48, heads=4, kv_heads=2, head_dim=12, ffn=80, vocab=1024, layers=3, rotary_dim=12
)


def random_weights(program: Program, seed: int = 0, heavy: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {}
    for w in program.committed:
        if w.name.endswith(".step"):
            found[w.name] = rng.integers(-9, 0, (w.rows, w.cols)).astype(np.int8)
            continue
        values = rng.standard_t(2, (w.rows, w.cols)) if heavy else rng.normal(size=(w.rows, w.cols))
        found[w.name] = np.clip(np.rint(values * w.bound / 5), 1 - w.bound, w.bound - 1).astype(np.int8)
    for w in program.weights:
        if w.parts:
            found[w.name] = np.concatenate([found[name] for name in w.parts])
    return found


def mixed_program() -> Program:
    """What needs no measured numbers: sketch, products with all views, gated, clamping at 0, output."""
    rng = np.random.default_rng(1)
    token = rng.permutation(32)[:24]
    sketch = SketchSum("x", np.repeat(np.arange(8), 3), token, rng.choice([-1, 1], 24).astype(np.int8))
    sites = (
        Site("y", sketch, 8, 12, 511, -511, 3 * 128, 8),
        Site("a", MatMul(View("y"), View("w"), 12), 8, 6, 511, -511, 12 * 511 * 128, 8),
        Site("b", MatMul(View("y"), View("u"), 12), 8, 12, 511, -511, 12 * 511 * 128, 4),
        Site("g", GatedMatMul("y", "u", "u2", 12), 8, 12, 63, -63, 12 * 511 * 128 * 128, 8, 8),
        Site("m", MatMul(View("a", "repeat", 3, 2), View("b"), 12), 8, 8, 255, -255, 12 * 511 * 511, 8),
        Site("n", MatMul(View("a", "tile", 3, 2), View("g"), 12), 8, 8, 255, -255, 12 * 511 * 63, 8),
        Site("o", MatMul(View("n"), View("m", transposed=True), 8), 8, 8, 255, 0, 8 * 255 * 255, 4),
    )
    bucket = rng.integers(0, 512, (8, 8)).astype(np.int16)
    output = Output(("o",), (bucket,), (rng.integers(-2, 3, (8, 8)).astype(np.int8),), 64 * 2 * 255)
    weights = (Weight("x", 32, 12), Weight("w", 6, 12), Weight("u", 12, 12), Weight("u2", 12, 12))
    return Program(weights, sites, output)


def slow_accumulator(
    site: Site, values: dict[str, Any], ratios: dict[str, int] | None = None
) -> list[list[int]]:
    """The defining sums in Python integers, with the weights of the program's `ratios`."""
    acc = site.acc
    if isinstance(acc, SketchSum):
        total = [[0] * site.cols for _ in range(site.rows)]
        x, n = values[acc.source], len(acc.token)
        times = values[acc.multipliers].reshape(-1) if acc.multipliers else np.ones(n, int)
        rows = [
            [int(m) * int(x[token][j]) for j in range(site.cols)]
            for token, m in zip(acc.token, times, strict=True)
        ]
        mean = [sum(row[j] for row in rows) for j in range(site.cols)]
        for place, row, sign in zip(acc.row, rows, acc.sign, strict=True):
            for j in range(site.cols):
                entry = n * row[j] - mean[j] if acc.centred else row[j]
                total[place][j] += int(sign) * entry
        return total
    if isinstance(acc, Deflation):
        w = (ratios or {})[acc.ratio]
        a, b = values[acc.source], values[acc.base]
        return [
            [(1 << acc.bits) * int(a[i][j]) - w * int(b[i][j]) for j in range(site.cols)]
            for i in range(site.rows)
        ]
    if isinstance(acc, HeadProducts):
        a, b, served = values[acc.left], values[acc.right.source], acc.right.index(site.cols * acc.width)
        columns = [range(h * acc.width, (h + 1) * acc.width) for h in range(site.cols)]
        return [[sum(int(a[i][x]) * int(b[i][served[x]]) for x in own) for own in columns]
                for i in range(site.rows)]  # fmt: skip
    if isinstance(acc, Likeness):
        a, n = values[acc.source], acc.heads

        def product(t: int, h: int) -> int:
            other = h // n * n + (h % n + t) % n
            return sum(int(row[h]) * int(row[other]) for row in a) if t < n else 0

        return [[product(t, h) for h in range(site.cols)] for t in range(site.rows)]
    if isinstance(acc, MatMul):
        left, right = acc.left.index(acc.inner), acc.right.index(acc.inner)
        a, b = values[acc.left.source], values[acc.right.source]
        b = np.transpose(b) if acc.right.transposed else b
        step = acc.split or acc.inner
        width = site.cols // -(-acc.inner // step)

        def entry(i: int, column: int) -> int:
            run, j = divmod(column, width)
            inner = range(run * step, min((run + 1) * step, acc.inner))
            return sum(int(a[i][left[x]]) * int(b[j][right[x]]) for x in inner)

        return [[entry(i, j) for j in range(site.cols)] for i in range(site.rows)]
    assert isinstance(acc, GatedMatMul)
    y, g, u = values[acc.left], values[acc.gate], values[acc.up]
    return [
        [sum(int(y[i][j]) * int(g[f][j]) * int(u[f][j]) for j in range(acc.inner)) for f in range(site.cols)]
        for i in range(site.rows)
    ]


def assert_same(a: Trace, b: Trace) -> None:
    assert list(a.sites) == list(b.sites)
    for name, x in a.sites.items():
        y = b.sites[name]
        assert (x.shift, x.total) == (y.shift, y.total), name
        for field in ("out", "remainder", "quotient"):
            one, other = getattr(x, field), getattr(y, field)
            assert one.dtype == other.dtype and np.array_equal(one, other), (name, field)
        assert (x.below is None) == (y.below is None)
        if x.below is not None and y.below is not None:
            assert x.below.total == y.below.total
            for field in ("magnitude", "remainder", "quotient"):
                one, other = getattr(x.below, field), getattr(y.below, field)
                assert one.dtype == other.dtype and np.array_equal(one, other), (name, field)
    assert (a.caps, a.ratios) == (b.caps, b.ratios)
    assert list(a.rows) == list(b.rows)
    assert all(np.array_equal(row, b.rows[name]) for name, row in a.rows.items())
    assert np.array_equal(a.v, b.v)


def test_every_node_against_python_integers() -> None:
    program = mixed_program()
    weights = random_weights(program)
    trace = run(program, weights)
    values: dict[str, Any] = dict(weights)
    for site in program.sites:
        acc = np.array(slow_accumulator(site, values))
        got = trace.sites[site.name]
        half = (1 << got.shift) >> 1
        h = np.array([[(int(x) + half) // (1 << got.shift) for x in row] for row in acc])
        assert np.array_equal(got.quotient, h)
        assert np.array_equal(got.out, np.clip(h, site.low, site.clamp))
        assert np.array_equal(got.remainder, acc + half - h * (1 << got.shift))
        assert got.remainder.min() >= 0 and got.remainder.max() < 1 << got.shift
        values[site.name] = got.out
    v = [0] * 512
    for y in range(8):
        for x in range(8):
            b = program.output.bucket[0][y, x]
            v[b] += int(program.output.sign[0][y, x]) * int(values["o"][y][x])
    assert trace.v.tolist() == v


@pytest.mark.parametrize("device", DEVICES)
def test_fast_executors_match_on_every_node_type(device: str) -> None:
    program = mixed_program()
    weights = random_weights(program, 3)
    wide = {name: values.astype(np.int64) for name, values in weights.items()}
    for given in (weights, wide):
        assert_same(run(program, weights), execute(program, given, device=device))


def programs() -> list[Program]:
    """`paper` and `hardened-2` on a small shape."""
    pieces = [b"%d" % number for number in range(300)]
    return [compile_paper(SMALL, 1024, 256), compile_whole(SMALL, range(300), pieces, 32, bytes(range(32)))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("number", [0, 1], ids=["paper", "hardened"])
def test_fast_executors_match_on_compiled_programs(number: int, heavy: bool, device: str) -> None:
    program = programs()[number]
    weights = random_weights(program, 5, heavy)
    reference = run(program, weights)
    names: list[str] = []
    assert_same(reference, execute(program, weights, device=device, progress=names.append))
    assert names == [site.name for site in program.sites]
    assert_same(reference, execute(program, weights, reference.shifts, device=device))
    assert_same(reference, run(program, weights, reference.shifts))
    assert np.abs(reference.v).max() <= program.output.bound


def test_shifts_are_canonical() -> None:
    program = compile_paper(SMALL, 1024, 256)
    trace = run(program, random_weights(program))
    for site in program.sites:
        got = trace.sites[site.name]
        limit = site.target * site.calibration_rows * site.cols
        assert got.total == int(np.abs(got.out[: site.calibration_rows]).sum()) < limit
        if got.below is not None:
            assert got.below.total == int(got.below.magnitude.sum()) >= limit
            assert trace.sums[site.name] == (got.total, got.below.total)


def test_small_accumulators_need_no_shift() -> None:
    site = Site("s", MatMul(View("a"), View("b"), 1), 4, 4, 127, -127, 100, 4)
    numbers = SiteNumbers(site.cols)
    acc = np.arange(16, dtype=np.int64).reshape(4, 4)
    assert canonical_shift(site, acc, numbers) == 0
    found = requantize(site, acc, 0, numbers)
    assert found.below is None and not found.remainder.any() and np.array_equal(found.out, acc)
    assert canonical_shift(site, acc * 1000, numbers) == next(
        s for s in range(31) if np.clip((acc * 1000 + ((1 << s) >> 1)) >> s, -127, 127).sum() < 26 * 16
    )


def test_outliers_beyond_the_table_are_named() -> None:
    site = Site("l7.qk", MatMul(View("a"), View("b"), 1), 32, 32, 127, -127, 10**9, 16)
    numbers = SiteNumbers(site.cols)
    acc = np.full((32, 32), 20, dtype=np.int64)
    acc[20, 3] = 900_000
    with pytest.raises(ProverError, match=r"l7\.qk"):
        requantize(site, acc, canonical_shift(site, acc[:16], numbers), numbers)
    with pytest.raises(ProverError, match="no clamp table"):
        requantize(replace(site, clamp=2047, low=-2047), acc, 20, numbers)


@pytest.mark.parametrize("device", DEVICES)
def test_largest_accumulators_and_impossible_shifts(device: str) -> None:
    """Sums of both signs as large as a table admits under a bound near p/2, and errors that name the site."""
    inner, clamp = 61_900, 1023
    ends = np.full((2, inner), 127, np.int8)
    ends[1] = -127
    identity = SketchSum("x", np.arange(2), np.arange(2), np.ones(2, np.int8))
    left = Site("y", identity, 2, inner, 127, -127, 128, 2)
    both = Site("z", MatMul(View("y"), View("w"), inner), 2, 2, clamp, -clamp, 127 * 128 * inner, 2, 1)
    output = Output(("z",), (np.zeros((2, 2), np.int16),), (np.ones((2, 2), np.int8),), 4 * clamp)
    program = Program((Weight("x", 2, inner), Weight("w", 2, inner)), (left, both), output)
    weights = {"x": ends, "w": np.sign(ends) * np.int8(64)}
    shifts = {"y": 0, "z": 17}
    assert_same(run(program, weights, shifts), execute(program, weights, shifts, device=device))
    for shift, message in (
        (0, "z: a value"),
        (10, "z: a value"),
        (30, "no clamp table"),
        (40, "no clamp table"),
    ):
        wrong = {"y": 0, "z": shift}
        with pytest.raises(ProverError, match=message):
            run(program, weights, wrong)
        with pytest.raises(ProverError, match=message):
            execute(program, weights, wrong, device=device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("split", [0, 5, 12])
def test_transposed_and_cut_products(split: int, device: str) -> None:
    case = wide(split=split)
    assert_same(case.trace, execute(case.program, case.weights, device=device))
    ratios = {name: case.program.ratio[name].weight(sums) for name, sums in case.trace.ratios.items()}
    for name in ("ys", "yt", "rest", "ys1", "qs", "ks", "scores", "alike", "qa", "qc", "qk"):
        site = case.program.site[name]
        assert case.accumulator(name).tolist() == slow_accumulator(site, case.values, ratios)


@pytest.mark.parametrize("device", DEVICES)
def test_the_finer_rounding_may_exceed_the_table(device: str) -> None:
    """Its own table has twice the height (protocol §12)."""
    with small_build(levels=3):
        case = everything(2, d=64, low=0)
        assert_same(case.trace, execute(case.program, case.weights, device=device))
    below = case.trace.sites["m4"].below
    site = case.program.site["m4"]
    assert below is not None and np.abs(below.quotient).max() >= 4 * site.clamp


@pytest.mark.parametrize("executor", [run, execute])
def test_wrong_inputs(executor: Any) -> None:
    program = compile_paper(SMALL, 1024, 256)
    weights = random_weights(program)
    narrow = next(w for w in program.weights if w.name.endswith("gate"))
    for change, message in (
        ({"x": weights["x"][:-1]}, "x: expected"),
        ({"x": weights["x"].astype(np.float32)}, "x: expected"),
        ({"zz": weights["x"]}, "weights: expected"),
        ({narrow.name: np.full((narrow.rows, narrow.cols), narrow.bound, dtype=np.int16)}, "signed bits"),
    ):
        with pytest.raises(UsageError, match=message):
            executor(program, {**weights, **change})
    with pytest.raises(UsageError, match="one shift per site"):
        executor(program, weights, {"ys": 3})
