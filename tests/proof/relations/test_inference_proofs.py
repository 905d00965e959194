"""Proofs of runs of tiny models, through bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from huref.circuits.inference.relate_head import Claims
from huref.common.errors import Rejected
from huref.common.params import Knobs
from tests.proof.relations.test_relation_attacks import prove_falsely
from tests.support.inference_forger import Deviation, forge
from tests.support.inference_runs import TINY, UNEVEN, Run, layout_run, make_run
from tests.support.toy_relations import KNOBS, Toy, without

pytestmark = pytest.mark.slow


def of(run: Run, knobs: Knobs = KNOBS) -> Toy:
    """A run's relations with what satisfies them."""
    return Toy(run.relations, run.weights, run.found, knobs)


@pytest.fixture(scope="module")
def run() -> Run:
    return make_run()


@pytest.fixture(scope="module")
def proof(run: Run) -> bytes:
    return of(run).prove()


def test_more_tokens_than_a_block() -> None:
    made = of(make_run(TINY, 37, (0, 20, 36)))
    assert made.setup.layout.w == 32
    made.verify(made.prove())


SEVERAL = (3, 34, 2), (2, 20, 36, 38)
"""Lengths of sequences, of which one is longer than a block and begins inside one, and claimed places."""


@pytest.mark.parametrize("layout", ["llama", "gpt2"])
def test_several_sequences(layout: str) -> None:
    lengths, positions = SEVERAL
    made = of(layout_run(layout, tokens=lengths, positions=positions))
    assert made.setup.layout.w == 32
    made.verify(made.prove())


def test_what_a_proof_of_several_says_cannot_be_changed() -> None:
    """Sequences cut elsewhere, or one's odds for another's, are other relations."""
    run = make_run(TINY, (3, 2, 3), (1, 2, 4, 5, 7))
    made = of(run)
    proof, (first, second, third) = made.prove(), run.claims.odds
    made.verify(proof)
    odds = first + 1, second - 1, third
    for other in (
        replace(run, lengths=(3, 3, 2)),
        replace(run, lengths=(2, 3, 3)),
        replace(run, lengths=(8,), claims=replace(run.claims, odds=(first + second + third,))),
        replace(run, claims=replace(run.claims, odds=odds)),
        replace(run, ids=(run.ids[5], *run.ids[1:5], run.ids[0], *run.ids[6:])),
    ):
        with pytest.raises(Rejected):
            made.verify(proof, setup=Toy(other.relations, run.weights, run.found).setup)


@pytest.mark.parametrize("layout", ["small rows", "small heads", "qwen2", "qwen3"])
def test_other_layouts(layout: str) -> None:
    """GPT-2's is above; Gemma 2's, with caps and norms behind, is proven in tests/verifier/test_inference.py."""
    made = of(layout_run(layout))
    made.verify(made.prove())


def test_uneven_heads_at_a_hundred_and_twenty_eight_bits() -> None:
    made = of(make_run(UNEVEN, 6, (5,)), Knobs(security=128, grinding=12, proofs=1))
    assert made.verify(made.prove(), min_security=128).bits >= 128


def test_what_a_proof_says_cannot_be_changed(run: Run, proof: bytes) -> None:
    """Other claims, ids or facts are other relations."""
    made = of(run)
    made.verify(proof)
    claims = run.claims
    others = [
        replace(run, claims=replace(claims, tokens=(claims.tokens[0] ^ 1, *claims.tokens[1:]))),
        replace(run, claims=replace(claims, odds=(claims.odds[0] + 1,))),
        replace(run, claims=replace(claims, gaps=(2, *claims.gaps[1:]))),
        replace(run, claims=Claims((2, 4), claims.tokens, claims.gaps, claims.odds)),
        replace(run, ids=(run.ids[0] ^ 1, *run.ids[1:])),
        replace(
            run, facts=replace(run.facts, layers=tuple(replace(x, theta=8000) for x in run.facts.layers))
        ),
        replace(run, facts=replace(run.facts, epsilon="1e-06")),
    ]
    for other in others:
        with pytest.raises(Rejected):
            made.verify(proof, setup=Toy(other.relations, run.weights, run.found).setup)


@pytest.fixture(scope="module")
def three() -> Run:
    return make_run(TINY, (3, 3, 3), (2, 5, 8))


@pytest.mark.parametrize(
    "of_run,how,check",
    [
        ("run", Deviation(residual={"l1.o": "embedded"}), "o"),
        ("run", Deviation(octave=("l1.scores", 1)), "scores.inverse"),
        ("run", Deviation(shift=("l1.up", 1)), "up.shift"),
        ("three", Deviation(taken="l1.k_turned"), "scores"),
        ("three", Deviation(taken="l0.v"), "mix"),
    ],
    ids=[
        "a residual that skips a layer", "another M", "a secret shift off by one", "keys of another sequence",
        "values of another sequence",
    ],
)  # fmt: skip
def test_a_deviation(of_run: str, how: Deviation, check: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(of_run)
    found = forge(run, how)
    wrong = set(run.wrong(found))
    assert wrong - {"head.gap", "odds.total"} == {check}
    made = without(of(run), *wrong - {check})  # its own gap would be published
    with pytest.raises(Rejected) as caught:
        made.verify(prove_falsely(made, found))
    assert caught.value.path == "opening.final"
    other = without(made, check)
    other.verify(prove_falsely(other, found))
