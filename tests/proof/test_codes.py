"""Trees over leaves that are no code, or other leaves than the ones asked for."""

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
from huref.common.algebra.field import P, fadd
from huref.common.argument.transcript import Transcript
from huref.common.errors import Malformed, Rejected
from huref.prover.commitment.weights import WeightsCommitment
from tests.proof.attacks import forge
from tests.proof.cheating import Altered, altered_code
from tests.proof.programs import Case, chain, small_build

Alter = Callable[[np.ndarray], None]


def column(rows: slice | list[int]) -> Alter:
    """Noise on column 1 at the given positions."""

    def alter(values: np.ndarray) -> None:
        noise = np.random.default_rng(5).integers(1, P, len(values)).astype(np.uint64)
        values[rows, 1] = fadd(values[rows, 1], noise[rows])

    return alter


def with_weights(case: Case, alter: Alter) -> WeightsCommitment:
    honest = case.commit()
    return dataclasses.replace(honest, committed=Altered(honest.committed, alter))  # type: ignore[arg-type]


def try_code(case: Case, tree: str, alter: Alter) -> None:
    if tree == "weights":
        commitment = with_weights(case, alter)
        case.verify(case.prove(commitment=commitment), root=commitment.root)
    else:
        with altered_code(tree, alter):
            forge(case, case.setup())


TREES = [("weights", "opening.final"), ("mask", "opening.final"), ("proof", "opening.final"),
         ("second", "opening.second.code")]  # fmt: skip


@pytest.mark.parametrize(("tree", "path"), TREES)
def test_column_that_is_no_codeword(tree: str, path: str) -> None:
    with small_build(clear_rows=16):
        case = chain(d=8, k=16, f=4)
        for rows in (slice(None), slice(0, None, 3)):
            with pytest.raises(Rejected) as caught:
                try_code(case, tree, column(rows))
            assert caught.value.path == path


@pytest.mark.parametrize(("tree", "path"), TREES)
def test_few_wrong_leaves_matter_only_when_opened(tree: str, path: str) -> None:
    """One wrong leaf is within the decoding radius: the proof stands unless a query hits it."""
    with small_build(clear_rows=16):
        case = chain(d=8, k=16, f=4)
        opened: list[int] = []
        label = {"mask": "opening.weights"}.get(tree, f"opening.{tree}")
        original = Transcript.challenge_positions

        def note(self: Transcript, name: str, count: int, bound: int) -> np.ndarray:
            found = original(self, name, count, bound)
            if name == label:
                opened[:] = found.tolist()
            return found

        outcomes = set()
        with mock.patch.object(Transcript, "challenge_positions", note):
            for position in range(4):
                try:
                    try_code(case, tree, column([position]))
                    assert position not in opened
                    outcomes.add("accepted")
                except Rejected as error:
                    assert position in opened and error.path == path
                    outcomes.add("rejected")
        assert "accepted" in outcomes


def test_leaves_of_other_positions(tall: Case) -> None:
    original = huref.prover.argument.opening._open

    for label in ("opening.weights", "opening.mask", "opening.proof"):

        def shifted(channel: Any, name: str, committed: Any, at: np.ndarray, label: str = label) -> None:
            if name == label:
                at = (at + 1) % committed.n
                at.sort()
            original(channel, name, committed, at)

        with (
            mock.patch.object(huref.prover.argument.opening, "_open", shifted),
            pytest.raises((Rejected, Malformed)) as caught,
        ):
            forge(tall, tall.setup())
        assert isinstance(caught.value, Malformed) or caught.value.path == f"{label}.root"
