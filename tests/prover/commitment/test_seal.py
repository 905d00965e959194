"""The sealed file by itself: every single thing that contradicts a seal is seen, whatever else agrees with it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from huref.common.errors import Malformed, ProverError
from huref.prover.commitment.seal import MAX_STEP, SealedFile


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A sealed file of one step."""
    file = SealedFile.open(tmp_path / "s", create=True)
    file.advance({"a": 1}, 0)
    file.close()
    yield tmp_path / "s"


def witness(folder: Path) -> Path:
    """The witness that the seal names."""
    return folder / f"witness.{seal(folder)['witness']}"


def seal(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "state").read_bytes())["seal"]
    return found


def forge(folder: Path, **fields: Any) -> None:
    """Write these fields into the seal, as somebody could who may write the folder."""
    state = json.loads((folder / "state").read_bytes())
    state["seal"] |= fields
    (folder / "state").write_text(json.dumps(state))


def found_fault(folder: Path) -> str | None:
    file = SealedFile.open(folder)
    file.close()
    return file.fault


def as_it_is(folder: Path) -> None:
    """The seal names the inode and ctime that its witness has by now."""
    state = os.stat(witness(folder))
    forge(folder, inode=state.st_ino, ctime=state.st_ctime_ns)


def test_an_untouched_one_has_no_fault(folder: Path) -> None:
    assert found_fault(folder) is None
    as_it_is(folder)
    assert found_fault(folder) is None


def _other_id(folder: Path) -> None:
    path = witness(folder)
    path.write_bytes(path.read_bytes()[:-2] + b"x\n")


def _longer(folder: Path) -> None:
    with witness(folder).open("ab") as file:
        file.write(b"\0")


def _linked(folder: Path) -> None:
    path = witness(folder)
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")


def _gone(folder: Path) -> None:
    witness(folder).unlink()


def _hard_linked(folder: Path) -> None:
    os.link(witness(folder), folder / "second")


@pytest.mark.parametrize(
    ("change", "said"),
    [(_other_id, "holds"), (_longer, "holds"), (_linked, "symbolic links"), (_hard_linked, "link count 2"),
     (lambda folder: forge(folder, step=1), "holds"), (lambda folder: forge(folder, id="0" * 32), "holds"),
     (lambda folder: forge(folder, inode=1), "inode"), (lambda folder: forge(folder, ctime=1), "ctime")],
)  # fmt: skip
def test_each_contradiction_alone_is_a_fault(folder: Path, change: Callable[[Path], None], said: str) -> None:
    """Inode and ctime are those that the seal names, but where they are what contradicts it."""
    change(folder)
    if said not in ("inode", "ctime"):
        as_it_is(folder)
    fault = found_fault(folder)
    assert fault is not None and said in fault, fault


def test_a_witness_that_is_gone_is_a_fault(folder: Path) -> None:
    _gone(folder)
    fault = found_fault(folder)
    assert fault is not None and "No such file" in fault


def test_what_somebody_else_writes_meanwhile_is_seen(folder: Path) -> None:
    """Also where the seal in it is a good one: its content could be that of another moment."""
    file = SealedFile.open(folder)
    assert file.examine() is None
    state = json.loads((folder / "state").read_bytes())
    (folder / "state").write_text(json.dumps({**state, "a": 2}))
    assert file.examine() == "state was changed by somebody else"
    file.close()


def test_a_file_without_a_state_says_so(tmp_path: Path) -> None:
    file = SealedFile.open(tmp_path / "s", create=True)
    assert file.examine() == "there is no state" and file.content is None
    file.close()
    with pytest.raises(ProverError, match="no private state"):
        SealedFile.open(tmp_path / "s")


def test_an_older_step_is_nowhere_once_the_next_is_over(folder: Path) -> None:
    """The witnesses take turns, and the older one is blank."""
    before = (folder / "state").read_bytes()
    file = SealedFile.open(folder)
    first = file.seal
    second = file.advance({"a": 2}, 1)
    assert first is not None and second.witness == 1 - first.witness and second.id != first.id
    assert (folder / f"witness.{first.witness}").read_bytes() == b"\0" * 54
    file.close()
    (folder / "state").write_bytes(before)
    assert "holds 'nothing'" in (found_fault(folder) or "")


def test_the_witness_of_a_step_that_was_cut_off_is_blanked(folder: Path) -> None:
    """Its line must not lie there for a state that was copied in between."""
    other = folder / f"witness.{1 - seal(folder)['witness']}"
    other.write_bytes(b"1".zfill(20) + b" " + b"f" * 32 + b"\n")
    assert found_fault(folder) is None
    assert other.read_bytes() == b"\0" * 54


def test_a_witness_with_another_name_is_not_written_through(folder: Path) -> None:
    """A step makes a new file there, so that no link keeps what this one writes."""
    other = folder / f"witness.{1 - seal(folder)['witness']}"
    for make in (os.link, os.symlink):
        other.unlink()
        (folder / "kept").write_bytes(b"kept")
        make(folder / "kept", other)
        file = SealedFile.open(folder)
        file.advance({}, 1)
        file.advance({}, 2)
        file.close()
        assert (folder / "kept").read_bytes() == b"kept"
        (folder / "kept").unlink()
        other = folder / f"witness.{1 - seal(folder)['witness']}"
        assert found_fault(folder) is None


def test_nothing_is_written_after_closing(folder: Path) -> None:
    file = SealedFile.open(folder)
    file.close()
    for write in (lambda: file.write({"a": 3}), lambda: file.advance({"a": 3}, 1)):
        with pytest.raises(ProverError, match="closed"):
            write()
    assert json.loads((folder / "state").read_bytes())["a"] == 1
    SealedFile.open(folder).close()


def test_one_at_a_time_and_free_after_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = SealedFile.open(folder)
    with pytest.raises(ProverError, match="in use"):
        SealedFile.open(folder)
    held.close()
    with monkeypatch.context() as patch:
        patch.setattr(SealedFile, "_read", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError) as caught:
            SealedFile.open(folder)
    SealedFile.open(folder).close()
    del caught  # it held the object until here


@pytest.mark.parametrize(
    "field",
    [{"step": -1}, {"step": MAX_STEP}, {"step": 0.0}, {"step": True}, {"witness": 2}, {"witness": -1}, {"witness": "0"},
     {"inode": None}, {"ctime": "1"}, {"id": 5}, {"id": "0" * 31}, {"id": "0" * 33}, {"id": "é" * 32}, {"more": 1}],
    ids=str,
)  # fmt: skip
def test_a_seal_of_another_form_is_damage(folder: Path, field: dict[str, Any]) -> None:
    forge(folder, **field)
    file = SealedFile.open(folder)
    assert isinstance(file.damage, Malformed) and file.content is None and file.seal is None
    file.close()


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"[" * 100, b'{"seal":[]}', b'{"seal":{"step":0}}', b"\xff"]
)
def test_a_state_of_another_form_is_damage(folder: Path, text: bytes) -> None:
    (folder / "state").write_bytes(text)
    file = SealedFile.open(folder)
    assert isinstance(file.damage, Malformed)
    file.close()


def test_a_state_that_is_no_file_is_refused(folder: Path) -> None:
    kept = (folder / "state").read_bytes()
    (folder / "elsewhere").write_bytes(kept)
    for make in (lambda path: path.symlink_to(folder / "elsewhere"), os.mkfifo):
        (folder / "state").unlink()
        make(folder / "state")
        with pytest.raises(ProverError, match="not a regular file"):
            SealedFile.open(folder)


def test_a_huge_state_is_damage(folder: Path) -> None:
    with (folder / "state").open("wb") as file:
        file.truncate(1 << 40)
    opened = SealedFile.open(folder)
    assert isinstance(opened.damage, Malformed)
    opened.close()


def test_a_step_is_on_disk_in_this_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new witness, the state, its name, then the old witness: whenever power fails, one step is whole."""
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    def replaced(source: Path, target: Path) -> None:
        done.append("renamed")
        replace(source, target)

    file = SealedFile.open(folder)
    old = seal(folder)["witness"]
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    file.advance({"a": 2}, 1)
    assert done == [f"witness.{1 - old}", "state.tmp", "renamed", folder.name, f"witness.{old}"]
    done.clear()
    file.write({"a": 3})
    assert done == ["state.tmp", "renamed", folder.name]
    file.close()


def test_leftovers_and_longer_files_are_in_nobodys_way(folder: Path) -> None:
    """Of a process that died, or of somebody else."""
    (folder / "state.tmp").write_bytes(b"half of a state")
    (folder / f"witness.{1 - seal(folder)['witness']}").write_bytes(b"x" * 1000)
    file = SealedFile.open(folder)
    file.advance({"a": 2}, 1)
    file.close()
    assert found_fault(folder) is None and not (folder / "state.tmp").exists()


def test_a_lock_behind_a_link_is_refused(folder: Path) -> None:
    """Two links to two files would be two locks."""
    (folder / "lock").rename(folder / "elsewhere")
    (folder / "lock").symlink_to(folder / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        SealedFile.open(folder)


def test_a_deep_state_is_damage(folder: Path) -> None:
    """No parser is led deeper than any state of ours goes."""
    state = json.loads((folder / "state").read_bytes())
    (folder / "state").write_text(json.dumps(state)[:-1] + ',"deep":' + "[" * 40 + "]" * 40 + "}")
    file = SealedFile.open(folder)
    assert isinstance(file.damage, Malformed)
    file.close()


def test_no_descriptor_stays_open(folder: Path) -> None:
    """A lock that is held by a forgotten one would refuse every later proof of this process."""
    before = sorted(os.listdir("/proc/self/fd"))
    file = SealedFile.open(folder)
    file.advance({"a": 2}, 1)
    assert file.examine() is None
    with pytest.raises(ProverError, match="in use"):
        SealedFile.open(folder)
    other = folder / f"witness.{1 - seal(folder)['witness']}"
    os.link(other, folder / "second")
    file.advance({"a": 3}, 2)
    file.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
