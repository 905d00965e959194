"""Tiny programs that use every node type, with the parameters that keep a proof well under a second.

`Case` holds a program with weights and does prepare → commit → prove → verify through bytes. `small_build`
shrinks the lookup tables' cap and sets the number of the opening's levels, which only large models have several of;
proofs made under it go through exactly the same code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np

import huref.circuits.program.bounds
import huref.circuits.program.evaluate
import huref.common.params
from huref.circuits.argument.proof import PublicInputs, Setup, prepare
from huref.circuits.argument.security import SecurityReport
from huref.circuits.program.bounds import table_height
from huref.circuits.program.evaluate import Trace, accumulate, run
from huref.circuits.program.influence import LOWER_QUARTILE
from huref.circuits.program.measured import HeadBound, Influence, Ratio, Share, StepRead
from huref.circuits.program.numbers import Measured
from huref.circuits.program.program import (
    OUTPUTS,
    Accumulator,
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
from huref.circuits.range import range_program
from huref.common.params import Knobs, Plan, choose_levels
from huref.prover.argument.prove import prove
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights import WeightsCommitment, commit_weights
from huref.verifier.argument.verify import verify_program

SMALL = Knobs(security=24, grinding=3, proofs=1)
"""Few queries: enough that the attacks here fail, with fixed seeds, and proofs of some tens of kilobytes."""
CLAMP = 63
RATIO_BITS, RATIO_CLAMP = 6, 255
STATEMENT = b"a statement"


LEVELS = ((8, 4), (4, 8), (4, 16))
"""Widths and inverse rates of levels 2, 3 and 4 where a test asks for them."""


@contextmanager
def small_build(cap: int = 512, levels: int = 0) -> Iterator[None]:
    """Clamp tables of at most 2·cap entries; so many levels after the first, instead of the cheapest, if given."""

    def height(site: Site, shift: int) -> int:
        return table_height(site.bound, shift, cap)

    def choose(length: int, widths: Sequence[int], knobs: Knobs) -> Plan:
        return LEVELS[:levels] if levels else choose_levels(length, widths, knobs)

    with (
        mock.patch.object(huref.circuits.program.bounds, "clamp_height", height),
        mock.patch.object(huref.circuits.program.evaluate, "clamp_height", height),
        mock.patch.object(huref.common.params, "choose_levels", choose),
    ):
        yield


@dataclass
class Builder:
    """Collects weights and sites; bounds are worst cases of the shapes."""

    seed: int = 0
    clamp: int = CLAMP
    weights: list[Weight] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def weight(self, name: str, rows: int, cols: int, bits: int = 4) -> Weight:
        self.weights.append(Weight(name, rows, cols, bits))
        return self.weights[-1]

    def site(
        self,
        name: str,
        acc: Accumulator,
        rows: int,
        cols: int,
        bound: int,
        low: int | None = None,
        multipliers: str = "",
        clamp: int = 0,
        **more: int,
    ) -> Site:
        calibration, clamp = min(16, rows), clamp or self.clamp
        lowest = -clamp if low is None else low
        site = Site(name, acc, rows, cols, clamp, lowest, bound, calibration, multipliers=multipliers, **more)
        self.sites.append(site)
        return self.sites[-1]

    def sketch(
        self, name: str, source: Weight, rows: int, centred: bool = False, multipliers: str = ""
    ) -> Site:
        """Every token is in one block; the blocks have about source.rows/rows tokens with random signs."""
        tokens = self.rng.permutation(source.rows)
        row = np.sort(np.concatenate([np.arange(rows), self.rng.integers(0, rows, source.rows - rows)]))
        sign = self.rng.choice(np.array([-1, 1], np.int8), source.rows)
        acc = SketchSum(source.name, row, tokens, sign, centred, multipliers)
        largest = source.bound * (8 if multipliers else 1)
        return self.site(name, acc, rows, source.cols, acc.bound(rows, largest))

    def matmul(self, name: str, left: Site, right: Weight | Site) -> Site:
        largest = right.bound if isinstance(right, Weight) else right.clamp
        acc = MatMul(View(left.name), View(right.name), left.cols)
        return self.site(name, acc, left.rows, right.rows, left.cols * left.clamp * largest)

    def heads(self, kv_heads: int, group: int, width: int, inner: int) -> tuple[HeadBound, Share]:
        """A few scores of all heads, and how alike those of a layer are."""
        rows, heads, least = 4, kv_heads * group, 6
        bound = self.weights[1].cols * CLAMP * 8
        read = (
            MatMul(View("ys1"), View("q"), self.weights[1].cols),
            MatMul(View("yt"), View("k"), self.weights[1].cols),
        )
        self.site("qs", read[0], rows, inner, bound, multipliers="qk.head", clamp=least, target=3)
        self.site("ks", read[1], rows, inner // group, bound, clamp=least, target=3)
        scores = HeadProducts("qs", View("ks", "repeat", width, group), width)
        self.site("scores", scores, rows, inner // width, width * least**2, clamp=2)
        full = rows * 2**2
        self.site("alike", Likeness("scores", heads), 4, inner // width, full, clamp=16, full=full)
        return HeadBound("qk.head", "qk.mu", width, 5), Share("qk.share", "qk.head", "alike", width, heads)

    def output(self, *sources: Site, bound: int | None = None, stack: tuple[Weight, ...] = ()) -> Program:
        shapes = [(site.rows, site.cols) for site in sources]
        bucket = tuple(self.rng.integers(0, OUTPUTS, shape).astype(np.int16) for shape in shapes)
        sign = tuple(self.rng.integers(-2, 3, shape).astype(np.int8) for shape in shapes)
        worst = 2 * sum(rows * cols * self.clamp for rows, cols in shapes)
        out = Output(tuple(site.name for site in sources), bucket, sign, bound or worst)
        return Program(tuple(self.weights), tuple(self.sites), out, stack, bool(stack))

    def values(self) -> dict[str, np.ndarray]:
        """Uniform weights over the declared width."""
        return {
            w.name: self.rng.integers(-w.bound, w.bound, (w.rows, w.cols)).astype(np.int8)
            for w in self.weights
        }


@dataclass
class Case:
    """A program with weights, and what an honest prover computes from them."""

    program: Program
    weights: dict[str, np.ndarray]
    knobs: Knobs = SMALL
    trace: Trace = field(init=False)
    commitments: dict[int, WeightsCommitment] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        known = {weight.name for weight in (*self.program.weights, *self.program.committed)}
        self.trace = run(self.program, {name: x for name, x in self.weights.items() if name in known})

    @property
    def public(self) -> PublicInputs:
        return public_inputs(self.trace)

    @property
    def values(self) -> dict[str, np.ndarray]:
        """Weights, results of sites and rows of multipliers by name."""
        outs = {name: site.out for name, site in self.trace.sites.items()}
        return {**self.weights, **outs, **self.trace.rows}

    def accumulator(self, name: str, values: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """A site's accumulator."""
        site = self.program.site[name]
        trace = self.trace
        measured = Measured(self.program, dict(trace.influences), dict(trace.ratios), dict(trace.shares))
        return accumulate(site, self.values if values is None else values, measured.of(site))

    def setup(self, **changed: Any) -> Setup:
        return prepare(self.program, dataclasses.replace(self.public, **changed), self.knobs)

    def commit(self, seed: int = 1) -> WeightsCommitment:
        """The honest commitment, made once for every seed."""
        if seed not in self.commitments:
            self.commitments[seed] = commit_weights(self.program, self.weights, self.knobs, secret(seed))
        return self.commitments[seed]

    def prove(self, setup: Setup | None = None, seed: int = 2, **changed: Any) -> bytes:
        """A proof; `weights`, `trace`, `commitment`, `statement` may be replaced by a cheating prover's."""
        given = {"statement": STATEMENT, "weights": self.weights, "trace": self.trace} | changed
        commitment = given.pop("commitment", None) or self.commit()
        return prove(
            setup or self.setup(),
            given["statement"],
            given["weights"],
            given["trace"],
            commitment,
            secret(seed),
        )

    def verify(self, proof: bytes, setup: Setup | None = None, root: bytes | None = None) -> SecurityReport:
        root = self.commit().root if root is None else root
        return verify_program(setup or self.setup(), STATEMENT, root, proof, self.knobs.security)


def secret(number: int) -> SecretSeed:
    """A fixed seed."""
    return SecretSeed(number.to_bytes(32, "little"))


def public_inputs(trace: Trace) -> PublicInputs:
    """What an honest owner publishes."""
    return PublicInputs(trace.shifts, trace.sums, [int(x) for x in trace.v], trace.caps, trace.ratios)


def chain(d: int = 20, k: int = 24, p: int = 16, f: int = 12, seed: int = 0, bits: int = 4) -> Case:
    """Sketches of x, two products with weights, a product of activations: the smallest interesting program."""
    b = Builder(seed)
    x, wa, wb = b.weight("x", k, d, bits), b.weight("a", f, d, bits), b.weight("b", f, d, bits)
    ys, yt = b.sketch("ys", x, p), b.sketch("yt", x, p)
    m = b.matmul("m", b.matmul("qa", ys, wa), b.matmul("ka", yt, wb))
    return Case(b.output(m), b.values())


def everything(seed: int = 0, d: int = 12, low: int | None = -40) -> Case:
    """What a program on a commitment of its own has: sketches, plain, repeated and tiled products, a gated product."""
    b = Builder(seed)
    p, width, heads, group, f = 16, 4, 2, 3, 10
    x = b.weight("x", 32, d)
    q, k, v = (
        b.weight("q", width * heads * group, d),
        b.weight("k", width * heads, d),
        b.weight("v", width * heads, d),
    )
    b.weight("gate", f, d, 3), b.weight("up", f, d, 3)
    down = b.weight("down", f, d)
    ys, yt = b.sketch("ys", x, p), b.sketch("yt", x, p)
    qa, ka, va = b.matmul("qa", ys, q), b.matmul("ka", yt, k), b.matmul("va", yt, v)
    ga = b.site("ga", GatedMatMul("ys", "gate", "up", d), p, f, d * CLAMP * 16)
    da = b.matmul("da", yt, down)
    inner = qa.cols
    square = inner * CLAMP * CLAMP
    m1 = b.site("m1", MatMul(View("qa"), View("ka", "repeat", width, group), inner), p, p, square)
    b.site("m2", MatMul(View("qa"), View("va", "tile", width, group), inner), p, p, square)
    b.matmul("m3", ga, da)
    del ka, va
    last = b.site("m4", MatMul(View("m3"), View("m1"), p), p, p, p * CLAMP * CLAMP, low)
    return Case(b.output(last, m1), b.values())


def wide(d: int = 20, split: int = 0, seed: int = 0) -> Case:
    """What a program on a whole commitment has: weights of two layers read as one, products with transposed weights and
    activations, sums cut into runs, rows and columns with multipliers, a gate, heads that are alike, deflations and
    ratios.

    The range of the weights, which are part of a larger stack, is proven apart.
    """
    b = Builder(seed)
    p, width, kv_heads, group, layers, k = 16, 3, 2, 2, 2, 24
    inner = layers * kv_heads * group * width
    parts = {name: [f"{name}{n}" for n in range(layers)] for name in ("q", "k")}
    x = b.weight("x", k, d)
    for name, rows in (("q", inner), ("k", inner // group)):
        b.weights.append(Weight(name, rows, d, 4, tuple(parts[name])))
    ys = b.sketch("ys", x, p, centred=True, multipliers="rows.mu")
    yt = b.sketch("yt", x, p, centred=True, multipliers="rows.mu")
    b.matmul("gram", ys, yt)
    b.site("rest", MatMul(View("gram"), View("yt", transposed=True), p), p, d, p * CLAMP * CLAMP)
    b.site("ys1", Deflation("ys", "rest", "ys1", RATIO_BITS), p, d, ((1 << RATIO_BITS) + RATIO_CLAMP) * CLAMP)
    heads = b.heads(kv_heads, group, width, inner)
    b.site("qa", MatMul(View("ys1"), View("q"), d), p, inner, d * CLAMP * 8, multipliers="qk.share")
    runs = -(-inner // (split or inner))
    keys = View("k", "repeat", width, group, transposed=True)
    b.site("qc", MatMul(View("qa"), keys, inner, split), p, runs * d, inner * CLAMP * 8)
    tiled = View("yt") if runs == 1 else View("yt", "tile", group=runs)
    b.site("qk", MatMul(View("qc"), tiled, runs * d, d), p, runs * p, d * CLAMP * CLAMP)
    values = b.values()
    for heads_of in values["q"].reshape(layers, -1, width, d):
        heads_of[1] = heads_of[0]  # of one key: they score alike
    for name, names in parts.items():
        values |= dict(zip(names, np.split(values[name], layers), strict=True))
    more = [Weight(n, *values[n].shape, 4) for names in parts.values() for n in names]
    steps = [Weight(f"{w.name}.step", 1, w.rows, 8) for w in (x, *more)]
    stack = (Weight("before", 7, 30, 4), x, *more, *steps, Weight("after", 50, 33, 8))
    values |= {w.name: b.rng.integers(-8, 8, (w.rows, w.cols)).astype(np.int8) for w in (stack[0], stack[-1])}
    for step in steps:
        dead = b.rng.random((1, step.cols)) < 0.15
        values[step.name] = np.where(dead, -100, -(b.rng.random((1, step.cols)) < 0.3).astype(int)).astype(
            np.int8
        )
    read = {name: tuple(f"{n}.step" for n in names) for name, names in parts.items()}
    served = View("", "repeat", width, group).index(inner)
    q_steps, k_steps = StepRead(read["q"], np.arange(inner)), StepRead(read["k"], served)
    o_steps = StepRead(read["q"], b.rng.permutation(inner))
    program = b.output(b.sites[-1], b.sites[2], stack=stack)
    ratios = (
        Ratio("ys1", "ys", "rest", 8, RATIO_BITS, RATIO_CLAMP),
        Ratio("end", "qk", "gram", 16, RATIO_BITS, RATIO_CLAMP),
    )
    influences = (
        Influence("rows.mu", 0, k, (StepRead(("x.step",), b.rng.permutation(k)),), 3, interpolated=False),
        Influence("vo.mu", 2, inner, (o_steps,), 8, interpolated=True),
        Influence("qk.mu", 1, inner, (q_steps, k_steps), 8, False, "vo.mu", LOWER_QUARTILE, 3),
    )
    output = dataclasses.replace(
        program.output, factors=(1 << RATIO_BITS, "end"), bound=program.output.bound * RATIO_CLAMP
    )
    measured = {"influences": influences, "ratios": ratios, "shares": heads}
    return Case(dataclasses.replace(program, output=output, **measured), values)


def range_case(whole: Case) -> Case:
    """The range of everything that a case commits to."""
    return Case(range_program(whole.program.committed), whole.weights, whole.knobs)


def several(shapes: Sequence[tuple[int, int]], p: int, seed: int = 0, bits: Sequence[int] = (4,)) -> Case:
    """One sketch chain per (rows, cols): tensors of any shape and width side by side."""
    b = Builder(seed)
    ends = []
    for i, (rows, cols) in enumerate(shapes):
        width = bits[i % len(bits)]
        x = b.weight(f"x{i}", max(rows, p), cols, width)
        y = b.sketch(f"y{i}", x, p)
        ends.append(b.matmul(f"z{i}", y, b.weight(f"w{i}", rows, cols, width)))
    return Case(b.output(*ends), b.values())
