"""What is committed of a run, and the runs that are refused because no proof can hold them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref.circuits.inference.relate_head import Claims
from huref.circuits.inference.sites import Cap
from huref.common.errors import ProverError
from huref.prover.run.inference.record import _Recorder, record_run
from tests.support.inference_runs import CAPPED, Run, make_run


@pytest.fixture(scope="module")
def run() -> Run:
    return make_run()


def test_every_matrix_is_recorded_in_its_shape(run: Run) -> None:
    assert set(run.found) == set(run.relations.matrix)
    for name, matrix in run.relations.matrix.items():
        assert run.found[name].size == matrix.frame.rows * matrix.frame.cols
        assert np.abs(run.found[name].astype(np.int64)).max() <= matrix.largest, name


def test_a_claim_that_does_not_hold_is_refused(run: Run) -> None:
    tokens = tuple((token + 1) % run.shape.vocab for token in run.claims.tokens)
    false = replace(run, claims=Claims(run.claims.positions, tokens, run.claims.gaps, run.claims.odds))
    with pytest.raises(ProverError, match=r"the token claimed behind position \d is further below the best"):
        record_run(false.program, false.relations, false.weights, false.ids, false.claims)


@pytest.mark.parametrize(
    "value,fits", [((1 << 19) - 257, True), ((1 << 19) - 256, False), (-(1 << 19), True)]
)
def test_the_end_of_the_table_of_limbs(value: int, fits: bool, run: Run) -> None:
    recorder = _Recorder(run.program, run.relations, run.weights, run.ids, run.claims)
    values = np.full((len(run.ids), run.shape.hidden), value, np.int64)
    if fits:
        recorder.streamed(0, values)
        return
    with pytest.raises(ProverError, match=r"stream\.high: a value does not fit the proof"):
        recorder.streamed(0, values)


def test_the_end_of_the_table_of_capped_logits() -> None:
    run = make_run(CAPPED, activation="gelu_tanh")
    recorder = _Recorder(run.program, run.relations, run.weights, run.ids, run.claims)
    site = run.program.sites[-1]
    assert isinstance(site, Cap)
    for value in (1 << 17, -(1 << 17) - 1):
        recorder.trace.values["head"] = np.full((2, run.shape.vocab), value, np.int64)
        with pytest.raises(ProverError, match="head: a logit is too large to be capped"):
            recorder.cap(site)
