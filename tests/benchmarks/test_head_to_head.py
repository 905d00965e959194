"""The head-to-head benchmark's own side: the statement as a program, the stages' limits, the ratios."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.head_to_head import huref_tool, stages
from benchmarks.head_to_head.__main__ import RUNS, ratios
from benchmarks.head_to_head.claims import CLAIMS
from benchmarks.head_to_head.stages import Limits
from benchmarks.head_to_head.statement import POOLED, cosine, inputs, pooled_sums
from huref.common.errors import Rejected
from huref.prover.owner import DEFAULT_PROOFS
from huref.verifier.argument.verify import verify_program

SIZE = 16


def test_the_sums_are_those_of_the_definition() -> None:
    """Python integers, entry by entry."""
    x, wq, wk = (array.tolist() for array in inputs(SIZE))
    span = range(SIZE)
    queries, keys = ([[sum(x[i][c] * w[c][j] for c in span) for j in span] for i in span] for w in (wq, wk))
    flat = [sum(queries[i][c] * keys[j][c] for c in span) for i in span for j in span]
    pool = SIZE * SIZE // POOLED
    expected = [sum(flat[o * pool : (o + 1) * pool]) for o in range(POOLED)]
    assert pooled_sums(*inputs(SIZE)).tolist() == expected


def test_the_program_computes_the_statement_and_is_proven(tmp_path: Path) -> None:
    """All stages at a tiny size; the outputs are the statement's up to rounding, and others are rejected."""
    found = {name: stage(tmp_path, SIZE) for name, stage in huref_tool.STAGES.items()}
    assert found["verify"]["cosine"] > 0.99
    assert found["verify"]["security_bits"] >= 100
    assert found["prove"]["proof_bytes"] == (tmp_path / "proof").stat().st_size
    assert all(seconds >= 0 for stage in found.values() for seconds in stage["call"].values())

    public = pickle.loads((tmp_path / "public").read_bytes())
    assert not any(public.v[POOLED:])
    other = dataclasses.replace(public, v=[public.v[0] + 1, *public.v[1:]])
    root, proof = ((tmp_path / name).read_bytes() for name in ("root", "proof"))
    with pytest.raises(Rejected):
        verify_program(huref_tool.setup_of(SIZE, other), huref_tool.STATEMENT, root, proof)


def test_identity_sketch_leaves_x_as_it_is(tmp_path: Path) -> None:
    """X reaches the products unrounded, so only the three products differ from exact arithmetic."""
    huref_tool.witness_stage(tmp_path, SIZE)
    trace = pickle.loads((tmp_path / "trace").read_bytes())
    assert trace.sites["xs"].shift == 0
    np.testing.assert_array_equal(trace.sites["xs"].out, inputs(SIZE)[0])


def test_a_stage_is_measured_and_reports(tmp_path: Path) -> None:
    """Seconds and memory of a child process, and what it wrote."""
    code = (
        "import sys, pathlib; from benchmarks.head_to_head.report import timed, write;"
        "_, call = timed(lambda: sum(range(10**6)));"
        "write(pathlib.Path(sys.argv[1]), 'work', call=call)"
    )
    found = stages.run_stage([sys.executable, "-c", code, str(tmp_path)], tmp_path, "work", {})
    assert 0 < found["call"]["cpu"] <= found["process"]["cpu"]
    assert 0 < found["process"]["peak_gb"] < 4


@pytest.mark.parametrize(
    ("code", "limits", "reason"),
    [
        ("while True: pass", Limits(cpu_seconds=0.2), "CPU-s"),
        ("import time; time.sleep(60)", Limits(memory_gb=0.001), "stopped at"),
        ("import time; time.sleep(60)", Limits(wall_seconds=0.2), "stopped after 0 s"),
        ("raise SystemExit('no such circuit')", Limits(), "no such circuit"),
    ],
)
def test_a_stage_that_cannot_finish_says_why(tmp_path: Path, code: str, limits: Limits, reason: str) -> None:
    """Time, memory and failure end the stage with a reason instead of the benchmark."""
    with pytest.raises(stages.StageFailed, match=reason):
        stages.run_stage([sys.executable, "-c", code], tmp_path, "work", {}, limits)


def test_ratios_divide_cpu_seconds_of_the_same_stages() -> None:
    """Rows with round numbers; nothing is claimed when a row is missing."""

    def stage(call: float, process: float) -> dict[str, dict[str, float]]:
        return {"call": {"cpu": call}, "process": {"cpu": process}}

    ours = {"commit": stage(1, 4), "witness": stage(1, 4), "prove": stage(2, 5), "warm": stage(1, 9)}
    theirs = {"setup": stage(60, 60), "witness": stage(20, 20), "prove": stage(100, 100)}
    rows = [
        {"system": "huref", "size": 128, "stages": ours},
        {"system": "ezkl-lean", "size": 128, "stages": theirs},
    ]
    expected = {"call": 50, "warm": 100, "process": 20, "with witness": 30, "with setup": 45}
    assert ratios(rows) == expected
    assert ratios(rows[:1]) == {}
    assert ratios([{**rows[0], "not_run": "out of memory"}, rows[1]]) == {}


def test_every_row_says_what_it_proves() -> None:
    """The same questions for every system."""
    assert {system for system, _ in RUNS} == set(CLAIMS)
    assert len({tuple(answers) for answers in CLAIMS.values()}) == 1
    assert cosine(np.array([3.0, 4.0]), np.array([3, 4])) == pytest.approx(1)


def test_the_count_of_proofs_is_that_of_the_run_and_of_the_program() -> None:
    """What the stages commit to, and what `huref prove` makes a commitment for."""
    assert DEFAULT_PROOFS == 256
    assert f"{huref_tool.KNOBS.proofs} here, 256 by default" in CLAIMS["huref"]["commitment"]
