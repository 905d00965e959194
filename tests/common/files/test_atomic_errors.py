"""Writing that fails: one line of ours, nothing left behind, and an older file stays as it was."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from huref.common.errors import InputOutputError, UsageError
from huref.common.files import atomic
from huref.common.files.atomic import check_writable, clear_leftovers, new_folder, write_file

LEFT = ".x.0123456789abcdef.tmp"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def publish(path: Path, *, replace: bool = False) -> None:
    with new_folder(path, replace=replace):
        pass


PLACES: dict[str, tuple[Any, str, Callable[[Path], None]]] = {
    "open": (os, "open", lambda path: write_file(path, b"")),
    "name a file": (os, "replace", lambda path: write_file(path, b"")),
    "probe": (tempfile, "TemporaryFile", check_writable),
    "make a folder": (os, "mkdir", publish),
    "name a folder": (os, "replace", publish),
    "sweep": (shutil, "rmtree", clear_leftovers),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("error", "said"),
    [(PermissionError(13, "Permission denied", "elsewhere"), "Permission denied"), (OSError("odd"), "odd")],
    ids=["named", "odd"],
)
def test_a_failure_is_one_line(
    place: str, error: OSError, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, write = PLACES[place]

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    path = tmp_path / "x"
    if place == "sweep":
        path.with_name(LEFT).mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(module, name, fail)
        with pytest.raises(InputOutputError) as caught:
            write(path)
    assert caught.value.message.startswith(str(tmp_path)) and caught.value.message.endswith(f": {said}")
    assert names(tmp_path) == ([LEFT] if place == "sweep" else [])


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    clear_leftovers(tmp_path / "none" / "x")
    with pytest.raises(InputOutputError, match="x: No such file"):
        write_file(tmp_path / "none" / "x", b"")
    check_writable(tmp_path / "none" / "deeper")
    assert names(tmp_path) == []
    publish(tmp_path / "none" / "deeper")
    assert names(tmp_path / "none") == ["deeper"]


def test_a_source_that_ends_early_leaves_the_older_file(tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("no more")

    path = tmp_path / "x"
    write_file(path, [b"ol", b"d"])
    with pytest.raises(ValueError, match="no more"):
        write_file(path, parts())
    assert names(tmp_path) == ["x"] and path.read_bytes() == b"old"


def test_a_file_is_durable_before_its_name_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        found = os.fstat(descriptor)
        synced.append((found.st_ino, found.st_size))

    monkeypatch.setattr(os, "fsync", record)
    write_file(tmp_path / "x", b"data")
    assert synced[0] == ((tmp_path / "x").stat().st_ino, 4)
    assert [inode for inode, _ in synced[1:]] == [tmp_path.stat().st_ino]
    (tmp_path / ".f.0123456789abcdef.old").mkdir()
    for step in (lambda: clear_leftovers(tmp_path / "f"), lambda: publish(tmp_path / "f", replace=True)):
        synced.clear()
        step()
        assert synced[-1][0] == tmp_path.stat().st_ino and names(tmp_path) == ["f", "x"]


def test_what_may_not_be_replaced_is_known_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    worked = []
    with pytest.raises(UsageError, match="exists already"), new_folder(tmp_path / "x"):
        worked.append(1)
    assert not worked


def test_a_name_that_was_taken_over_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may sweep a leftover and use its name again while this one waits to look at it."""
    lock, left = atomic._lock, tmp_path / LEFT

    def exchanged(descriptor: int, *, if_unsupported: bool) -> bool:
        left.rename(tmp_path / "moved")
        left.mkdir()
        (left / "f").write_text("new")
        return lock(descriptor, if_unsupported=if_unsupported)

    left.mkdir()
    monkeypatch.setattr(atomic, "_lock", exchanged)
    clear_leftovers(tmp_path / "x")
    assert (left / "f").read_text() == "new"


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    def everything(name: str) -> None:
        (tmp_path / f".{name}.0123456789abcdef.tmp").mkdir()
        for replace in (False, True):
            with new_folder(tmp_path / name, replace=replace):
                pass
        write_file(tmp_path / f"{name}.txt", b"data")

    everything("x")
    before = len(os.listdir("/dev/fd"))
    everything("y")
    assert len(os.listdir("/dev/fd")) == before
    assert names(tmp_path) == ["x", "x.txt", "y", "y.txt"]


def test_two_do_not_replace_one_folder(tmp_path: Path) -> None:
    import fcntl

    publish(tmp_path / "x")
    held = os.open(tmp_path / "x", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="being replaced by"), new_folder(tmp_path / "x", replace=True):
            pass
    finally:
        os.close(held)
    assert names(tmp_path) == ["x"]


def test_a_folder_swept_before_it_was_opened_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, swept = os.open, []

    def sweep_first(path: Any, *given: Any, **more: Any) -> int:
        if not swept and Path(path).suffix == ".tmp":
            swept.append(path)
            Path(path).rmdir()
        return real(path, *given, **more)

    monkeypatch.setattr(os, "open", sweep_first)
    publish(tmp_path / "x")
    assert names(tmp_path) == ["x"] and len(swept) == 1
