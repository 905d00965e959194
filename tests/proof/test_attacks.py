"""Attacks of protocol §11 on the proof of a program's run, against the verifier as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.prover.argument.opening
import huref.prover.argument.prove
import huref.prover.argument.witness
import huref.prover.commitment.weights
from huref.circuits.argument.spaces import LookupSpace
from huref.circuits.program.evaluate import Trace
from huref.common.errors import Malformed, Rejected
from huref.prover.commitment.weights import WeightsCommitment, commit_weights
from huref.verifier.argument.verify import verify_program
from tests.proof import attacks, attacks_measured
from tests.proof.attacks import Attack, below_calibration, forge, rejected, setup_for
from tests.proof.cheating import lenient, lenient_multiplicities, rerun
from tests.proof.programs import STATEMENT, Case, chain, secret

# statements


def test_another_statement_root_or_level(tall: Case) -> None:
    setup, proof, root = tall.setup(), tall.prove(), tall.commit().root
    verify_program(setup, STATEMENT, root, proof, tall.knobs.security)
    other = commit_weights(tall.program, tall.weights, tall.knobs, secret(9)).root
    for statement, given in ((b"another statement", root), (STATEMENT, other), (STATEMENT, bytes(32))):
        with pytest.raises((Rejected, Malformed)):
            verify_program(setup, statement, given, proof, tall.knobs.security)
    with pytest.raises(Rejected) as caught:
        verify_program(setup, STATEMENT, root, proof, tall.knobs.security + 1)
    assert caught.value.path == "security"
    with pytest.raises(Rejected, match="demanded level"):
        verify_program(setup, STATEMENT, root, proof)  # the default asks for 100 bits


def test_public_inputs_of_another_valid_proof() -> None:
    one, two = chain(seed=1), chain(seed=2)
    assert one.trace.shifts == two.trace.shifts
    mixed = [{"v": two.public.v}, {"sums": two.public.sums}, {"v": two.public.v, "sums": two.public.sums}]
    proof = one.prove()
    for changed in mixed:
        setup = one.setup(**changed)
        with pytest.raises((Rejected, Malformed)):
            one.verify(proof, setup)
        rejected(one, setup)


@pytest.mark.parametrize("by", [-1, 1])
def test_a_shift_off_by_one_with_honest_recomputation(by: int, tall: Case) -> None:
    _, public = attacks.other_shift(tall, by, lambda _, coarse, fine: (coarse, fine))
    with pytest.raises(Malformed, match="shift"):
        tall.setup(**vars(public))


# witnesses


def out_of_range(case: Case, value: int) -> tuple[dict[str, np.ndarray], WeightsCommitment]:
    weights = {name: x.astype(np.int32) for name, x in case.weights.items()}
    weights["a"][1, 2] = value
    return weights, commit_weights(case.program, weights, case.knobs, secret(1))


@pytest.mark.parametrize("value", [8, -9, 127, 123456789])
def test_weight_outside_its_width(value: int, tall: Case) -> None:
    """Four bits hold −8 … 7. The huge element is the one that could steer v mod p to any target."""
    weights, commitment = out_of_range(tall, value)
    trace = tall.trace if abs(value) > 127 else rerun(tall, weights)
    with lenient(), pytest.raises(Rejected) as caught:
        setup = setup_for(tall, trace)
        proof = tall.prove(setup, trace=trace, weights=weights, commitment=commitment)
        tall.verify(proof, setup, commitment.root)
    assert caught.value.path == "opening.final"


def edited_site(case: Case, **edits: Callable[[np.ndarray, tuple[int, int]], None]) -> Trace:
    site = case.program.site["m"]
    cell = below_calibration(site, case.program.output.sign[0])
    fields = {name: getattr(case.trace.sites["m"], name).copy() for name in ("out", "quotient", "remainder")}
    for name, edit in edits.items():
        edit(fields[name], cell)
    trace = rerun(case, {"m": fields["out"]})
    return Trace({**trace.sites, "m": dataclasses.replace(trace.sites["m"], **fields)}, trace.v)


def add(amount: int) -> Callable[[np.ndarray, tuple[int, int]], None]:
    def edit(array: np.ndarray, cell: tuple[int, int]) -> None:
        array[cell] += amount

    return edit


def test_intermediate_off_by_one(tall: Case) -> None:
    step = 1 << tall.trace.sites["m"].shift
    for edits in (
        {"out": add(1)},
        {"out": add(1), "quotient": add(1)},
        {"out": add(1), "quotient": add(1), "remainder": add(-step)},
        {"out": add(-1), "quotient": add(-1), "remainder": add(step)},
        {"remainder": add(1)},
    ):
        trace = edited_site(tall, **edits)
        with lenient():
            rejected(tall, setup_for(tall, trace), trace=trace)


def test_wrong_clamp(tall: Case) -> None:
    """A result beyond the clamp, and one clamped too early."""
    site = tall.trace.sites["m"]
    counted = np.argwhere(tall.program.output.sign[0] != 0)
    high = next(tuple(c) for c in counted if c[0] >= 16 and site.quotient[tuple(c)] > 40)

    def beyond(array: np.ndarray, _: tuple[int, int]) -> None:
        array[high] = 100

    def early(array: np.ndarray, _: tuple[int, int]) -> None:
        array[high] = 31

    for edit in (beyond, early):
        trace = edited_site(tall, out=edit)
        with lenient():
            rejected(tall, setup_for(tall, trace), trace=trace)


def test_a_value_below_the_lowest_passes(full: Case) -> None:
    honest, low = full.trace.sites["m4"], full.program.site["m4"].low
    assert low > -full.program.site["m4"].clamp and (honest.quotient < low).any()
    cell = tuple(np.argwhere(honest.quotient < low)[0])
    out = honest.out.copy()
    out[cell] = honest.quotient[cell]
    trace = rerun(full, {"m4": out})
    with lenient():
        rejected(full, setup_for(full, trace), trace=trace)


def test_wrong_multiplicities(tall: Case) -> None:
    """One entry's count moved to another: the total still fits."""

    def moved(inputs: Any, space: Any) -> Any:
        counts = huref.prover.argument.witness.multiplicities(inputs, space)
        for column in counts.values():
            column[np.argmax(column)] -= 1
            column[0] += 1
        return counts

    with mock.patch.object(huref.prover.argument.prove, "multiplicities", moved):
        rejected(tall)


def test_tuple_of_another_table() -> None:
    """(−h, h) is in the table of absolute values, not in the clamp table. Without tags it would pass."""
    case = chain(p=32, k=40)
    site = case.trace.sites["m"]
    counted = np.argwhere(case.program.output.sign[0] != 0)
    cell = next(tuple(c) for c in counted if c[0] >= 16 and -60 < site.quotient[tuple(c)] < 0)

    def mirrored(array: np.ndarray, _: tuple[int, int]) -> None:
        array[cell] = -array[cell]

    trace = edited_site(case, out=mirrored)
    setup = setup_for(case, trace)

    def counts(inputs: Any, space: Any) -> Any:
        found = lenient_multiplicities(inputs, space)
        absolute = next(table for table in found if table.kind == "abs")
        found[absolute][int(site.quotient[cell]) + 63] += 1
        return found

    with mock.patch.object(huref.prover.argument.prove, "multiplicities", counts):
        rejected(case, setup, trace=trace)
        with mock.patch.object(LookupSpace, "tag", lambda *_: 1):
            forge(case, setup, trace=trace)


@pytest.mark.parametrize("row", ["rows.mu", "vo.mu", "qk.mu"])
def test_one_that_counts_more_than_its_size_allows(row: str, joined: Case) -> None:
    with pytest.raises(Rejected) as caught:
        attacks_measured.wrong_multiplier(row)(joined)
    assert caught.value.path == "opening.final"


def test_scores_of_heads_that_write_nothing(joined: Case) -> None:
    with pytest.raises(Rejected) as caught:
        attacks_measured.ignored_gate(joined)
    assert caught.value.path == "opening.final"


@pytest.mark.parametrize("attack", [attacks_measured.unbounded_heads, attacks_measured.whole_share])
def test_heads_that_count_more_than_their_share(attack: Attack, joined: Case) -> None:
    with pytest.raises(Rejected) as caught:
        attack(joined)
    assert caught.value.path == "opening.final"


@pytest.mark.parametrize("name", ["scores", "alike"])
def test_what_compares_heads_has_no_shift(name: str, joined: Case) -> None:
    """Their clamps are below the target, so that no sum could show that a shift is the smallest."""
    site = joined.program.site[name]
    most = site.calibration_rows * site.cols * site.clamp
    for fine in (most, most + site.calibration_rows * site.cols * site.target):
        with pytest.raises(Malformed, match="not the smallest"):
            joined.setup(
                shifts={**joined.public.shifts, name: 1}, sums={**joined.public.sums, name: (0, fine)}
            )
