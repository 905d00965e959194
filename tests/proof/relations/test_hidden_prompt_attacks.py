"""Cheating with prompts that are hidden: runs on other ids than are opened, tokens that are none, and what a proof
shows of its prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.verifier.relations.reduce
from huref.circuits.argument.functional import Claim, Functional
from huref.circuits.inference.prompt_opening import SALT_BYTES, prompt_digest
from huref.circuits.inference_statement import Answer, InferenceStatement
from huref.circuits.relations.frame import starts_of
from huref.common.algebra.field import P
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form
from huref.common.errors import Rejected
from huref.common.files.passages import Passage
from huref.prover.argument.channel import ProverChannel
from huref.prover.relations.values import Values
from huref.verifier.hidden_prompts import open_prompts
from huref.verifier.inference import HiddenPrompts, InferenceVerdict
from huref.verifier.relations.verify import verify_relations
from tests.proof.cheating import edited_array
from tests.proof.relations.test_relation_attacks import prove_falsely
from tests.support.inference_forger import forge
from tests.support.inference_runs import TINY, Run, layout_run, make_run
from tests.support.toy_relations import KNOBS, Toy, without

Ints = Any
Found = dict[str, Ints]
SMALL = replace(TINY, layers=1, ffn=32)
"""Of the vocabulary of 70 a block of 32 is partly empty."""


@pytest.fixture(scope="module")
def run() -> Run:
    """Two tokens behind three hidden ones."""
    return make_run(SMALL, 4, (2, 3), hidden=(3,))


@pytest.fixture(scope="module")
def several() -> Run:
    """Two sequences of one length with hidden prompts, and one between them without."""
    return make_run(SMALL, (3, 3, 3), (1, 2, 4, 8), hidden=(2, 0, 3), seed=4)


OWN = {"head.gap", "odds.total"}
"""What says of a deviating run that it has other logits; its owner would claim what is true of its own."""
LARGE = 1 << 12


def of(run: Run, found: Found | None = None) -> Toy:
    """Without lookups in large tables: a hidden token has none, and they take the time."""
    large = [look.label for look in run.relations.looks if look.table.size > LARGE]
    return without(Toy(run.relations, run.weights, run.found if found is None else found), *OWN, *large)


def prompts(run: Run) -> list[list[int]]:
    """The ids of every hidden prompt."""
    starts = starts_of(run.lengths)
    return [list(run.ids[start : start + n]) for start, n in zip(starts, run.hidden, strict=True) if n]


def passages(ids: Sequence[Sequence[int]], salts: Sequence[bytes]) -> list[Passage]:
    return [Passage(prompt_ids=list(i), salt=salt.hex()) for i, salt in zip(ids, salts, strict=True)]


def statement(run: Run, opening: Sequence[Passage]) -> InferenceStatement:
    """What would stand in a bundle, with the digests of this opening."""
    digests = iter(prompt_digest(bytes.fromhex(o.salt or ""), o.prompt_ids or []) for o in opening)
    answers = []
    for start, length, hidden in zip(starts_of(run.lengths), run.lengths, run.hidden, strict=True):
        shown = [*run.ids[start + hidden : start + length], 0]
        digest = next(digests) if hidden else None
        first = hidden or length
        answers.append(
            Answer(ids=shown, first=first, prompt_digest=digest, gaps=[0], odds=1, prompt=None, answer=None)
        )
    return InferenceStatement(model_id="0" * 64, answers=answers)


def verdict(made: Toy, run: Run, opening: Sequence[Passage], proof: bytes) -> InferenceVerdict:
    """Of a proof under the statement with the digests of this opening."""
    said, seen = statement(run, opening), HiddenPrompts()
    report = verify_relations(
        made.setup, said.encode(), made.commitment.root, proof, KNOBS.security, seen
    )  # fmt: skip
    return InferenceVerdict(said, report, (), len(proof), seen)


def proven(run: Run, opening: Sequence[Passage], found: Found | None = None) -> InferenceVerdict:
    """A proof that is as honest as `found`, under a statement with the digests of this opening."""
    made = of(run, found)
    return verdict(made, run, opening, made.prove(statement=statement(run, opening).encode()))


def refused(path: str, found: InferenceVerdict, opening: Sequence[Passage]) -> None:
    with pytest.raises(Rejected) as caught:
        open_prompts(found, opening, SMALL.vocab)
    assert caught.value.path == path


@contextmanager
def without_prompts_claim() -> Iterator[None]:
    """A build on both sides that takes the values of prompts as they are told."""

    def nothing(*given: Any) -> Claim:
        return Claim("prompts", Functional(given[-1]), Form.public(KS(0)))

    with mock.patch.object(huref.verifier.relations.reduce, "prompts_claim", nothing):
        yield


def another(run: Run, at: int) -> tuple[int, ...]:
    """Its ids but for one."""
    return (*run.ids[:at], (run.ids[at] + 1) % run.shape.vocab, *run.ids[at + 1 :])


# what is opened is what was run


@pytest.fixture(scope="module")
def honest(several: Run) -> InferenceVerdict:
    """Cells past the vocabulary, and past the masks, hold anything: no sum, row or value of a prompt reads them."""
    original = Values.segments

    def filled(self: Values) -> list[Ints]:
        rows = np.concatenate([part.astype(np.int32) for part in original(self)])
        for name in ("prompt.chosen", "prompt.mask"):
            place = self.layout.placed[name]
            last = slice(place.start + place.count - place.rows, place.start + place.count)
            tail = place.cols - (place.blocks - 1) * self.w
            assert 0 < tail < self.w
            rows[last, tail:] = 1 << 20
        return [rows]

    with mock.patch.object(Values, "segments", filled):
        return proven(several, passages(prompts(several), several.salts))


def test_cells_past_the_vocabulary_are_no_tokens(several: Run, honest: InferenceVerdict) -> None:
    first, last = passages(prompts(several), several.salts)
    found = open_prompts(honest, [last, first], SMALL.vocab)
    assert found is not None and honest.closed == 2 and found.closed == 0
    assert [found.prompt_ids(n) for n in (0, 2)] == prompts(several)
    assert found.prompt_ids(1) == list(several.ids[3:6]) and honest.prompt_ids(0) is None


def test_two_prompts_under_one_digest(several: Run, honest: InferenceVerdict) -> None:
    """What opens the one is not the other: a reader of the first one hears that the owner lies about the second."""
    first, _ = passages(prompts(several), several.salts)
    one, shown, other = honest.statement.answers
    copied = [one, shown, other.model_copy(update={"prompt_digest": one.prompt_digest})]
    said = honest.statement.model_copy(update={"answers": copied})
    refused("inference.prompt", replace(honest, statement=said), [first])


def test_ids_under_the_digest_that_were_not_run(run: Run) -> None:
    """The statement's digest is of other ids, or of another salt, than what is committed: a true proof that nobody can
    open, neither to the ones nor to the others. Ids that are others by multiples of p have the value of those that were
    run.
    """
    (ids,), (salt,) = prompts(run), run.salts
    said = passages([[ids[0], ids[1] + P, ids[2]]], [salt])
    found = proven(run, said)
    refused("expect.opening", found, said)
    refused("expect.opening", found, passages([ids], [salt]))
    for path, ids_, salt_ in (
        ("expect.opening", [ids[0], ids[1] + 2 * P, ids[2]], salt),
        ("inference.prompt", another(run, 1)[:3], salt),
        ("inference.prompt", ids, bytes(SALT_BYTES)),
    ):
        said = passages([ids_], [salt_])
        refused(path, replace(found, statement=statement(run, said)), said)


def test_a_run_on_other_ids_with_the_prompts_values(run: Run) -> None:
    """Ids and mask are committed to before the point is known: values that fit what is opened fit no proof of them."""
    (ids,), drawn = prompts(run), list[KS]()
    said = passages([ids], run.salts)
    made = of(run, forge(run, ids=another(run, 1)))
    original = ProverChannel.challenge

    def note(self: ProverChannel, label: str) -> KS:
        drawn.append(original(self, label))
        return drawn[-1]

    def fitting(values: Any) -> Any:
        """What is behind the digest: the second id is one less than the one that was run."""
        return np.array([tuple(KS.from_array(values[0]) - drawn[-1] * drawn[-1])], np.uint64)

    with mock.patch.object(ProverChannel, "challenge", note), edited_array("prompt.values", fitting):
        proof = made.prove(statement=statement(run, said).encode())
        with pytest.raises(Rejected) as caught:
            verdict(made, run, said, proof)
        assert caught.value.path == "opening.final"
        with without_prompts_claim():
            proof = made.prove(statement=statement(run, said).encode())
            found = open_prompts(verdict(made, run, said, proof), said, SMALL.vocab)
    assert found is not None and found.prompt_ids(0) == ids


# tokens that are none


UNUSED = 5, 9
"""Tokens of no sequence."""


@pytest.fixture(scope="module")
def admitting(run: Run) -> Run:
    """Rows and steps of unused tokens are such that sums of them are an embedding's as well."""
    weights = {name: values.copy() for name, values in run.weights.items()}
    for token in UNUSED:
        assert token not in run.ids
        weights["embed"][token] //= 4
        weights["embed.step"][0, token] = -4
    return replace(run, weights=weights)


def mixed(run: Run, parts: dict[int, int]) -> Found:
    """The second hidden token is so many times these tokens, and so are the row and the step that are read for it."""
    weights = {
        **run.weights,
        **{name: run.weights[name].astype(np.int16) for name in ("embed", "embed.step")},
    }
    taken = run.ids[1]
    for rows in (weights["embed"], weights["embed.step"].T):
        rows[taken] = sum((times * rows[i] for i, times in parts.items()), np.zeros_like(rows[0]))
    found = forge(run, weights=weights)
    chosen = found["prompt.chosen"].copy()
    chosen[1, 0] = 0
    chosen[1, 0, list(parts)] = list(parts.values())
    return {**found, "prompt.chosen": chosen}


NONE: dict[str, tuple[dict[int, int], set[str]]] = {
    "two tokens": ({5: 1, 9: 1}, {"prompt.one"}),
    "no token": ({}, {"prompt.one"}),
    "twice one and less another": ({5: 2, 9: -1}, {"prompt.bits"}),
    "three times a token": ({9: 3}, {"prompt.bits", "prompt.one"}),
}


@pytest.mark.parametrize("name", NONE)
def test_a_hidden_token_that_is_none(name: str, admitting: Run) -> None:
    parts, expected = NONE[name]
    assert set(admitting.wrong(mixed(admitting, parts))) - OWN == expected


def test_no_proof_has_such_a_token(admitting: Run) -> None:
    parts, (check,) = NONE["twice one and less another"]
    found = mixed(admitting, parts)
    made = of(admitting)
    with pytest.raises(Rejected) as caught:
        made.verify(prove_falsely(made, found))
    assert caught.value.path == "opening.final"
    other = without(made, check)
    other.verify(prove_falsely(other, found))


# rows that are read


LAYOUTS = {"llama": (2, 0), "gpt2": (3, 1), "gemma3": (0, 3)}
"""Hidden tokens of two sequences of three."""


def hiding(layout: str) -> Run:
    return layout_run(layout, tokens=(3, 3), positions=(2, 5), hidden=LAYOUTS[layout], gap=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_token_is_read_once_hidden_or_not(layout: str) -> None:
    """Another row than that of the token that is chosen, or published, or another row's step."""
    run = hiding(layout)
    assert run.wrong() == []
    steps = run.weights["embed.step"][0].astype(int)
    for at in range(len(run.ids)):
        own = run.ids[at]
        alike = next(i for i in range(run.shape.vocab) if i not in run.ids and steps[i] == steps[own])
        unlike = next(i for i in range(run.shape.vocab) if i not in run.ids and steps[i] != steps[own])
        for other, expected in ((alike, {"embed.rows"}), (unlike, {"embed.rows", "embed.shift"})):
            found = forge(run, ids=(*run.ids[:at], other, *run.ids[at + 1 :]))
            honest = {name: run.found[name] for name in ("prompt.chosen", "prompt.mask")}
            assert set(run.wrong({**found, **honest})) - OWN == expected
        if run.ids.count(own) == 1:
            weights = {name: values.copy() for name, values in run.weights.items()}
            weights["embed.step"][0, own] = steps[unlike]
            assert set(run.wrong(forge(run, weights=weights))) - OWN == {"embed.shift"}
