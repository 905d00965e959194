"""Honest proofs verify, through bytes, whatever the shape; sizes up to 2^24 committed weights."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from huref.circuits.program.program import MatMul, Program, View
from huref.common.errors import ProverError
from huref.common.params import Knobs
from tests.proof.programs import (
    CLAMP,
    SMALL,
    Builder,
    Case,
    chain,
    everything,
    secret,
    several,
    small_build,
    wide,
)

PROPERTY = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def accept(case: Case) -> None:
    setup, commitment = case.setup(), case.commit()
    proof = case.prove(setup, commitment=commitment)
    report = case.verify(proof, setup, commitment.root)
    assert report.bits >= case.knobs.security


@PROPERTY
@given(
    d=st.integers(1, 70), extra=st.integers(0, 20), log_p=st.integers(0, 5), f=st.integers(1, 40),
    bits=st.integers(2, 5), seed=st.integers(0, 99), levels=st.integers(0, 3),
)  # fmt: skip
def test_any_shape(d: int, extra: int, log_p: int, f: int, bits: int, seed: int, levels: int) -> None:
    with small_build(cap=2048, levels=levels):
        accept(chain(d, (1 << log_p) + extra, 1 << log_p, f, seed, bits))


@PROPERTY
@given(
    shapes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 70)), min_size=1, max_size=3),
    bits=st.lists(st.integers(2, 6), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_any_tensors(shapes: list[tuple[int, int]], bits: list[int], seed: int) -> None:
    with small_build(cap=2048):
        accept(several(shapes, 16, seed, bits))


def honest(b: Builder, program: Program) -> Case:
    """The case, unless a value is an outlier that the tables do not hold (an error of the prover by design)."""
    with small_build(cap=2048):
        try:
            return Case(program, b.values())
        except ProverError:
            reject()


@st.composite
def views(draw: st.DrawFn) -> Case:
    """A product of a full-width and a grouped side, repeated or tiled, on either hand or both."""
    width, heads, group = draw(st.integers(1, 9)), draw(st.integers(1, 3)), draw(st.integers(2, 4))
    d, p = draw(st.integers(2, 20)), 1 << draw(st.integers(2, 5))
    inner = width * heads * group
    b = Builder(draw(st.integers(0, 99)))
    x = b.weight("x", p + draw(st.integers(0, 9)), d)
    ys = b.sketch("ys", x, p)
    narrow = b.matmul("narrow", ys, b.weight("k", width * heads, d))
    wide = b.matmul("wide", ys, b.weight("q", inner, d))
    kinds = [draw(st.sampled_from(["repeat", "tile"])) for _ in range(2)]
    grouped = [View(narrow.name, kind, width, group) for kind in kinds]  # type: ignore[arg-type]
    sides = draw(st.permutations([View(wide.name), grouped[0]])) if draw(st.booleans()) else grouped
    return honest(b, b.output(b.site("m", MatMul(*sides, inner), p, p, inner * CLAMP**2)))


@PROPERTY
@given(views())
def test_any_view(case: Case) -> None:
    with small_build(cap=2048):
        accept(case)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_every_node_type(seed: int, levels: int) -> None:
    with small_build(levels=levels):
        accept(everything(seed, d=(12, 33, 64)[seed], low=(-30, None, -55)[seed]))


@pytest.mark.parametrize(("d", "split"), [(20, 0), (20, 12), (33, 5), (64, 7), (1, 24), (40, 1)])
def test_one_wide_network(d: int, split: int) -> None:
    """Joined weights, transposed sides with shared heads, runs that end inside a layer, d below and above w."""
    accept(wide(d, split))


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (1, 40, 32, 1), (70, 1, 1, 1), (32, 16, 16, 32), (33, 17, 16, 31), (64, 2, 2, 64)]
)
def test_degenerate_sizes(shape: tuple[int, int, int, int]) -> None:
    """One row, one column, columns below and just above a multiple of w, as many tokens as blocks."""
    with small_build(cap=2048):
        accept(chain(*shape))


def test_all_zero_and_extreme_weights() -> None:
    """Zero weights have shift 0 everywhere and no remainder table; full-scale ones fill the digit range."""
    b = chain()
    for value in (0, 7, -8):
        weights = {name: np.full_like(x, value) for name, x in b.weights.items()}
        with small_build(cap=1 << 15):
            case = Case(b.program, weights, SMALL)
            accept(case)
            assert value or set(case.trace.shifts.values()) == {0}


@pytest.mark.parametrize("security", [100, 128])
def test_real_levels(security: int) -> None:
    case = chain()
    accept(Case(case.program, case.weights, Knobs(security=security)))


def test_proofs_on_one_commitment_differ() -> None:
    """Fresh randomness for every proof; all verify."""
    case = chain()
    setup, commitment = case.setup(), case.commit()
    proofs = {case.prove(setup, commitment=commitment, seed=seed) for seed in range(3)}
    assert len(proofs) == 3
    for proof in proofs:
        case.verify(proof, setup, commitment.root)
    assert case.commit(1).root != case.commit(3).root
    assert secret(1) != secret(3)


@pytest.mark.slow
def test_sixteen_million_weights() -> None:
    """2^24 weights of eight bits at the default level, with the real tables; memory stays below 4 GB."""
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:  # other tests' peaks are not this one's
        assert fresh.submit(_sixteen_million_weights).result() < 4 << 20


def _sixteen_million_weights() -> int:
    """Prove and verify; the peak of this process in kB."""
    with small_build(cap=1 << 15):
        b = Builder(0, clamp=511)
        x, w = b.weight("x", 4096, 2048, 8), b.weight("a", 4096, 2048, 8)
        m = b.matmul("m", b.sketch("ys", x, 64), w)
        case = Case(b.output(m), b.values(), Knobs())
        assert sum(x.size for x in case.weights.values()) == 1 << 24
        assert len(case.setup().geometry.levels) >= 2
        accept(case)
    status = Path("/proc/self/status").read_text()  # ru_maxrss would still count who started this process
    return int(status.partition("VmHWM:")[2].split()[0])
