"""Proofs of relations: completeness, what the transcript binds, the ledger, and pads."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import replace
from math import log2
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.circuits.relations.layout
from huref.circuits.relations.security import relation_security
from huref.circuits.relations.setup import RelationSetup
from huref.common.algebra.field import DEGREE, P
from huref.common.argument.hidden import DUMMY_TRIPLES
from huref.common.argument.transcript import Transcript
from huref.common.errors import Malformed, Rejected
from huref.common.params import Knobs
from huref.prover.argument.channel import ProverChannel
from huref.verifier.argument.reduce import absorb_statement
from tests.proof.test_zero_knowledge import leaks, recorded
from tests.support.toy_relations import STATEMENT, Toy, toy

Seen = list[tuple[str, str, bytes]]


@pytest.fixture(scope="module")
def small() -> Toy:
    return toy()


@pytest.fixture(scope="module")
def proof(small: Toy) -> bytes:
    return small.prove()


@pytest.mark.parametrize(
    "sizes",
    [{"tokens": 37, "cols": 72, "group": 1}, {"tokens": 2, "cols": 32, "heads": 6, "group": 3, "layers": 3}],
    ids=["several blocks", "three layers"],
)
def test_completeness(sizes: dict[str, int]) -> None:
    made = toy(**sizes, seed=3)
    assert made.verify(made.prove()).bits >= made.knobs.security


def test_several_fraction_trees() -> None:
    with mock.patch.object(huref.circuits.relations.layout, "SPACE_ENTRIES", 1500):
        made = toy(seed=5)
        assert len(made.setup.layout.spaces) > 2
        made.verify(made.prove())
    with pytest.raises((Rejected, Malformed)):
        toy(seed=5).verify(made.prove())


def test_a_hundred_and_twenty_eight_bits() -> None:
    made = replace(toy(seed=6), knobs=Knobs(security=128, grinding=12, proofs=1))
    report = made.verify(made.prove(), min_security=128)
    assert report.bits >= 128
    with pytest.raises(Rejected, match="demanded level"):
        made.verify(made.prove(), min_security=129)


def record(made: Toy, proof: bytes) -> Seen:
    from huref.verifier.relations.verify import verify_relations

    seen: Seen = []
    verify_relations(
        made.setup, STATEMENT, made.commitment.root, proof, made.knobs.security,
        lambda kind, label, data: seen.append((kind, label, data)),
    )  # fmt: skip
    return seen


def test_every_kind_of_message_counts(small: Toy, proof: bytes) -> None:
    """One field of one message of every kind is changed: no proof is left."""
    absorbed = [(label, data) for kind, label, data in record(small, proof) if kind == "absorb"]
    assert b"".join(data for _, data in absorbed[3:]) == proof
    places: dict[str, list[tuple[int, int]]] = {}
    at = 0
    for label, data in absorbed[3:]:
        places.setdefault(re.sub(r"\d+", "#", label), []).append((at, len(data)))
        at += len(data)
    assert len(places) > 25
    rng = np.random.default_rng(3)
    for label, found in places.items():
        start, size = found[int(rng.integers(len(found)))]
        for offset in {0, size - 1}:
            changed = bytearray(proof)
            changed[start + offset] ^= 1
            with pytest.raises((Rejected, Malformed)):
                small.verify(bytes(changed))
                pytest.fail(label)
    for changed in (proof[:-1], proof + b"\0"):
        with pytest.raises(Malformed):
            small.verify(changed)


# transcript


def first_challenge(setup: RelationSetup, statement: bytes = STATEMENT, root: bytes = bytes(32)) -> Any:
    transcript = Transcript()
    absorb_statement(transcript, setup, statement, root)
    return transcript.challenge("any")


def different(value: Any) -> Any:
    """Another value of the same kind; None where there is none."""
    if isinstance(value, np.ndarray):
        changed = value.copy()
        changed.reshape(-1)[-1] += 1
        return changed
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, tuple):
        if not value:
            return (1,)
        last = different(value[-1])
        return value[:-1] if last is None else (*value[:-1], last)
    return (0,) if value is None else None


def leaves(value: Any) -> Iterator[Any]:
    """Copies of nested records with one field changed."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            own = getattr(value, field.name)
            found = list(leaves(own)) if dataclasses.is_dataclass(own) or isinstance(own, tuple) else []
            changed = different(own)
            for other in found + ([changed] if changed is not None else []):
                copied = object.__new__(type(value))
                for name, member in value.__dict__.items():
                    object.__setattr__(copied, name, other if name == field.name else member)
                yield copied
    elif isinstance(value, tuple):
        for i, member in enumerate(value):
            for other in leaves(member):
                yield (*value[:i], other, *value[i + 1 :])


def test_every_public_number_changes_all_challenges(small: Toy) -> None:
    setup = small.setup
    seen = {first_challenge(setup)}
    count = 1
    relations = small.relations
    parts: dict[str, Any] = {
        "stack": relations.stack[:2],
        "matrices": relations.matrices[:3],
        "looks": relations.looks[:6],
        "equations": relations.equations,
        "products": relations.products,
    }
    assert relations.prompts is not None
    for changed in leaves(relations.prompts):
        seen.add(first_challenge(replace(setup, relations=replace(relations, prompts=changed))))
        count += 1
    seen.add(first_challenge(replace(setup, relations=replace(relations, prompts=None))))
    count += 1
    for name, part in parts.items():
        rest = getattr(relations, name)[len(part) :]
        for changed in leaves(part):
            other = replace(setup, relations=replace(relations, **{name: (*changed, *rest)}))
            seen.add(first_challenge(other))
            count += 1
        other = replace(setup, relations=replace(relations, **{name: getattr(relations, name)[1:]}))
        seen.add(first_challenge(other))
        count += 1
    for changed in leaves(setup.knobs):
        seen.add(first_challenge(replace(setup, knobs=changed)))
        count += 1
    for changed in leaves(setup.geometry):
        seen.add(first_challenge(replace(setup, geometry=changed)))
        count += 1
    for field in ("offsets", "length", "pads", "pad_start", "mask_start", "rows", "spaces"):
        value = getattr(setup.layout, field)
        changed = next(leaves(value)) if dataclasses.is_dataclass(value) else different(value)
        if field == "spaces":
            changed = (replace(value[0], tile_rows=32),)
        seen.add(first_challenge(replace(setup, layout=replace(setup.layout, **{field: changed}))))
        count += 1
    seen |= {first_challenge(setup, b"other"), first_challenge(setup, root=bytes(31) + b"\1")}
    assert len(seen) == count + 2 > 250


def test_another_statement_or_root(small: Toy, proof: bytes) -> None:
    other = small.commit(small.weights, seed=9).root
    for given in ({"statement": b"another"}, {"root": other}):
        with pytest.raises((Rejected, Malformed)):
            small.verify(proof, **given)
    with pytest.raises((Rejected, Malformed)):
        small.verify(small.prove(statement=b"another"))


# ledger


def test_ledger_by_hand(small: Toy) -> None:
    setup, field = small.setup, DEGREE * log2(P)
    report = relation_security(setup)
    terms = {term.label: term for term in report.terms}
    layout = setup.layout
    (space,) = layout.spaces
    looked = sum((look.frame.rows * look.frame.cols) for look in small.relations.looks)
    tables = {look.table for look in small.relations.looks}
    size = sum(len(table.columns()[0]) for table in tables)
    assert space.entries == looked + size == layout.entries
    frames = [e.frame for e in small.relations.equations]
    sizes = [[getattr(frame, name) for frame in frames] for name in ("outer", "inner", "heads", "cols")]
    variables = sum((max(part) - 1).bit_length() for part in sizes)
    expected = {
        "lookup.alpha_beta": looked + size + 3 * size,
        "prompt.point": 1 + 3,
        "equations.eta": len(frames) + 2,
        "equations.point": variables,
        "inner.round": 2,
        "pads.merge": 1 + space.log_entries + 1 + 1 + 3,
        "opening.gamma": 2 + 3 + 1 + 1 + 2,
    }
    for label, count in expected.items():
        assert terms[label].error_bits == pytest.approx(field - log2(count)), label
    assert len(terms) == len(report.terms)


def test_the_ledgers_claims_and_constraints_are_those_of_a_proof(small: Toy, proof: bytes) -> None:
    from huref.circuits.argument import security
    from huref.verifier.argument.channel import VerifierChannel
    from huref.verifier.relations.reduce import reduce_relations

    channel = VerifierChannel(Transcript(), proof, small.setup.layout.pads)
    reduced = reduce_relations(channel, small.setup, STATEMENT, small.commitment.root)
    with mock.patch.object(security, "_code_terms", lambda *_: []):
        terms = {term.label: term.error_bits for term in relation_security(small.setup).terms}
    field = DEGREE * log2(P)
    assert terms["opening.gamma"] == pytest.approx(field - log2(len(reduced.claims) + 2))
    assert terms["pads.merge"] == pytest.approx(field - log2(len(channel.constraints)))
    assert [claim.label for claim in reduced.claims] == [
        "lookup.numerator", "lookup.denominator", "equations", "inner.left", "inner.right", "prompts",
        "pads.merge",
    ]  # fmt: skip


# zero knowledge


def test_every_pad_hides_one_message(small: Toy) -> None:
    used: list[int] = []
    original = ProverChannel._pad

    def note(self: ProverChannel, index: int) -> Any:
        used.append(index)
        return original(self, index)

    with mock.patch.object(ProverChannel, "_pad", note):
        small.prove()
    space = small.setup.layout.pads
    assert len(set(used)) == len(used)
    assert [i for i in used if i < space.singles] == list(range(space.singles))
    factors = sorted(i for i in used if i >= space.singles)
    products = len(factors) // 2
    assert factors == [space.singles + part * space.triples + i for part in range(2) for i in range(products)]
    assert products + DUMMY_TRIPLES <= space.triples


def hidden(made: Toy, runs: int) -> dict[str, np.ndarray]:
    """Words of every message of the proof up to the opening, with fresh seeds and challenges that do not change."""
    from huref.common.algebra.field import decode_f

    words: dict[str, list[np.ndarray]] = {}
    for run in range(runs):
        found: dict[str, int] = {}

        def note(kind: str, label: str, data: bytes, found: dict[str, int] = found) -> None:
            if not re.match(r"lookup|products|inner|triples", label) or label.endswith("nonce"):
                return
            name = f"{label}#{found.setdefault(label, 0)}"
            found[label] += 1
            words.setdefault(name, []).append(decode_f(data, len(data) // 4))

        with recorded(note):
            made.prove(seed=100 + run)
    return {name: np.stack(values) for name, values in words.items()}


def test_hidden_messages_are_uniform(small: Toy) -> None:
    samples = hidden(small, 24)
    assert len(samples) > 100
    assert leaks(samples) == []


def test_a_message_sent_in_the_clear_is_noticed(small: Toy) -> None:
    original = ProverChannel.hidden

    def clear(self: ProverChannel, label: str, values: Any) -> None:
        if label != "products.totals":
            original(self, label, values)
            return
        with mock.patch.object(ProverChannel, "_pad", lambda *_: type(values[0])(0)):
            original(self, label, values)

    with mock.patch.object(ProverChannel, "hidden", clear):
        assert "products.totals#0" in leaks(hidden(small, 24))
