"""What only large models use, on a small one: triples of weights, codes of rate 1/2, layers that are made again."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import log2
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.circuits.argument.spaces
import huref.common.params
import huref.prover.argument.lookup_tree
import huref.prover.commitment.weights
from huref.common.algebra.field import P
from huref.common.errors import Malformed, Rejected
from huref.prover.commitment.weights import commit_weights
from tests.proof.attacks import setup_for
from tests.proof.cheating import lenient, rerun
from tests.proof.programs import Case, chain, everything, secret, several
from tests.proof.test_mutation import MUTANTS, Mutant, check
from tests.proof.test_padding import claims_of, coefficients, outside


@pytest.fixture
def large_build(_small: None) -> Iterator[None]:
    """Every threshold of size at zero."""
    with (
        mock.patch.object(huref.circuits.argument.spaces, "WIDE_DIGITS_FROM", 0),
        mock.patch.object(huref.common.params, "FAST_RATE_FROM", 0),
        mock.patch.object(huref.prover.argument.lookup_tree, "STORED_ENTRIES", 0),
        mock.patch.object(huref.prover.argument.lookup_tree, "HUGE_ENTRIES", 0),
    ):
        yield


@pytest.fixture
def large(large_build: None) -> Case:
    """The chain as a large model."""
    return chain(p=32, k=40)


def test_a_large_model_is_proven(large: Case) -> None:
    geometry = large.setup().geometry
    assert [block.table.arity for block in large.setup().layout.spaces[0].weight_blocks] == [3]
    assert 1 / 4 < geometry.weights.domain.rate <= 1 / 2 and 1 / 4 < geometry.proof.domain.rate <= 1 / 2
    report = large.verify(large.prove())
    assert report.bits >= large.knobs.security
    tables = sum(block.table.size for block in large.setup().layout.spaces[0].tables)
    error = Fraction(large.setup().layout.entries + 4 * tables, P**5)  # arity 3, and 1
    (term,) = (term for term in report.terms if term.label == "lookup.alpha_beta")
    assert term.error_bits == pytest.approx(-log2(error), abs=1e-6)


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("value", [8, -9])
def test_a_weight_of_a_triple_out_of_range(part: int, value: int, large: Case) -> None:
    """Four bits hold −8 … 7, in every part of the tuples."""
    layout = large.setup().layout
    row = part * layout.spaces[0].weight_blocks[0].rows
    name, place = next(item for item in layout.weights.items() if row < item[1].start + item[1].count)
    weights = {key: tensor.astype(np.int32) for key, tensor in large.weights.items()}
    weights[name][(row - place.start) // place.blocks, 0] = value
    commitment = commit_weights(large.program, weights, large.knobs, secret(1))
    trace = rerun(large, weights)
    setup = setup_for(large, trace)
    with lenient(), pytest.raises(Rejected) as caught:
        proof = large.prove(setup, weights=weights, trace=trace, commitment=commitment)
        large.verify(proof, setup, commitment.root)
    assert caught.value.path == "opening.final"


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.usefixtures("large_build")
def test_a_cell_behind_the_last_weight_of_a_part_out_of_range(part: int) -> None:
    """The last row that a part reads, of several tiles, and there the last column, which is padding."""
    case = several([(70, 40)], 32)
    layout = case.setup().layout
    (block,) = layout.spaces[0].weight_blocks
    assert (
        block.rows > layout.spaces[0].tile_rows
        and block.rows % layout.spaces[0].tile_rows
        and block.count % 3
    )
    last = min((part + 1) * block.rows, block.count) - 1
    assert outside(layout)["W"][last, -1]
    original = huref.prover.commitment.weights.stack_weights

    def stacked(*given: Any) -> np.ndarray:
        out = original(*given).astype(np.int16)
        out[last, -1] = 8
        return out

    with mock.patch.object(huref.prover.commitment.weights, "stack_weights", stacked):
        commitment = commit_weights(case.program, case.weights, case.knobs, secret(1))
    with lenient():
        proof = case.prove(commitment=commitment)
    with pytest.raises(Rejected) as caught:
        case.verify(proof, root=commitment.root)
    assert caught.value.path == "opening.final"


@pytest.mark.usefixtures("large_build")
def test_claims_of_a_large_model_vanish_outside_the_declared_shapes() -> None:
    """As in `test_padding`: terms in factors end where their rows end."""
    for case in (chain(d=35, f=33, p=32, k=40), several([(70, 40), (9, 3)], 32, bits=(3, 4))):
        layout, claims = claims_of(case)
        masks = outside(layout)
        for claim in claims:
            dense = coefficients(layout, claim)
            assert not dense["A"][masks["A"]].any(), claim.label
            assert claim.label == "lookup.denominator" or not dense["W"][masks["W"]].any(), claim.label


LOOKING_UP = [mutant for mutant in MUTANTS if mutant.program != "joined"]
"""On programs that look their weights up, which is what a large model does otherwise."""


@pytest.mark.slow
@pytest.mark.parametrize("mutant", LOOKING_UP, ids=lambda mutant: mutant.name)
def test_the_attacks_are_stopped_in_a_large_model_too(mutant: Mutant, large: Case) -> None:
    cases = {"tall": large, "full": everything(), "small": chain(d=8, k=16, p=16, f=4)}
    check(mutant, cases[mutant.program])


def test_a_proof_at_another_rate(large: Case) -> None:
    """The rate follows from the size: a proof at 1/2 is none for a model that has to use 1/4."""
    proof, root = large.prove(), large.commit().root
    large.verify(proof, large.setup(), root)
    with (
        mock.patch.object(huref.common.params, "FAST_RATE_FROM", 1 << 27),
        pytest.raises((Rejected, Malformed)),
    ):
        large.verify(proof, large.setup(), root)
