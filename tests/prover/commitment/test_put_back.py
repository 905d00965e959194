"""Every way of putting an older private state back is refused, with the commands that people use (private-state.md).

A tiny commitment of 100 positions, proofs of 10. `Case.prove` is a proof as far as the state can see.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from huref.common.errors import InputOutputError, ProverError
from huref.prover.commitment import seal
from huref.prover.commitment.budget import OpeningBudget
from huref.prover.commitment.highwater import HighWater

ID = "c0ffee"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNU cp and tar")


@dataclass
class Case:
    """A commitment's folder in `place`, and what is done to it."""

    place: Path
    home: Path

    @property
    def private(self) -> Path:
        return self.place / "c" / "private"

    @property
    def mark(self) -> Path:
        return self.home / "huref" / "commitments" / ID

    def prove(self, first: int, folder: str = "c") -> list[str]:
        """Opens positions first … first + 9; the warnings that were said."""
        said: list[str] = []
        with OpeningBudget.load(self.place / folder / "private", ID, said.append) as budget:
            budget.reserve(10)
            budget.settle(range(first, first + 10))
        return said

    def restore(self, folder: str = "c", *, everything: bool = False) -> int:
        """What is left afterwards."""
        with OpeningBudget.restore(
            self.place / folder / "private", ID, everything=everything, say=str
        ) as budget:
            return budget.remaining

    def shell(self, command: str) -> None:
        subprocess.run(["bash", "-ec", command], cwd=self.place, check=True, capture_output=True)


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    home = tmp_path / "state-home"
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    made = Case(tmp_path, home)
    budget = OpeningBudget.create(made.private, 101)
    budget.bind(ID)
    budget.close()
    made.prove(0)
    return made


def without_mark(case: Case) -> None:
    """As on another machine: what follows is the seal's work alone."""
    shutil.rmtree(case.mark)


WAYS = {
    "state alone": ("cp -a c/private/state s", "cp -a s c/private/state"),
    "state, in place": ("cp -a c/private/state s", "cat s > c/private/state"),
    "state by mv": ("cp -a c/private/state s", "mv s c/private/state"),
    "cp -a in place": ("cp -a c b", "cp -a b/. c/"),
    "cp -a, moved there": ("cp -a c b", "rm -rf c; mv b c"),
    "rm -rf, cp -a": ("cp -a c b", "rm -rf c; cp -a b c"),
    "tar over it": ("tar cf b.tar c", "tar xf b.tar"),
    "tar --overwrite": ("tar cf b.tar c", "tar xf b.tar --overwrite"),
    "hard links": ("cp -al c b", "true"),
    "hard links, put back": ("cp -al c b", "rm -rf c; mv b c"),
    "a link to the state": ("cp -a c/private/state s", "ln -sf ../../s c/private/state"),
    "a link to a witness": ("cp -a c/private/witness.1 s", "ln -sf ../../s c/private/witness.1"),
    "touch -r": (
        "cp -a c b",
        "for f in b/private/*; do cat $f > c/private/${f##*/}; touch -r $f c/private/${f##*/}; done",
    ),
}


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_put_back(case: Case, way: str, marked: bool) -> None:
    """Backed up after one proof, put back after three: refused, by the seal alone too."""
    save, put_back = WAYS[way]
    case.shell(save)
    if way.startswith("hard links"):
        with pytest.raises(ProverError):
            case.prove(10)
        if not marked:
            without_mark(case)
    else:
        case.prove(10)
        case.prove(20)
        if not marked:
            without_mark(case)
    case.shell(put_back)
    with pytest.raises(ProverError) as caught:
        case.prove(30)
    assert "\n" not in caught.value.message and caught.value.hint


def test_one_step_back_is_seen_without_a_mark(case: Case) -> None:
    """The witness of the step before is blank, so the state before it is not taken again."""
    case.shell("cp -a c/private/state s")
    case.prove(10)
    without_mark(case)
    case.shell("cp -a s c/private/state")
    with pytest.raises(ProverError, match=r"witness\.[01] holds nothing.*|.*expected"):
        case.prove(20)


def test_link_count_and_inode_and_ctime_each_count(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """On file systems with coarse times, or with inodes that come back, the other marks still hold."""
    real = os.fstat

    def blind(*fields: str) -> Callable[[int], os.stat_result]:
        def fstat(descriptor: int) -> os.stat_result:
            found = real(descriptor)
            values = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
            return type("Stat", (), {**values, **dict.fromkeys(fields, 1)})()  # type: ignore[return-value]

        return fstat

    without_mark(case)
    for seen, command, undo in (
        ("link count", "ln c/private/witness.1 x", "rm x"),
        ("ctime", "chmod 600 c/private/witness.1", "true"),
        ("inode", "cp -a c/private/witness.1 x; mv x c/private/witness.1", "true"),
    ):
        others = {"link count": "st_nlink", "ctime": "st_ctime_ns", "inode": "st_ino"}
        hidden = [field for name, field in others.items() if name != seen]
        monkeypatch.setattr(os, "fstat", blind(*hidden))
        case.restore()
        file = seal.SealedFile.open(case.private)
        name = f"witness.{file.seal.witness}" if file.seal else ""
        assert file.fault is None
        file.close()
        time.sleep(0.02)  # more than a tick of the clock that stamps files
        case.shell(command.replace("witness.1", name))
        file = seal.SealedFile.open(case.private)
        file.close()
        assert file.fault is not None and f"has {seen} " in file.fault
        case.shell(undo)


def test_a_snapshot_of_the_folder_is_seen_by_the_mark(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume that is set back keeps inodes and times, as if nothing looked at them: the mark outside remains."""
    case.shell("cp -a c b")
    case.prove(10)
    case.shell("rm -rf c; cp -a b c")
    monkeypatch.setattr(seal.SealedFile, "examine", lambda self: None)
    with pytest.raises(ProverError, match=r"state is at step 1, expected 2 by the mark"):
        case.prove(20)
    monkeypatch.undo()
    os.environ["XDG_STATE_HOME"] = str(case.home)
    assert case.restore() == 80, "two proofs were made in all"


def test_two_states_of_one_step_are_told_apart(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two set-back volumes that each went one proof on: the second one's id is not the mark's."""
    case.shell("cp -a c b")
    case.prove(10)
    away = case.mark.with_name("away")
    with monkeypatch.context() as patch:
        patch.setattr(seal.SealedFile, "examine", lambda self: None)
        case.mark.rename(away)
        case.prove(50, "b")
        shutil.rmtree(case.mark)
        away.rename(case.mark)
        with pytest.raises(ProverError, match=r"state has id .* expected"):
            case.prove(60, "b")
    assert case.restore("b") == 0


def test_moving_the_folder_is_fine(case: Case) -> None:
    case.shell("mkdir deeper; mv c deeper/c; mv deeper/c c; mv c d; chmod 0700 d d/private; mv d c")
    assert case.prove(10) == []


def test_another_file_system_needs_restore_and_loses_nothing(case: Case) -> None:
    """With the mark at hand; without it, nothing is left."""
    case.shell("cp -a c d; rm -rf c; mv d c")
    with pytest.raises(ProverError, match="copy") as caught:
        case.prove(10)
    assert caught.value.hint and f"huref restore {case.private.parent}" in caught.value.hint
    assert case.restore() == 90
    case.prove(10)
    case.shell("cp -a c d; rm -rf c; mv d c")
    without_mark(case)
    assert case.restore() == 0


def test_a_restored_copy_shuts_the_original_out(case: Case) -> None:
    case.shell("cp -a c b")
    assert case.restore("b") == 90
    with pytest.raises(ProverError, match="by the mark"):
        case.prove(10)
    case.prove(10, "b")
    assert case.restore() == 80
    with pytest.raises(ProverError, match="by the mark"):
        case.prove(20, "b")


def test_a_home_from_a_backup_proves_nothing_to_restore(case: Case) -> None:
    """Folder and mark put back together: the mark is old too, and its own seal says so."""
    case.shell("cp -a c b; cp -a state-home h")
    case.prove(10)
    case.shell("rm -rf c state-home; cp -a b c; cp -a h state-home")
    with pytest.raises(ProverError, match="copy"):
        case.prove(20)
    assert case.restore() == 0


def test_restore_of_a_good_state_changes_nothing_unless_all_is_said(case: Case) -> None:
    assert case.restore() == 90
    case.prove(10)
    assert case.restore(everything=True) == 0
    with pytest.raises(ProverError, match="opening budget"):
        case.prove(20)


def test_a_mark_that_was_put_back_or_lost_is_said_and_the_state_counts(case: Case) -> None:
    case.shell("cp -a state-home h")
    case.prove(10)
    case.shell("rm -rf state-home; cp -a h state-home")
    assert any("was put back" in text for text in case.prove(20))
    without_mark(case)
    assert any("no high-water mark" in text for text in case.prove(30))
    assert case.prove(40) == []


@pytest.mark.parametrize(
    "garbage", [b"", b"[]", b"\xff" * 99, b'{"seal": {}}', b"9" * 9999, b"[" * 99999, b'{"step": 1e9}']
)
def test_a_mark_of_garbage_is_refused_and_restores_to_nothing(case: Case, garbage: bytes) -> None:
    (case.mark / "state").write_bytes(garbage)
    with pytest.raises(ProverError, match="mark cannot be read"):
        case.prove(10)
    assert case.restore() == 0


def test_a_huge_mark(case: Case) -> None:
    water = HighWater.open(ID)
    assert water.mark is not None
    water.write(type(water.mark)(10**18, water.mark.id, 10**30))
    water.close()
    with pytest.raises(ProverError, match="expected 1000000000000000000"):
        case.prove(10)
    assert case.restore() == 0


def test_where_no_mark_can_be_kept_every_proof_says_so(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    (case.place / "file").touch()
    for home in (case.place / "file" / "below", case.place / "file"):
        monkeypatch.setenv("XDG_STATE_HOME", str(home))
        said = case.prove(10)
        assert len(said) == 1 and "no high-water mark can be kept" in said[0]
    case.shell("cp -a c d; rm -rf c; mv d c")
    assert case.restore() == 0


def test_a_mark_that_is_there_must_be_usable(case: Case) -> None:
    (case.mark / "lock").unlink()
    (case.mark / "lock").mkdir()
    with pytest.raises(InputOutputError, match="lock"):
        case.prove(10)


def test_marks_of_several_commitments_do_not_meet(case: Case) -> None:
    other = OpeningBudget.create(case.place / "o" / "private", 101)
    other.bind("0b")
    with other:
        other.reserve(10)
        case.prove(10)
    assert case.prove(20) == []
    with pytest.raises(ValueError, match="hexadecimal"):
        OpeningBudget.load(case.private, "../x")


def test_one_at_a_time(case: Case) -> None:
    """A second process, and one that uses another copy of the same commitment."""
    case.shell("cp -a c b")
    script = (
        "import sys, pathlib; from huref.prover.commitment.budget import OpeningBudget; "
        "OpeningBudget.load(pathlib.Path(sys.argv[1]), sys.argv[2])"
    )
    with OpeningBudget.load(case.private, ID):
        done = subprocess.run(
            [sys.executable, "-c", script, case.private, ID], capture_output=True, check=False
        )
        assert b"in use by another process" in done.stderr
        with pytest.raises(ProverError, match="in use"):
            case.restore("b")


def test_put_back_between_load_and_reserve(case: Case) -> None:
    case.shell("cp -a c b")
    with OpeningBudget.load(case.private, ID) as budget:
        case.shell("cp -a b/private/. c/private/")
        with pytest.raises(ProverError, match="while in use"):
            budget.reserve(10)


def test_an_interrupted_proof_says_what_it_forfeited(case: Case) -> None:
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt), OpeningBudget.load(case.private, ID, said.append) as budget:
        budget.reserve(10)
        raise KeyboardInterrupt
    assert said == [
        "interrupted: 10 positions are forfeited as if the proof had been shown; 8 proofs are left"
    ]


def test_without_posix_locks_one_line_says_so(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(ProverError, match="needs POSIX file locks"):
        case.prove(10)
