"""Relations of capped scores and logits: every change is seen by the check meant for it (protocol §13.7)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from huref.circuits.program.functions import score_caps
from huref.prover.run.inference.executor import execute_inference
from tests.circuits.inference.test_relations import OWN, of_layout, other_program
from tests.support.inference_forger import Deviation, forge, forger_logits
from tests.support.inference_runs import Ints, Run


@pytest.fixture(scope="module")
def run() -> Run:
    return of_layout("gemma2")


def uncapped_octaves(run: Run) -> Ints:
    """By how much M of the first layer's scores before their cap is above that of capped ones."""
    octaves = [
        execute_inference(program, run.weights, run.ids).octaves["l0.scores"]
        for program in (other_program(run, score_cap=0), run.program)
    ]
    return np.maximum(octaves[0] - octaves[1], 0)


DEVIATIONS: dict[str, tuple[Callable[[Run], dict[str, Ints]], set[str]]] = {
    "scores that skip their cap": (
        lambda r: forge(r, Deviation(capped=("l1.scores", lambda raw, _: raw))), {"scores.cap"},
    ),
    "another cap of the scores": (
        lambda r: forge(r, Deviation(capped=("l0.scores", lambda raw, _: score_caps(1 << 18, 3)[raw + 2**18]))),
        {"scores.cap"},
    ),
    "a wrong entry of a capped score": (
        lambda r: forge(r, Deviation(capped=("l1.scores", lambda _, honest: honest + (honest == honest.max())))),
        {"scores.cap"},
    ),
    "M of scores before their cap": (
        lambda r: forge(r, Deviation(octave=("l0.scores", uncapped_octaves(r)))), {"scores.inverse"},
    ),
    "logits that skip their cap": (
        lambda r: forge(r, Deviation(logits=lambda raw, _: raw)), {"head.cap"},
    ),
    "another cap of the logits": (
        lambda r: forge(r, program=other_program(r, logit_cap=4)), {"head.cap"},
    ),
    "a wrong entry of a capped logit": (
        lambda r: forge(r, Deviation(logits=lambda _, honest: honest - (honest == honest.max()))),
        {"head.cap"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DEVIATIONS)
def test_a_deviation(name: str, run: Run) -> None:
    how, expected = DEVIATIONS[name]
    assert set(run.wrong(how(run))) - OWN == expected


def test_odds_and_gaps_are_those_of_capped_logits(run: Run) -> None:
    logits = forger_logits(run, None) * 2.0**-run.facts.logits
    cap, raw = run.facts.logit_cap, run.found["head.raw"].reshape(logits.shape) * 2.0**-run.facts.logits
    assert np.abs(logits - cap * np.tanh(raw / cap)).max() <= 2.0 ** -(run.facts.logits + 1)
    assert np.abs(logits - raw).max() > 0.3  # it bites
    shifted = logits - logits[np.arange(len(logits)), list(run.claims.tokens)][:, None]
    inverse = np.exp(shifted - np.array(run.claims.gaps)[:, None] * 2.0**-run.facts.logits).sum(axis=1)
    assert run.claims.odds == (int(np.ceil(inverse * 4).sum()),)


def test_a_second_solution_mod_p_before_a_cap(run: Run) -> None:
    p = 15 * 2**27 + 1
    shift = run.program.sites[[site.name for site in run.program.sites].index("l1.scores")].shift  # type: ignore[union-attr]
    for name, wrap in (("scores", shift), ("head", None)):
        raw, rest = (run.found[f"{name}.{part}"].astype(np.int64) for part in ("raw", "rest"))
        frame = run.relations.matrix[f"{name}.raw"].frame
        raw, rest = (x.reshape(frame.outer, frame.inner, frame.heads, frame.cols) for x in (raw, rest))
        bits = int(run.found["head.shift"].reshape(-1)[1]) if wrap is None else wrap
        more, rest[1, -1, 0, 1] = divmod(int(rest[1, -1, 0, 1]) + p, 1 << bits)
        raw[1, -1, 0, 1] += more
        assert run.wrong({f"{name}.raw": raw, f"{name}.rest": rest}) == [f"{name}.cap"]
