"""Sumcheck rounds, products of forms and the triple check, each alone."""

from __future__ import annotations

import numpy as np
import pytest

import huref.prover.argument.prove
from huref.common.algebra.field import P, kdot, kmul
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form, PadSpace
from huref.common.argument.transcript import Transcript
from huref.common.errors import Rejected
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.gated import GatedOracle
from huref.prover.argument.inner import ProductOracle
from huref.prover.argument.sumcheck import prove_rounds
from huref.prover.argument.triples import TripleOracle, prove_triples
from huref.prover.kernels.field.field import k_to_mont
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.sumcheck import verify_cubic_rounds, verify_eq_rounds, verify_product_rounds
from huref.verifier.argument.triples import verify_triples
from tests.proof.oracles import elements, evaluate, extension, plain
from tests.proof.programs import secret


@pytest.mark.parametrize("variables", [1, 2, 5])
def test_eq_rounds(variables: int) -> None:
    tables = [elements(1 << variables) for _ in range(3)]
    at = KS.list_from_array(elements(variables))
    values = (kmul(tables[0], tables[1]) + (np.uint64(P) - tables[2])) % np.uint64(P)
    claim = extension(values, at)
    channel = ProverChannel(Transcript())
    point = prove_rounds(channel, "s", TripleOracle([k_to_mont(t) for t in tables], at), variables)
    for wrong in (KS(0), KS(1)):
        seen, final = verify_eq_rounds(plain(channel.so_far()), "s", Form.public(claim + wrong), at)
        assert seen == point
        a, b, t = (extension(table, point) for table in tables)
        assert (final.const == a * b - t) == (not wrong)


def test_a_point_with_a_zero_is_refused() -> None:
    """A claim on the other half of the variable would say nothing about the first."""
    with pytest.raises(Rejected, match="degenerate"):
        verify_eq_rounds(plain(bytes(1 << 10)), "s", Form.public(KS(1)), [KS(5), KS(0)])


@pytest.mark.parametrize("variables", [1, 2, 6])
def test_product_rounds(variables: int) -> None:
    left, right = elements(1 << variables), elements(1 << variables)
    claim = KS.from_array(kdot(left, right))
    channel = ProverChannel(Transcript())
    point = prove_rounds(channel, "s", ProductOracle(k_to_mont(left), k_to_mont(right)), variables)
    for wrong in (KS(0), KS(1)):
        seen, final = verify_product_rounds(
            plain(channel.so_far()), "s", Form.public(claim + wrong), variables
        )
        assert seen == point
        assert (final.const == extension(left, point) * extension(right, point)) == (not wrong)


@pytest.mark.parametrize(("over_f", "over_j"), [(1, 1), (2, 3), (3, 1)])
def test_cubic_rounds(over_f: int, over_j: int) -> None:
    rows, inner = elements(1 << over_f), elements(1 << over_j)
    gate, up = elements(1 << (over_f + over_j)), elements(1 << (over_f + over_j))
    weight = kmul(rows[:, None], inner[None]).reshape(-1, 5)
    claim = KS.from_array(kdot(kmul(weight, gate), up))
    oracle = GatedOracle(*(k_to_mont(x) for x in (gate, up, rows, inner)))
    assert oracle.total() == claim
    channel = ProverChannel(Transcript())
    point = prove_rounds(channel, "s", oracle, over_f + over_j)
    expected = extension(gate, point) * extension(up, point)
    expected *= extension(rows, point[:over_f]) * extension(inner, point[over_f:])
    for wrong in (KS(0), KS(1)):
        seen, final = verify_cubic_rounds(
            plain(channel.so_far()), "s", Form.public(claim + wrong), len(point)
        )
        assert seen == point
        assert (final.const == expected) == (not wrong)


# forms


def test_products_of_forms_are_affine() -> None:
    """x̂ŷ + x̂B + ŷA + T is xy when T = AB, and off by T − AB otherwise."""
    space = PadSpace.for_counts(1, 2)
    pads = huref.prover.argument.prove.make_pads(space, secret(8))
    x, y = KS((1, 2, 3, 4, 5)), KS((9, 8, 7, 6, 5))
    for error in (KS(0), KS(3)):
        changed = pads.copy()
        changed[space.triple(0)[2]] = (KS.from_array(pads[space.triple(0)[2]]) + error).array()
        channel = ProverChannel(Transcript(), space, changed)
        channel.hidden_product("p", x, y)
        forms = VerifierChannel(Transcript(), channel.so_far(), space).hidden_product("p")
        assert [evaluate(form, changed) for form in forms] == [x, y, x * y + error]


@pytest.mark.parametrize("broken", [False, True])
def test_triple_check(broken: bool) -> None:
    """All constraints of the check hold exactly when T = A∘B."""
    space = PadSpace.for_counts(0, 5)
    pads = huref.prover.argument.prove.make_pads(space, secret(8))
    if broken:
        pads[space.triple(3)[2], 4] ^= np.uint64(1)
    channel = ProverChannel(Transcript(), space, pads)
    prove_triples(channel, space, pads)
    seen = VerifierChannel(Transcript(), channel.so_far(), space)
    verify_triples(seen, space)
    assert len(seen.constraints) == 4
    assert any(evaluate(form, pads) for form in seen.constraints) == broken
