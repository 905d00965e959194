"""The high-water mark by itself: what it holds, where it lies, and what it says where it cannot be kept."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from huref.common.errors import InputOutputError, ProverError
from huref.prover.commitment.highwater import HighWater, Mark, state_home
from huref.prover.commitment.seal import MAX_STEP, SealedFile

MARK = Mark(3, "f" * 32, 20)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "huref" / "commitments" / "ab"


def kept() -> HighWater:
    water = HighWater.open("ab")
    water.close()
    return water


def test_what_is_written_is_read_again(home: Path) -> None:
    water = HighWater.open("ab")
    assert (water.mark, water.intact, water.damage, water.missing) == (None, False, None, None)
    for step in range(3):
        water.write(Mark(step, "f" * 32, 20))
        assert water.mark == Mark(step, "f" * 32, 20) and water.intact
    water.close()
    assert kept().mark == Mark(2, "f" * 32, 20) and kept().intact
    assert home.is_dir() and home.stat().st_mode & 0o777 == 0o700


def test_one_that_was_put_back_is_not_intact(home: Path) -> None:
    """It says what it says; that it is the latest, nothing shows any more."""
    water = HighWater.open("ab")
    water.write(MARK)
    water.close()
    state = home / "state"
    old, witnesses = state.read_bytes(), {path: path.read_bytes() for path in home.glob("witness.*")}
    water = HighWater.open("ab")
    water.write(Mark(4, "e" * 32, 30))
    water.close()
    for path, data in {state: old, **witnesses}.items():
        path.write_bytes(data)
    assert kept().mark == MARK and not kept().intact


@pytest.mark.parametrize("identity", ["", "AB", "g", "a/b", "..", "a" * 129, "ab\n"])
def test_an_identity_is_hexadecimal(identity: str) -> None:
    """It is the name of a folder."""
    with pytest.raises(ValueError, match="hexadecimal"):
        HighWater.open(identity)


@pytest.mark.parametrize(
    "change",
    [{"step": -1}, {"step": MAX_STEP}, {"step": 1.0}, {"step": True}, {"spent": -1}, {"spent": "1"}, {"spent": None},
     {"id": 5}, {"more": 1}, {"step": None}],
    ids=str,
)  # fmt: skip
def test_a_mark_of_another_form_is_damage(home: Path, change: dict[str, Any]) -> None:
    file = SealedFile.open(home, create=True)
    file.advance({"step": 3, "id": "f" * 32, "spent": 20, **change}, 0)
    file.close()
    found = kept()
    assert found.damage is not None and found.mark is None and not found.intact


def test_a_mark_that_lacks_a_field_is_damage(home: Path) -> None:
    file = SealedFile.open(home, create=True)
    file.advance({"step": 3, "id": "f" * 32}, 0)
    file.close()
    assert kept().damage is not None and kept().mark is None


def test_a_damaged_file_is_damage_until_it_is_written_again(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "state").write_bytes(b"{}")
    assert kept().damage is not None
    water = HighWater.open("ab")
    water.write(MARK)
    water.close()
    assert (water.damage, water.mark, kept().mark, kept().intact) == (None, MARK, MARK, True)


def test_it_is_locked_until_it_is_closed() -> None:
    water = HighWater.open("ab")
    with pytest.raises(ProverError, match="in use"):
        HighWater.open("ab")
    HighWater.open("ac").close()
    water.close()
    HighWater.open("ab").close()


def test_where_none_can_be_kept_it_is_missing(home: Path) -> None:
    home.parent.mkdir(parents=True)
    home.write_bytes(b"a file, where the folder should be")
    water = HighWater.open("ab")
    assert water.missing is not None and str(home) in water.missing
    water.write(MARK)
    assert water.mark is None and not water.intact
    water.close()


def test_one_that_is_there_and_cannot_be_used_is_an_error(home: Path) -> None:
    """Else whoever makes it unreadable would be rid of it."""
    water = HighWater.open("ab")
    water.write(MARK)
    water.close()
    (home / "lock").unlink()
    (home / "lock").mkdir()
    with pytest.raises(InputOutputError, match="lock"):
        HighWater.open("ab")


def test_a_mark_that_cannot_be_replaced_stays_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    water = HighWater.open("ab")
    water.write(MARK)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device", "state")

    with monkeypatch.context() as patch:
        patch.setattr(SealedFile, "advance", refuse)
        water.write(Mark(4, "e" * 32, 30))
    assert water.mark == MARK and water.missing == "state: No space left on device"
    water.write(Mark(5, "d" * 32, 40))
    assert water.missing is None and water.mark == Mark(5, "d" * 32, 40)
    water.close()


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Never in the folder one stands in."""
    assert state_home() == tmp_path / "home"
    for name in ("", "state", "./state"):
        monkeypatch.setenv("XDG_STATE_HOME", name)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert state_home() == tmp_path / ".local" / "state"
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert state_home() is None
    water = HighWater.open("ab")
    assert water.missing == "there is no home folder"
    water.write(MARK)
    water.close()
    assert water.mark is None


def test_steps_of_the_file_are_its_own(home: Path) -> None:
    """The seal counts its writings, whatever step of the state the mark speaks of."""
    water = HighWater.open("ab")
    for step in (7, 7, 9):
        water.write(Mark(step, "f" * 32, 0))
    water.close()
    said = json.loads((home / "state").read_bytes())
    assert (said["step"], said["seal"]["step"]) == (9, 2)
