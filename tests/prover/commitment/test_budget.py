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
from huref.prover.commitment.highwater import HighWater
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


@pytest.mark.parametrize("there", ["everything", "seed", "state", "a damaged state"])
def test_a_state_is_never_made_over_another(tmp_path: Path, there: str) -> None:
    """A second seed under one tree, or a count that begins again, would give the weights away."""
    new(tmp_path, 11).close()
    for name in {"seed": ("state",), "state": ("seed",), "a damaged state": ("seed",)}.get(there, ()):
        (tmp_path / name).unlink()
    if there == "a damaged state":
        (tmp_path / "state").write_bytes(b"{}")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for _ in range(2):  # the second would be locked out if the first had kept the lock
        with pytest.raises(ProverError, match="already holds"):
            OpeningBudget.create(tmp_path, 11)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_folder_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir(mode=0o755)
    new(tmp_path / "s", 11).close()
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


def test_without_random_rows_there_is_no_budget(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one random row"):
        OpeningBudget.create(tmp_path, 0)


def test_opening_a_state_brings_its_mark_to_it(tmp_path: Path) -> None:
    """Also where no proof follows: the mark is what tells a snapshot of the folder."""
    with new(tmp_path, 31) as budget:
        budget.reserve(4)
        budget.settle([1, 2, 3, 4])
    home = Path(os.environ["XDG_STATE_HOME"]) / "huref" / "commitments" / ID
    for path in home.iterdir():
        path.unlink()
    OpeningBudget.load(tmp_path, ID, str).close()
    water = HighWater.open(ID)
    water.close()
    assert water.intact and water.mark is not None and (water.mark.step, water.mark.spent) == (1, 4)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_commitment_that_was_in_use_is_not_begun_again(tmp_path: Path, damaged: bool) -> None:
    """Made again from the same seed, it would open other positions of the same tree."""
    with new(tmp_path / "first", 31) as budget:
        seed = budget.seed
        if not damaged:
            budget.reserve(4)
    if damaged:
        (Path(os.environ["XDG_STATE_HOME"]) / "huref" / "commitments" / ID / "state").write_bytes(b"{}")
    again = OpeningBudget.create(tmp_path / "again", 31, seed=seed)
    with pytest.raises(ProverError, match="already in use"):
        again.bind(ID, str)
    again.close()


def test_one_that_was_only_made_can_be_made_again(tmp_path: Path) -> None:
    """With no proof there is nothing to lose; from then on the first one is the older."""
    new(tmp_path / "first", 31).close()
    with new(tmp_path / "again", 31) as budget:
        budget.reserve(4)
    with pytest.raises(ProverError, match="put back"):
        OpeningBudget.load(tmp_path / "first", ID, str)


def test_a_refused_state_is_not_held(tmp_path: Path) -> None:
    """Whoever repairs it finds it unlocked."""
    new(tmp_path, 31).close()
    (tmp_path / "seed").chmod(0o644)
    for _ in range(2):
        with pytest.raises(ProverError, match="readable by others"):
            OpeningBudget.load(tmp_path, ID, str)
    (tmp_path / "seed").chmod(0o600)
    OpeningBudget.load(tmp_path, ID, str).close()


@pytest.mark.parametrize("count", [0, -1])
def test_nothing_is_reserved_for_no_position(tmp_path: Path, count: int) -> None:
    with new(tmp_path, 31) as budget:
        with pytest.raises(ValueError, match="at least one"):
            budget.reserve(count)
        assert (budget.remaining, budget.proofs) == (30, 0)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_length_is_malformed(tmp_path: Path, size: int) -> None:
    new(tmp_path, 31).close()
    (tmp_path / "seed").write_bytes(b"s" * size)
    with pytest.raises(Malformed, match="32 bytes"):
        OpeningBudget.load(tmp_path, ID, str)


def test_a_seed_behind_a_link_is_refused(tmp_path: Path) -> None:
    new(tmp_path / "s", 31).close()
    (tmp_path / "s" / "seed").rename(tmp_path / "elsewhere")
    (tmp_path / "s" / "seed").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProverError, match="not a regular file"):
        OpeningBudget.load(tmp_path / "s", ID, str)


def test_restore_of_a_good_state_forfeits_what_was_cut_off(tmp_path: Path) -> None:
    budget = new(tmp_path, 31)
    budget.reserve(4)
    budget._release()  # as a process that dies: neither settled nor aborted
    said: list[str] = []
    with OpeningBudget.restore(tmp_path, ID, say=said.append) as again:
        assert again.remaining == 26 and again.declared == 4
    assert said == ["an earlier proof was cut off: its 4 positions are forfeited"]
