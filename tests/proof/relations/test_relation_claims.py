"""Every claim of a proof of relations, and its own constraint, left out: the forgery that it alone stops."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.prover.relations.prove
import huref.verifier.relations.verify
from huref.circuits.argument.spaces import LookupSpace
from huref.circuits.relations.linear import linear_part
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form
from huref.common.errors import Rejected
from huref.prover.argument.lookup_tree import mont, scalar
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.limbs import from_blocks
from huref.prover.relations.leaves import RunLeaves, RunValues
from huref.prover.relations.prompts import prompt_values
from huref.prover.relations.sides import Sides, SidesOracle
from huref.prover.relations.values import Values
from huref.verifier.argument.channel import VerifierChannel
from tests.proof import test_mutation
from tests.proof.cheating import without_constraint
from tests.proof.relations.test_relation_attacks import an_equation, changed, prove_falsely
from tests.support.functionals import committed, value, whole
from tests.support.toy_relations import CLAMP, Toy, toy

Found = dict[str, Any]
Cheat = Callable[[Toy, Found], AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def small() -> Toy:
    return toy(tokens=4, seed=2)


@contextmanager
def without_claim(*labels: str) -> Iterator[None]:
    """No claim with one of these labels reaches the opening, on either side."""
    original = huref.verifier.relations.verify.reduce_relations

    def skip(*given: Any) -> Any:
        reduced = original(*given)
        kept = [claim for claim in reduced.claims if claim.label not in labels]
        assert len(kept) < len(reduced.claims)
        return replace(reduced, claims=kept)

    with (
        mock.patch.object(huref.verifier.relations.verify, "reduce_relations", skip),
        mock.patch.object(huref.prover.relations.prove, "reduce_relations", skip),
    ):
        yield


# false integers


def an_equation_off(made: Toy) -> Found:
    return an_equation(made, "hadamard")


def outside_the_table(made: Toy) -> Found:
    """A clipped value that is not the one of what was clipped; no equation reads it."""
    found = changed(made, "clipped", 0, 1)
    assert made.wrong(found) == ["clip"]
    return found


# what the prover does beside


def nothing(made: Toy, found: Found) -> AbstractContextManager[Any]:
    return mock.patch.dict({})


def bent(side: str) -> Cheat:
    """The total is what the equations ask for; the sumcheck runs on a vector in which one entry makes up for it."""

    @contextmanager
    def cheat(made: Toy, found: Found) -> Iterator[None]:
        false, original = replace(made, found=found), huref.prover.relations.prove.product_sides

        def sides_of(weights: Any, values: Any, tensors: Any) -> Sides:
            left, right = whole(original(weights, values, tensors))
            functional, constant = linear_part(weights)
            missing = -(value(functional, committed(false)) + constant) - scalar(vectors.dot(left, right))
            own, other = (left, right) if side == "left" else (right, left)
            place = int(np.flatnonzero(other.any(axis=0))[0])
            entry = scalar(np.ascontiguousarray(own[:, place])) + missing / scalar(
                np.ascontiguousarray(other[:, place])
            )
            own[:, place] = mont(entry)
            made_sides = Sides(left.shape[1])
            made_sides.put(0, left, right)
            return made_sides

        with mock.patch.object(huref.prover.relations.prove, "product_sides", sides_of):
            yield

    return cheat


@contextmanager
def other_total(made: Toy, found: Found) -> Iterator[None]:
    """The total is what the equations ask for, the vectors are honest."""
    missing: list[Any] = []
    false, original = replace(made, found=found), huref.prover.relations.prove.product_sides
    total = SidesOracle.total

    def sides_of(weights: Any, values: Any, tensors: Any) -> Sides:
        functional, constant = linear_part(weights)
        missing[:] = [-(value(functional, committed(false)) + constant)]
        return original(weights, values, tensors)

    def asked(self: SidesOracle) -> Any:
        assert missing[0] != total(self)
        return missing[0]

    with (
        mock.patch.object(huref.prover.relations.prove, "product_sides", sides_of),
        mock.patch.object(SidesOracle, "total", asked),
    ):
        yield


@contextmanager
def uncounted(made: Toy, found: Found) -> Iterator[None]:
    """The tuple that is in no table gets numerator zero."""
    clipped, x = (int(found[name].reshape(-1)[0]) for name in ("clipped", "x"))

    class Skipping(RunLeaves):
        def __init__(self, operands: RunValues, space: LookupSpace, counts: Any, alpha: KS, beta: KS) -> None:
            super().__init__(operands, space, counts, alpha, beta)
            self.bad = mont(alpha - space.tag(CLAMP) - beta * (x + 2) - beta * beta * clipped)

        def batch(self, first: int, count: int) -> Any:
            p, q = super().batch(first, count)
            p[(from_blocks(q) == self.bad[:, None]).all(axis=0)] = 0
            return p, q

    with mock.patch.object(huref.prover.relations.prove, "RunLeaves", Skipping):
        yield


@contextmanager
def honest_fractions(made: Toy, found: Found) -> Iterator[None]:
    """Fractions and multiplicities of honest integers over a commitment to false ones."""

    def operands(values: Values) -> RunValues:
        return RunValues(Values(values.layout, made.found))

    with mock.patch.object(huref.prover.relations.prove, "RunValues", operands):
        yield


def other_value(made: Toy, found: Found) -> AbstractContextManager[Any]:
    """The values of hidden prompts are others'."""

    def told(*given: Any) -> list[KS]:
        first, *rest = prompt_values(*given)
        return [first + 1, *rest]

    return mock.patch.object(huref.prover.relations.prove, "prompt_values", told)


@dataclass(frozen=True)
class Mutant:
    """How to take a check out, and integers and a cheat that nothing else stops."""

    mutation: Callable[[], AbstractContextManager[Any]]
    false: Callable[[Toy], Found]
    cheat: Cheat


CLAIMS = {
    "lookup.numerator": Mutant(lambda: without_claim("lookup.numerator"), outside_the_table, uncounted),
    "lookup.denominator": Mutant(
        lambda: without_claim("lookup.denominator"), outside_the_table, honest_fractions
    ),
    "equations": Mutant(lambda: without_claim("equations"), an_equation_off, nothing),
    "inner.left": Mutant(lambda: without_claim("inner.left"), an_equation_off, bent("left")),
    "inner.right": Mutant(lambda: without_claim("inner.right"), an_equation_off, bent("right")),
    "prompts": Mutant(lambda: without_claim("prompts"), lambda made: made.found, other_value),
    "pads.merge": Mutant(lambda: without_claim("pads.merge"), an_equation_off, other_total),
}
CONSTRAINTS = {"inner.final": Mutant(lambda: without_constraint("inner.final"), an_equation_off, other_total)}
MUTANTS = {**CLAIMS, **CONSTRAINTS}


@pytest.mark.parametrize("check", MUTANTS)
def test_only_this_check_stops_the_forgery(check: str, small: Toy) -> None:
    mutant = MUTANTS[check]
    found = mutant.false(small)

    def forge() -> None:
        with mutant.cheat(small, found):
            proof = prove_falsely(small, found)
        small.verify(proof)

    with pytest.raises(Rejected) as caught:
        forge()
    assert caught.value.path == "opening.final"
    with mutant.mutation():
        forge()


def test_no_check_is_without_a_forgery(small: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Constraints of the lookup and of the triples are those of a fingerprint's proof, and taken out there."""
    seen: set[str] = set()
    original, reduce = VerifierChannel.assert_zero, huref.verifier.relations.verify.reduce_relations
    claimed: list[str] = []

    def note(self: VerifierChannel, label: str, form: Form) -> None:
        seen.add(re.sub(r"layer\d+", "layer0", label))
        original(self, label, form)

    def claims(*given: Any) -> Any:
        reduced = reduce(*given)
        claimed.extend(claim.label for claim in reduced.claims)
        return reduced

    proof = small.prove()
    monkeypatch.setattr(VerifierChannel, "assert_zero", note)
    monkeypatch.setattr(huref.verifier.relations.verify, "reduce_relations", claims)
    small.verify(proof)
    assert claimed == list(CLAIMS)
    elsewhere = {mutant.name for mutant in test_mutation.MUTANTS}
    assert set(CONSTRAINTS) <= seen <= elsewhere
