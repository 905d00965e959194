"""Answered challenges are counted with the budget, before anybody can have seen an answer (protocol §4)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from huref.common.errors import Malformed, ProverError
from huref.prover.commitment.budget import OpeningBudget
from tests.prover.commitment.test_budget import ID, new, own_state_home

__all__ = ["own_state_home"]


def test_answered_challenges_are_counted_and_kept(tmp_path: Path) -> None:
    """A repeated one is free; a new one beyond `most` is refused, and nothing is changed by that."""
    with new(tmp_path, 101) as budget:
        assert budget.answers_left(2, 4) == 2
        budget.reserve(4, "", 2)
        budget.settle([0, 1, 2, 3])
        budget.reserve(4, "ab" * 32, 2)
        budget.settle([4, 5, 6, 7])
        assert budget.answers_left(2, 4) == 0
    with OpeningBudget.load(tmp_path, ID, str) as budget:
        left, proofs = budget.remaining, budget.proofs
        with pytest.raises(ProverError, match="as many challenges as it may, 2"):
            budget.reserve(4, "cd" * 32, 2)
        assert (budget.remaining, budget.proofs) == (left, proofs)
        for again in ("", "ab" * 32):
            budget.reserve(4, again, 2)
            budget.settle([0, 1, 2, 3])
        budget.reserve(4)  # a range proof, which answers none
        budget.settle([0, 1, 2, 3])
        assert budget.answers_left(3, 4) == 1
        budget.reserve(4, "cd" * 32, 3)


def test_a_challenge_counts_before_it_is_answered(tmp_path: Path) -> None:
    """A proof that dies may have been shown: its challenge is on disk by then, and may be asked again."""
    new(tmp_path, 101).close()
    script = (
        "import os, sys, pathlib; from huref.prover.commitment.budget import OpeningBudget;"
        "OpeningBudget.load(pathlib.Path(sys.argv[1]), 'ab').reserve(4, 'cd', 1); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == 9
    with OpeningBudget.load(tmp_path, ID, str) as budget:
        with pytest.raises(ProverError, match="as many challenges"):
            budget.reserve(4, "ef", 1)
        budget.reserve(4, "cd", 1)


def test_what_was_declared_spent_may_have_answered_challenges(tmp_path: Path) -> None:
    """Every proof's worth of positions that another copy may have opened counts as an answer."""
    with new(tmp_path, 101) as budget:
        budget.reserve(10, "", 5)
        budget.settle(range(10))
    with OpeningBudget.restore(tmp_path, ID, everything=True) as budget:
        assert (budget.declared, budget.remaining) == (90, 0)
        assert budget.answers_left(10, 10) == 0 and budget.answers_left(11, 10) == 1
        assert budget.answers_left(11, 9) == 0, "the shorter a proof, the more of them"


def test_an_interrupted_proof_is_no_unknown_answer(tmp_path: Path) -> None:
    """Its challenge was written down before; a range proof has none."""
    with new(tmp_path, 101) as budget:
        for challenge in (None, "ab"):
            budget.reserve(10, challenge, 2)
            assert budget.abort() == 10
    with OpeningBudget.load(tmp_path, ID, str) as budget:
        assert (budget.remaining, budget.answers_left(2, 10)) == (80, 1)


@pytest.mark.parametrize("damage", ['["x", 1]', "null", '"ab"', "{}"])
def test_damaged_answers_are_malformed(tmp_path: Path, damage: str) -> None:
    new(tmp_path, 11).close()
    state = tmp_path / "state"
    assert b'"answered": []' in state.read_bytes()
    state.write_bytes(state.read_bytes().replace(b'"answered": []', b'"answered": ' + damage.encode()))
    with pytest.raises(Malformed):
        OpeningBudget.load(tmp_path, ID, str)
