"""Several sequences in one run: each as if it were alone; a deviation among them is seen by the check meant for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.relate_head import Claims
from huref.circuits.inference.relations import relate
from huref.circuits.relations.frame import Frame
from huref.common.errors import UsageError
from huref.prover.run.inference.executor import execute_inference
from tests.circuits.inference.test_relations import OWN, single_changes
from tests.support.inference_forger import Deviation, forge
from tests.support.inference_runs import Ints, Run, layout_run
from tests.support.relations import Checker

SEVERAL = ((3, 2, 3), (1, 2, 4, 5, 7))
"""Lengths of sequences, and claimed places: one or two of each."""


@cache
def several(layout: str = "llama") -> Run:
    lengths, positions = SEVERAL
    return layout_run(layout, tokens=lengths, positions=positions)


@pytest.mark.parametrize("layout", ["qwen3", "gpt2", "gemma2"])
def test_honest_runs_in_other_layouts(layout: str) -> None:
    assert several(layout).wrong() == []


def test_every_single_change_is_seen() -> None:
    assert single_changes(several()) == []


ATTENTION = {"scores", "scores.total", "mix"}
OF_SEQUENCES: dict[str, tuple[str, Callable[[Run], dict[str, Ints]], set[str]]] = {
    "keys of another sequence": ("llama", lambda r: forge(r, Deviation(taken="l1.k_turned")), {"scores"}),
    "values of another sequence": ("llama", lambda r: forge(r, Deviation(taken="l0.v")), {"mix"}),
    "attention over future tokens": ("llama", lambda r: forge(r, Deviation(sees_all="l1.scores")), {"mix"}),
    "positions that go on": ("llama", lambda r: forge(r, Deviation(goes_on=True)), {"q_turned", "k_turned"}),
    "learned positions that go on": (
        "gpt2", lambda r: forge(r, Deviation(goes_on=True)), {"embed", "positions.shift"},
    ),
    "sequences moved by a token": (
        "llama",
        lambda r: forge(r, program=compile_inference(r.shape, r.facts, 2, 3, 3)),
        {"q_turned", "k_turned", *ATTENTION},
    ),
    "two prompts exchanged": ("llama", lambda r: forge(r, ids=exchanged(r)), {"embed", "embed.shift"}),
}  # fmt: skip


def exchanged(run: Run) -> tuple[int, ...]:
    """The first tokens of the first and the last sequence in each other's place."""
    ids = list(run.ids)
    ids[0], ids[5] = ids[5], ids[0]
    return tuple(ids)


@pytest.mark.parametrize("name", OF_SEQUENCES)
def test_a_deviation_among_sequences(name: str) -> None:
    """Taken keys and values are of sequences of the same length, so only what is multiplied is wrong."""
    layout, how, expected = OF_SEQUENCES[name]
    run = several(layout)
    if "another sequence" in name:
        run = layout_run(layout, tokens=(3, 3, 3), positions=(2, 5, 8))
    assert set(run.wrong(how(run))) - OWN == expected


@pytest.mark.parametrize(
    "positions,odds",
    [((2, 7), (5, 5, 5)), ((2, 4, 7), (5, 5)), ((2, 4, 7), (5, 5, 5, 5)), ((2, 4, 7), (5, 1 << 18, 5))],
    ids=["a sequence without a claim", "too few odds", "too many odds", "odds that one claim cannot have"],
)
def test_every_sequence_needs_a_claim_and_odds(positions: Any, odds: Any) -> None:
    run = several()
    count = len(positions)
    with pytest.raises(UsageError, match="odds"):
        relate(run.program, run.ids, Claims(positions, (1,) * count, (0,) * count, odds), run.stack)


def test_odds_are_those_of_their_own_sequence() -> None:
    """What one sequence's tokens are less likely another one's cannot make up for."""
    run = several()
    first, second, third = run.claims.odds
    claims = replace(run.claims, odds=(first - 1, second + 1, third))
    assert Checker(replace(run, claims=claims).relations, run.found, run.weights).wrong() == ["odds.total"]


def test_lengths_must_sum_up() -> None:
    run = several()
    for lengths in ((3, 2, 2), (3, 5, 3), (8, 1)):
        program = compile_inference(run.shape, run.facts, *lengths)
        with pytest.raises(UsageError, match="token ids below"):
            relate(program, run.ids, run.claims, run.stack)
    for lengths in ((), (3, 0), (3, -1), (1 << 14, 1)):
        with pytest.raises(UsageError, match="tokens"):
            compile_inference(run.shape, run.facts, *lengths)
    with pytest.raises(ValueError, match="causal frame"):
        Frame(8, 1, 1, 3, (3, 2, 2))
    with pytest.raises(ValueError, match="causal frame"):
        Frame(8, 1, 1, 4, (3, 2, 3))


def test_a_sequence_alone_gives_the_same_numbers() -> None:
    """Neither positions nor attention know of the other sequences: nothing but shared tables may depend on them."""
    run, at = several(), 0
    for length in run.lengths:
        part = slice(at, at + length)
        alone = execute_inference(compile_inference(run.shape, run.facts, length), run.weights, run.ids[part])
        among = execute_inference(run.program, run.weights, run.ids)
        for name, values in alone.values.items():
            if name.endswith("scores"):
                np.testing.assert_array_equal(among.values[name][:, part, :length], values)
                assert not among.values[name][:, part, length:].any()
            else:
                np.testing.assert_array_equal(among.values[name][part], values, err_msg=name)
        at += length
