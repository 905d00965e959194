"""The opening budget is durable, exclusive, refunds only repeats and never survives a copy (protocol §4)."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref.common.errors import Malformed, ProverError
from huref.prover.commitment.budget import OpeningBudget
from huref.prover.commitment.randomness import SecretSeed

ID = "ab"


@pytest.fixture(autouse=True)
def own_state_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins without a high-water mark."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state-home")))


def new(directory: Path, rows: int) -> OpeningBudget:
    """A new state of the commitment `ID`, with its mark."""
    budget = OpeningBudget.create(directory, rows)
    budget.bind(ID, str)
    return budget


def test_files_are_private(tmp_path: Path) -> None:
    with new(tmp_path / "s", 11) as budget:
        assert budget.remaining == 10
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
    for name in ("seed", "state", "lock", "witness.0", "witness.1"):
        assert stat.S_IMODE((tmp_path / "s" / name).stat().st_mode) == 0o600
    assert repr(SecretSeed((tmp_path / "s/seed").read_bytes())) == "SecretSeed()"


def test_settling_refunds_repeats_and_persists(tmp_path: Path) -> None:
    with new(tmp_path, 11) as budget:
        seed = budget.seed.value
        assert budget.reserve(4) == 1
        assert budget.remaining == 6
        budget.settle([1, 2, 3, 4])
        assert budget.reserve(4) == 2
        budget.settle([3, 4, 5, 6])
        assert budget.remaining == 4
    with OpeningBudget.load(tmp_path, ID, str) as budget:
        assert budget.opened == {1, 2, 3, 4, 5, 6}
        assert (budget.remaining, budget.proofs, budget.seed.value) == (4, 2, seed)
        with pytest.raises(ProverError, match="allows 4 more"):
            budget.reserve(5)
        assert budget.remaining == 4
        budget.reserve(4)
        budget.settle([7, 8, 9, 10])
        with pytest.raises(ProverError):
            budget.reserve(1)


def test_reservation_is_durable_before_positions_are_drawn(tmp_path: Path) -> None:
    """A process that dies after `reserve` has spent its positions."""
    new(tmp_path, 11).close()
    script = (
        "import os, sys, pathlib; from huref.prover.commitment.budget import OpeningBudget;"
        "OpeningBudget.load(pathlib.Path(sys.argv[1]), 'ab').reserve(4); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == 9
    with OpeningBudget.load(tmp_path, ID, str) as budget:
        assert (budget.remaining, budget.proofs, budget.opened) == (6, 1, frozenset())


def test_a_reservation_returns_when_its_rename_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content first, then the name, then the folder that holds the name: a power cut cannot undo it later."""
    done: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace

    def record_sync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("sync", os.fstat(descriptor).st_ino))

    def record_replace(source: Path, target: Path) -> None:
        replace(source, target)
        done.append(("name", os.stat(target).st_ino))

    with new(tmp_path, 11) as budget:
        monkeypatch.setattr(os, "fsync", record_sync)
        monkeypatch.setattr(os, "replace", record_replace)
        budget.reserve(4)
        content, folder = (tmp_path / "state").stat().st_ino, tmp_path.stat().st_ino
        witnesses = [(tmp_path / f"witness.{i}").stat().st_ino for i in (1, 0)]
        kept = [("sync", content), ("name", content), ("sync", folder)]
        assert done[:5] == [("sync", witnesses[0]), *kept, ("sync", witnesses[1])]
        assert [kind for kind, _ in done[5:]] == ["sync", "sync", "name", "sync", "sync"], (
            "the mark, in the same way"
        )
        done.clear()
        budget.settle([1, 2, 3, 4])
        content = (tmp_path / "state").stat().st_ino
        assert done == [("sync", content), ("name", content), ("sync", folder)]


class Death(BaseException):
    """The process ends here: nothing after it runs."""


def _die_at(moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `moment`-th system call from now on that changes the disk does not happen, nor any later one."""
    count = itertools.count()

    def limited(real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if next(count) >= moment:
                raise Death
            return real(*arguments)

        return call

    for name in ("open", "write", "pwrite", "ftruncate", "fsync", "replace"):
        monkeypatch.setattr(os, name, limited(getattr(os, name)))


@pytest.mark.parametrize("moment", range(44))
def test_death_at_every_system_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Whatever was handed out is spent for the next process, and the state is the one before or after a step."""
    budget = new(tmp_path, 11)
    handed, settled = 0, False
    with monkeypatch.context() as patched:
        _die_at(moment, patched)
        try:
            budget.reserve(4)
            handed = 4
            budget.settle([1, 2, 3])
            settled = True
        except Death:
            pass
    budget._release()  # what the system does for a dead process
    with OpeningBudget.load(tmp_path, ID, str) as after:
        assert after.remaining in ({10, 6} if not handed else {6, 7} if not settled else {7})
        assert after.remaining <= 10 - len(after.opened)
        if handed:
            assert after.remaining < 10 and after.proofs == 1
        assert after.opened in (frozenset(), frozenset({1, 2, 3}))
        assert after.opened or after.remaining != 7
        after.reserve(after.remaining)


def test_an_aborted_proof_counts(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new(tmp_path, 11) as budget:
        budget.reserve(3)
        raise RuntimeError
    with OpeningBudget.load(tmp_path, ID, str) as budget:
        assert budget.remaining == 7


def test_the_lock_is_exclusive(tmp_path: Path) -> None:
    with new(tmp_path, 5):
        with pytest.raises(ProverError, match="in use"):
            OpeningBudget.load(tmp_path, ID, str)
        with pytest.raises(ProverError, match="in use"):
            OpeningBudget.restore(tmp_path, ID)
    OpeningBudget.load(tmp_path, ID, str).close()


def test_misuse_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProverError, match="no private state"):
        OpeningBudget.load(tmp_path, ID, str)
    with new(tmp_path, 11) as budget:
        with pytest.raises(ProverError):
            budget.settle([1])
        budget.reserve(2)
        with pytest.raises(ProverError):
            budget.reserve(1)
        with pytest.raises(ProverError):
            budget.settle([1, 2, 3])
    with pytest.raises(ProverError, match="already"):
        new(tmp_path, 11)
    with pytest.raises(ProverError, match="closed"):
        budget.reserve(1)


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b'{"version": 1}'])
def test_damaged_state_is_malformed(tmp_path: Path, damage: bytes) -> None:
    new(tmp_path, 11).close()
    (tmp_path / "state").write_bytes(damage)
    with pytest.raises(Malformed):
        OpeningBudget.load(tmp_path, ID, str)


def test_negative_counts_are_malformed(tmp_path: Path) -> None:
    new(tmp_path, 11).close()
    state = tmp_path / "state"
    state.write_bytes(state.read_bytes().replace(b'"forfeited": 0', b'"forfeited": -9'))
    with pytest.raises(Malformed):
        OpeningBudget.load(tmp_path, ID, str)


def test_readable_by_others_is_refused(tmp_path: Path) -> None:
    new(tmp_path, 11).close()
    (tmp_path / "seed").chmod(0o644)
    with pytest.raises(ProverError, match="readable"):
        OpeningBudget.load(tmp_path, ID, str)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["settle", "abort", "reload"]), st.sets(st.integers(0, 15), min_size=1)),
        max_size=8,
    )
)
def test_never_more_than_z_minus_1_distinct_positions(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, set[int]]]
) -> None:
    z = 9
    directory = tmp_path_factory.mktemp("budget")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state-home"))  # put back by the fixture
    budget = new(directory, z)
    exposed: set[int] = set()
    for action, positions in steps:
        try:
            budget.reserve(len(positions))
        except ProverError:
            assert len(positions) > budget.remaining
            continue
        exposed |= positions
        if action == "settle":
            budget.settle(sorted(positions))
        elif action == "abort":
            budget.abort()
        else:
            budget.close()
            budget = OpeningBudget.load(directory, ID, str)
        assert len(exposed) <= z - 1
        assert budget.remaining <= z - 1 - len(exposed) or exposed - budget.opened
        assert budget.remaining >= 0
    budget.close()


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
