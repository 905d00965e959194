"""What only large models use, on a small one: triples of weights, codes of rate 1/2, layers that are made again."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import numpy as np
import pytest

import circuits.layout
import common.params
import prover.lookup_tree
from common.errors import Malformed, Rejected
from prover.weights import commit_weights
from tests.proof.attacks import setup_for
from tests.proof.cheating import lenient, rerun
from tests.proof.programs import Case, chain, secret


@pytest.fixture
def large(_small: None) -> Iterator[Case]:
    """The chain, with every threshold of size at zero."""
    with (
        mock.patch.object(circuits.layout, "WIDE_DIGITS_FROM", 0),
        mock.patch.object(common.params, "FAST_RATE_FROM", 0),
        mock.patch.object(prover.lookup_tree, "STORED_ENTRIES", 0),
        mock.patch.object(prover.lookup_tree, "HUGE_ENTRIES", 0),
    ):
        yield chain(p=32, k=40)


def test_a_large_model_is_proven(large: Case) -> None:
    geometry = large.setup().geometry
    assert [block.table.arity for block in large.setup().layout.weight_blocks] == [3]
    assert 1 / 4 < geometry.weights.domain.rate <= 1 / 2 and 1 / 4 < geometry.proof.domain.rate <= 1 / 2
    assert large.verify(large.prove()).bits >= large.knobs.security


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("value", [8, -9])
def test_a_weight_of_a_triple_out_of_range(part: int, value: int, large: Case) -> None:
    """Four bits hold −8 … 7, in every part of the tuples."""
    layout = large.setup().layout
    row = part * layout.weight_blocks[0].rows
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


def test_a_proof_at_another_rate(large: Case) -> None:
    """The rate follows from the size: a proof at 1/2 is none for a model that has to use 1/4."""
    proof, root = large.prove(), large.commit().root
    large.verify(proof, large.setup(), root)
    with mock.patch.object(common.params, "FAST_RATE_FROM", 1 << 27), pytest.raises((Rejected, Malformed)):
        large.verify(proof, large.setup(), root)
