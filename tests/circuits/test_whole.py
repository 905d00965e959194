"""`hardened-2` compiled: the committed stack, the sites and their bounds, what is measured, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref.circuits.fingerprint.shape import Block, ModelShape
from huref.circuits.program.bounds import FIELD_PRIME, HEIGHT
from huref.circuits.program.program import (
    Deflation,
    HeadProducts,
    Likeness,
    MatMul,
    Program,
    SketchSum,
)
from huref.circuits.whole import committed_tensors, compile_whole
from huref.common.errors import UsageError
from tests.support.shapes import SEVEN_B, SEVENTY_B, SMOL

PLAIN = replace(SMOL, kv_heads=9, gated=False, norm="layer", layers=6)
IDS = list(range(100, 1300))
PIECES = [b"%d" % n for n in IDS]


def compiled(shape: ModelShape, challenge: bytes = b"") -> Program:
    return compile_whole(shape, IDS, PIECES, 128, challenge)


@pytest.mark.parametrize("shape", [SMOL, PLAIN, SEVEN_B, SEVENTY_B], ids=["llama", "plain", "7b", "70b"])
def test_every_static_bound_holds(shape: ModelShape) -> None:
    program = compiled(shape)
    worst = {name: weight.bound for name, weight in program.weight.items()}
    for site in program.sites:
        acc = site.acc
        if isinstance(acc, SketchSum):
            largest = worst[acc.source] << program.influence[acc.multipliers].bits
            assert acc.bound(site.rows, largest) <= site.bound
        elif isinstance(acc, Deflation):
            assert ((1 << acc.bits) + program.ratio[acc.ratio].clamp) * worst[acc.source] <= site.bound
        elif isinstance(acc, HeadProducts):
            assert acc.width * worst[acc.left] * worst[acc.right.source] <= site.bound < HEIGHT
        elif isinstance(acc, Likeness):
            scores = program.site[acc.source]
            assert scores.rows * worst[acc.source] ** 2 <= site.bound == site.full < HEIGHT
            assert site.clamp < site.target and scores.clamp < scores.target and site.rows >= acc.heads
        else:
            assert isinstance(acc, MatMul)
            longest = max(run.stop - run.start for run in acc.runs)
            assert longest * worst[acc.left.source] * worst[acc.right.source] <= site.bound
        assert 2 * site.bound < FIELD_PRIME and site.low == -site.clamp
        assert 2 * site.calibration_rows * site.cols * site.clamp < FIELD_PRIME
        worst[site.name] = site.clamp
    assert 2 * program.output.bound < FIELD_PRIME and program.length == 4096
    assert compiled(shape) == program


@pytest.mark.parametrize("shape", [SMOL, PLAIN, SEVENTY_B], ids=["llama", "plain", "70b"])
def test_outputs_stay_below_their_bound(shape: ModelShape) -> None:
    program = compiled(shape)
    factors = program.output.numbers({"ud": 255})
    reached = np.zeros(4096, np.int64)
    for name, bucket, factor in zip(program.output.sources, program.output.bucket, factors, strict=True):
        reached += np.bincount(bucket.reshape(-1), minlength=4096) * program.site[name].clamp * abs(factor)
    assert reached.max() <= program.output.bound


def test_names_and_order() -> None:
    program = compiled(SMOL)
    assert [site.name for site in program.sites] == [
        "ys", "yt", "g1", "z1", "ys1", "g2", "z2", "ys2",
        "qs", "ks", "scores", "alike", "qa", "qc", "qk", "oa", "oc", "vo", "ua", "uc", "ud", "gram",
    ]  # fmt: skip
    assert program.output.sources == ("qk", "vo", "ud", "gram")
    assert program.output.numbers({"ud": 7}) == (64, 64, 64, -7)
    assert [i.name for i in program.influences] == [f"{n}.multipliers" for n in ("rows", "vo", "qk", "ud")]
    assert program.influence["qk.multipliers"].gate == "vo.multipliers"
    assert [i.quarters for i in program.influences] == [2, 3, 3, 2]
    assert [(row.name, row.of) for row in program.shares] == [
        ("vo.heads", "vo.multipliers"), ("qk.heads", "qk.multipliers"),
        ("vo.shares", "vo.heads"), ("qk.shares", "qk.heads"),
    ]  # fmt: skip
    assert program.unit("qk.shares") == 5 and program.counting("qk.shares").name == "qk.multipliers"
    assert [s.multipliers for s in program.sites if s.multipliers] == [
        "qk.heads", "qk.shares", "vo.shares", "ud.multipliers",
    ]  # fmt: skip
    assert [ratio.name for ratio in program.ratios] == ["ys1", "ys2", "ud"]
    assert program.ranged and program.weight["embed"].rows == SMOL.vocab


def test_all_layers_are_read_and_all_tensors_committed() -> None:
    program = compiled(SMOL)
    for name in ("q", "k", "v", "o", "up", "down"):
        weight = program.weight[name]
        assert weight.parts == tuple(f"l{n}.{name}" for n in range(30))
    stacked = committed_tensors(SMOL)
    assert program.committed == stacked
    kinds = [w.name.partition(".")[2] if w.name[0] == "l" else w.name for w in stacked]
    assert kinds == sorted(kinds, key=kinds.index)  # kind by kind, each through all layers


def test_rows_of_grouped_heads_are_repeated() -> None:
    grouped, plain = compiled(SMOL), compiled(PLAIN)
    for name, kind, group in (("qc", "repeat", 3), ("oc", "repeat", 3), ("uc", "plain", 1)):
        acc = grouped.site[name].acc
        assert isinstance(acc, MatMul) and (acc.right.kind, acc.right.group) == (kind, group)
    acc = plain.site["qc"].acc
    assert isinstance(acc, MatMul) and acc.right.kind == "plain"
    k, v = (grouped.influence[f"{name}.multipliers"].steps[1] for name in ("qk", "vo"))
    assert len(k.index) == len(v.index) == 30 * SMOL.q_rows
    assert k.index[:65].tolist() == [*range(64), 0] and k.index[SMOL.q_rows] == SMOL.kv_rows


def test_a_gate_counts_where_there_is_one() -> None:
    read = [[r.tensors[0] for r in compiled(s).influence["ud.multipliers"].steps] for s in (SMOL, PLAIN)]
    assert read == [["l0.gate.step", "l0.up.step", "l0.down.step"], ["l0.up.step", "l0.down.step"]]


MIXED = replace(
    SMOL,
    layers=3,
    ffn=4000,
    blocks=(Block(True, 100), Block(False, 4000, 8), Block(True, 0)),
    other_mixers=True,
)


def test_terms_sum_over_the_layers_that_have_them() -> None:
    program = compiled(MIXED)
    assert program.weight["q"].parts == ("l0.q", "l2.q") and program.weight["up"].parts == ("l0.up", "l1.up")
    assert program.weight["v"].rows == 2 * MIXED.kv_rows and program.weight["down"].rows == 4100
    assert (program.site["qa"].cols, program.site["ua"].cols) == (2 * MIXED.q_rows, 4100)
    read = program.influence["ud.multipliers"].steps[0]
    assert read.tensors == ("l0.gate.step", "l1.gate.step") and read.index.tolist() == list(range(4100))
    k = program.influence["qk.multipliers"].steps[1]
    assert k.tensors == ("l0.k.step", "l2.k.step") and k.index[MIXED.q_rows] == MIXED.kv_rows
    names = [weight.name for weight in program.committed]
    assert "l1.router" in names and "l0.router" not in names and "l1.q" not in names and "l2.up" not in names


def test_long_sums_are_cut() -> None:
    program = compiled(SEVENTY_B)
    acc = program.site["uc"].acc
    assert isinstance(acc, MatMul) and acc.split == 49152
    assert sum(run.stop - run.start for run in acc.runs) == SEVENTY_B.layers * SEVENTY_B.ffn
    assert program.site["uc"].cols == len(acc.runs) * SEVENTY_B.hidden
    cut, whole = compiled(SMOL).site["qk"].acc, compiled(PLAIN).site["qk"].acc
    assert isinstance(cut, MatMul) and isinstance(whole, MatMul) and cut.split == whole.split == 0


def test_a_challenge_changes_the_tables_alone() -> None:
    public, asked, again = compiled(SMOL), compiled(SMOL, bytes(32)), compiled(SMOL, bytes(32))
    assert asked == again and public != asked
    assert public.output != asked.output and public.site["ys"] != asked.site["ys"]
    assert public.weights == asked.weights and public.committed == asked.committed
    for one, other in zip(public.sites, asked.sites, strict=True):
        if not isinstance(one.acc, SketchSum):
            assert one.acc == other.acc


def test_refusals() -> None:
    with pytest.raises(UsageError, match="1025 layers"):
        compiled(replace(SMOL, layers=1025))
    with pytest.raises(UsageError, match="too wide"):
        compiled(replace(SMOL, hidden=1 << 20))
    crowd = (Block(True, 1 << 24, 1 << 20),) * 1024
    with pytest.raises(UsageError, match="too wide"):  # before anything of that size is made
        compiled(replace(SMOL, layers=1024, ffn=1 << 24, blocks=crowd))
    with pytest.raises(UsageError, match="32 bytes"):
        compiled(SMOL, b"short")
