"""Cells outside the declared shapes: unconstrained data that must change nothing (protocol §4)."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.prover.argument.opening
import huref.prover.argument.prove
import huref.prover.argument.witness
import huref.prover.commitment.weights
import huref.verifier.argument.channel
import huref.verifier.argument.opening
import huref.verifier.argument.reduce
from huref.circuits.argument.functional import Columns
from huref.circuits.argument.layout import Layout
from huref.common.algebra.field import fadd
from huref.common.argument.transcript import Transcript
from huref.common.errors import Rejected
from huref.prover.commitment.weights import WeightsCommitment, commit_weights
from huref.verifier.argument.channel import VerifierChannel
from tests.proof.attacks import forge
from tests.proof.cheating import lenient
from tests.proof.programs import STATEMENT, Case, chain, everything, secret, wide
from tests.support import terms


def padded_weights(case: Case, value: int) -> WeightsCommitment:
    """Weights whose row tails hold `value`."""
    original = huref.prover.commitment.weights.stack_weights

    def stacked(placed: Any, rows: int, weights: Any, w: int) -> np.ndarray:
        out = original(placed, rows, weights, w).astype(np.int16)
        for place in placed.values():
            part = out[place.start : place.start + place.count].reshape(place.rows, -1)
            part[:, place.cols :] = value
        return out

    with mock.patch.object(huref.prover.commitment.weights, "stack_weights", stacked):
        return commit_weights(case.program, case.weights, case.knobs, secret(1))


def test_padding_of_the_weights_is_in_range_and_means_nothing(full: Case) -> None:
    setup = full.setup()
    for value in (7, -8):
        commitment = padded_weights(full, value)
        with lenient():  # four bits hold it, the three of gate and up do not
            proof = full.prove(setup, commitment=commitment)
            with pytest.raises(Rejected):
                full.verify(proof, setup, commitment.root)
    for value in (3, -4):
        commitment = padded_weights(full, value)
        full.verify(full.prove(setup, commitment=commitment), setup, commitment.root)


def test_padding_of_the_intermediates_means_nothing(full: Case) -> None:
    """Row tails, multiplicities past the table and unused pad cells hold garbage."""
    setup = full.setup()
    stack, segments = (
        huref.prover.argument.witness.stack_activation,
        huref.prover.argument.prove.proof_segments,
    )
    layout = setup.layout

    def tails(values: np.ndarray, w: int) -> np.ndarray:
        rows, cols = values.shape
        blocks = -(-cols // w)
        wide = np.full((rows, blocks * w), 12345, np.int32)
        wide[:, :cols] = values
        return stack(wide, w)

    def garbage(*given: Any) -> list[np.ndarray]:
        found = segments(*given)
        first = len(found) - 2 - len(layout.spaces[0].tables)
        for block, rows in zip(layout.spaces[0].tables, found[first:], strict=False):
            rows.reshape(-1)[block.table.size :] = 999
        found[-2].reshape(-1)[5 * layout.pads.total :] = 777
        return found

    with (
        mock.patch.object(huref.prover.argument.witness, "stack_activation", tails),
        mock.patch.object(huref.prover.argument.prove, "proof_segments", garbage),
    ):
        forge(full, setup)


def claims_of(case: Case) -> tuple[Layout, list[Any]]:
    """The verifier's claims on an honest proof."""
    setup = case.setup()
    channel = VerifierChannel(Transcript(), case.prove(setup), setup.layout.pads)
    return setup.layout, huref.verifier.argument.reduce.reduce_to_claims(
        channel, setup, STATEMENT, case.commit().root
    ).claims


def outside(layout: Layout) -> dict[str, np.ndarray]:
    """True for every cell of W's and A's data rows that belongs to no tensor, multiplicity, pad or mask."""
    masks = {"W": np.ones((layout.weight_rows, layout.w), bool), "A": np.ones((layout.rows, layout.w), bool)}
    placed = list(layout.weights.values())
    for site in layout.sites.values():
        columns = (site.out, site.remainder, site.magnitude, site.finer_magnitude, site.finer_remainder)
        placed += [place for place in columns if place]
    placed += list(layout.rows_of.values())
    for place in placed:
        tail = place.cols - (place.blocks - 1) * layout.w
        rows = np.arange(place.start, place.start + place.count)
        last = (rows - place.start) % place.blocks == place.blocks - 1
        if place.matrix == "A":
            last = (rows - place.start) // place.rows == place.blocks - 1
        masks[place.matrix][rows[~last]] = False
        masks[place.matrix][rows[last], :tail] = False
    for block in layout.spaces[0].tables:
        flat = masks["A"][block.multiplicity : block.multiplicity + block.rows].reshape(-1)
        flat[: block.table.size] = False
    masks["A"][layout.pad_start : layout.mask_start].reshape(-1)[: 5 * layout.pads.total] = False
    masks["A"][layout.mask_start :] = False
    return masks


def coefficients(layout: Layout, claim: Any) -> dict[str, np.ndarray]:
    """All coefficients of a claim's functional, dense: (rows, w, 5) for W and A."""
    dense = {
        "W": np.zeros((layout.weight_rows, layout.w, 5), np.uint64),
        "A": np.zeros((layout.rows, layout.w, 5), np.uint64),
    }
    for term in claim.functional.terms:
        start, part = terms.coefficients(term, claim.functional.columns)
        target = dense[term.matrix][start : start + len(part)]
        target[:] = fadd(target, part)
    return dense


def test_claims_vanish_outside_the_declared_shapes() -> None:
    """Only the range check of the weights reads padding, and only W's."""
    for case in (everything(), chain(d=35, f=33), wide(33, 5)):
        layout, claims = claims_of(case)
        masks = outside(layout)
        assert masks["W"].any() and masks["A"].any()
        for claim in claims:
            dense = coefficients(layout, claim)
            assert not dense["A"][masks["A"]].any(), claim.label
            allowed = claim.label == "lookup.denominator" and not case.program.ranged
            assert allowed or not dense["W"][masks["W"]].any(), claim.label


def test_unmasked_columns_would_be_noticed() -> None:
    with mock.patch.object(Columns, "masked", lambda self, name, tail: name), pytest.raises(AssertionError):
        test_claims_vanish_outside_the_declared_shapes()
