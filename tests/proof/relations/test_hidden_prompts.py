"""Relations of hidden prompts: a hidden token is one of the vocabulary, its row of the embedding is read, and the value
that binds it to its opening is a polynomial of its id that a mask hides.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.prover.relations.prove
from huref.circuits.inference.prompt_opening import (
    HIDDEN,
    SALT_BYTES,
    prompt_digest,
    prompt_mask,
    prompt_value,
)
from huref.circuits.inference.relations import relate
from huref.circuits.relations.security import relation_security
from huref.common.algebra.field import DEGREE, P
from huref.common.algebra.kscalar import KS
from huref.common.errors import Malformed, Rejected, UsageError
from huref.prover.relations.prompts import prompt_values
from huref.verifier.inference import HiddenPrompts
from huref.verifier.relations.verify import verify_relations
from tests.proof.relations.test_inference_proofs import of
from tests.proof.relations.test_relation_attacks import prove_falsely
from tests.proof.test_zero_knowledge import leaks
from tests.support.functionals import random_point
from tests.support.inference_forger import forge
from tests.support.inference_runs import LAYOUTS, Run, layout_run
from tests.support.toy_relations import STATEMENT, Toy, without

LENGTHS, PLACES, SECRET = (5, 4, 3), (3, 4, 7, 11), (3, 0, 2)
"""Three sequences, of which the first ids of two are hidden."""


def hidden_run(layout: str = "llama", hidden: tuple[int, ...] = SECRET) -> Run:
    return layout_run(layout, tokens=LENGTHS, positions=PLACES, hidden=hidden)


@pytest.fixture(scope="module")
def run() -> Run:
    return hidden_run()


@pytest.fixture(scope="module")
def made(run: Run) -> Toy:
    return of(run)


@pytest.fixture(scope="module")
def proof(made: Toy) -> bytes:
    return made.prove()


def heard(made: Toy, proof: bytes) -> HiddenPrompts:
    found = HiddenPrompts()
    verify_relations(made.setup, STATEMENT, made.commitment.root, proof, made.knobs.security, found)
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_relations_hold_in_every_layout(layout: str) -> None:
    """The run is that of published ids; what hides them is all that differs."""
    shown, secret = hidden_run(layout, ()), hidden_run(layout)
    assert secret.wrong() == [] and secret.relations.prompts is not None
    more = {"prompt.chosen", "prompt.mask", "embed.one", "embed.rows"}
    assert set(secret.found) - set(shown.found) == more - set(shown.found)
    for name, values in shown.found.items():
        assert np.array_equal(values, secret.found[name]), name
    assert shown.relations.prompts is None


def test_ids_do_not_enter_the_relations(run: Run) -> None:
    """Relations of other hidden ids are the same: they say which tokens are hidden, not which ids."""
    other = replace(run, ids=tuple((i + 1) % run.shape.vocab for i in run.ids[:3]) + run.ids[3:])
    assert other.ids != run.ids and other.relations == run.relations
    digests = {Toy(one.relations, one.weights, {}).setup.digest for one in (run, other)}
    assert len(digests) == 1
    assert run.shown[:3] == (HIDDEN,) * 3 and run.shown[3:9] == run.ids[3:9]


@pytest.mark.parametrize("ids", [(5, HIDDEN, 1, 2, 3), (HIDDEN, 5, HIDDEN, 2, 3)])
def test_what_is_hidden_is_the_beginning(ids: tuple[int, ...], run: Run) -> None:
    rest = run.ids[5:]
    with pytest.raises(UsageError, match="the first ones of their sequence"):
        relate(run.program, ids + rest, run.claims, run.stack)


def test_a_proof_where_positions_are_learned() -> None:
    """The embedding's rows are hidden, those of the positions are public. LLaMA's layout is proven below."""
    made = of(layout_run("gpt2", tokens=3, positions=(2,), hidden=(2,)))
    assert made.verify(made.prove()).bits >= made.knobs.security


# opening


def test_the_prompt_that_was_run_opens(run: Run, made: Toy, proof: bytes) -> None:
    found = heard(made, proof)
    first, second = list(run.ids[:3]), list(run.ids[9:11])
    one, two = run.salts
    assert found.values == [prompt_value(found.point, one, first), prompt_value(found.point, two, second)]
    others = [
        prompt_value(found.point, two, first),
        prompt_value(found.point, one, first[::-1]),
        prompt_value(found.point, one, [*first[:2], first[2] ^ 1]),
        prompt_value(found.point, one, [*first, 0]) if first[-1] else KS(0),
    ]
    assert found.values[0] not in others[:3]


def test_values_by_hand(run: Run) -> None:
    point, salt = random_point(1, 7)[0], run.salts[0]
    expected = KS(prompt_mask(salt))
    for j, i in enumerate(run.ids[:3]):
        power = KS(1)
        for _ in range(j + 1):
            power = power * point
        expected += power * i
    assert prompt_value(point, salt, run.ids[:3]) == expected


def test_a_digest_is_of_its_salt_and_every_id() -> None:
    salt = bytes(range(32))
    given = [
        (salt, [1, 2]),
        (salt, [2, 1]),
        (salt, [1, 2, 0]),
        (salt, [1]),
        (salt, [513]),
        (salt[::-1], [1, 2]),
    ]
    assert len({prompt_digest(*one) for one in given}) == len(given)
    assert prompt_digest(salt, [1, 2]) == "4c1883b762a8d4d7231a9917a81d746c15b105af8d001c14e6ba7684bf7c88c3"
    assert len(prompt_mask(salt)) == DEGREE and max(prompt_mask(salt)) < P
    assert prompt_mask(salt) != prompt_mask(salt[::-1])


# cheating


def chosen(made: Toy, *changes: tuple[int, int, int]) -> dict[str, Any]:
    """Entries (token, id) of the choice are more."""
    found = made.found["prompt.chosen"].astype(np.int32).copy()
    for token, column, by in changes:
        found[token, 0, column] += by
    return {**made.found, "prompt.chosen": found}


def two_halves(made: Toy, run: Run) -> dict[str, Any]:
    """A mixture of two rows, of which the embedding's follows."""
    inverse = pow(2, -1, P)
    half = inverse - P if inverse > P >> 1 else inverse
    other = (run.ids[0] + 1) % run.shape.vocab
    return chosen(made, (0, run.ids[0], half - 1), (0, other, half))


def none(made: Toy, run: Run) -> dict[str, Any]:
    return chosen(made, (0, run.ids[0], -1))


def two(made: Toy, run: Run) -> dict[str, Any]:
    return chosen(made, (0, (run.ids[0] + 1) % run.shape.vocab, 1))


def difference(made: Toy, run: Run) -> dict[str, Any]:
    """Two ones and a minus one: one in all."""
    v = run.shape.vocab
    return chosen(made, (0, (run.ids[0] + 1) % v, 1), (0, (run.ids[0] + 2) % v, -1))


def another(made: Toy, run: Run) -> dict[str, Any]:
    """Another token than the one whose row and step are read, where they differ."""
    return chosen(made, (0, run.ids[0], -1), (0, (run.ids[0] + 1) % run.shape.vocab, 1))


def false_row(made: Toy, run: Run) -> dict[str, Any]:
    """The row of a hidden token is none of the embedding's; everything behind it is honest."""
    weights = {**run.weights, "embed": run.weights["embed"].copy()}
    weights["embed"][run.ids[0]] = np.roll(weights["embed"][run.ids[0]], 1)
    return forge(run, weights=weights)


PROVEN = ("another row",)
"""The relations alone are asked about the others: what does not hold is rejected (test_relation_attacks; of a mixture,
test_hidden_prompt_attacks).
"""
CHEATS: dict[str, tuple[Callable[[Toy, Run], dict[str, Any]], set[str]]] = {
    "a mixture": (two_halves, {"prompt.bits"}),
    "no token": (none, {"prompt.one"}),
    "two tokens": (two, {"prompt.one"}),
    "a difference": (difference, {"prompt.bits"}),
    "another token": (another, set()),
    "another row": (false_row, {"embed.rows"}),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_hidden_token_is_one_of_the_vocabulary(cheat: str, made: Toy, run: Run) -> None:
    """The check of that alone stops it, where what follows from the choice is left out too."""
    forger, expected = CHEATS[cheat]
    found = forger(made, run)
    follows = {"embed.rows", "embed.shift"} - expected
    claims = {"head.gap", "odds.total"} if cheat == "another row" else set()
    wrong = set(made.wrong(found))
    assert expected <= wrong <= expected | follows | claims and wrong
    if cheat not in PROVEN:
        return
    lenient = without(made, *(wrong - expected)) if expected else made
    with pytest.raises(Rejected) as caught:
        lenient.verify(prove_falsely(lenient, found))
    assert caught.value.path == "opening.final"
    without_it = without(made, *wrong)
    without_it.verify(prove_falsely(without_it, found))


def test_another_prompt_does_not_open(made: Toy, run: Run) -> None:
    """A prover who tells the value of another prompt than was run."""

    def told(values: Any, prompts: Any, point: KS) -> list[KS]:
        first = prompt_value(point, run.salts[0], [(i + 1) % run.shape.vocab for i in run.ids[:3]])
        return [first, *prompt_values(values, prompts, point)[1:]]

    with mock.patch.object(huref.prover.relations.prove, "prompt_values", told):
        proof = made.prove()
    with pytest.raises(Rejected) as caught:
        made.verify(proof)
    assert caught.value.path == "opening.final"


def test_prompts_in_another_order_do_not_open(made: Toy) -> None:
    def swapped(*given: Any) -> list[KS]:
        return prompt_values(*given)[::-1]

    with mock.patch.object(huref.prover.relations.prove, "prompt_values", swapped):
        proof = made.prove()
    with pytest.raises(Rejected):
        made.verify(proof)


def test_a_proof_hides_as_much_as_it_says(made: Toy, run: Run, proof: bytes) -> None:
    """Other lengths of what is hidden are other relations."""
    made.verify(proof)
    for hidden in ((2, 0, 2), (3, 0, 1), (3, 1, 2), (3, 0, 0), ()):
        setup = Toy(replace(run, hidden=hidden).relations, run.weights, {}).setup
        with pytest.raises((Rejected, Malformed)):
            made.verify(proof, setup=setup)


def test_the_ledger_has_all_hidden_tokens(made: Toy) -> None:
    terms = {term.label: term for term in relation_security(made.setup).terms}
    assert terms["prompt.point"].error_bits == pytest.approx(DEGREE * np.log2(P) - np.log2(5))
    plain = {term.label for term in relation_security(of(hidden_run(hidden=())).setup).terms}
    assert set(terms) - plain == {"prompt.point"}


# what values show


def test_values_are_uniform_with_fresh_salts(made: Toy, run: Run) -> None:
    """At one point, with the ids of one run."""
    point = random_point(1, 3)[0]

    def words(salts: Callable[[], bytes]) -> np.ndarray:
        rows = []
        for _ in range(64):
            first = prompt_value(point, salts(), run.ids[:3])
            rows.append([*first])
        return np.array(rows, np.uint64)

    fresh = words(lambda: secrets.token_bytes(SALT_BYTES))
    assert leaks({"values": fresh}) == [] and len(np.unique(fresh)) == fresh.size
    assert leaks({"values": words(lambda: bytes(SALT_BYTES))}) == ["values"]
