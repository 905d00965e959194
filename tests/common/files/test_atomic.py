"""Folders and files appear complete or not at all, and what a dead process left is removed, nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from huref.common.errors import InputOutputError, UsageError
from huref.common.files import atomic
from huref.common.files.atomic import clear_leftovers, new_folder, write_file

ID = "0123456789abcdef"
DIE = "import os, signal, sys; from pathlib import Path; from huref.common.files import atomic; {}"
KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def die(code: str, target: Path) -> None:
    """Run `code` in a process that kills itself; `target` is sys.argv[1]."""
    done = subprocess.run([sys.executable, "-c", DIE.format(code), str(target)], check=False)
    assert done.returncode == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    """All names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def publish(path: Path, content: str, *, replace: bool = False) -> None:
    """Make a folder with one file."""
    with new_folder(path, replace=replace) as temporary:
        (temporary / "f").write_text(content)


def test_a_dead_process_leaves_nothing_to_the_next_run(tmp_path: Path) -> None:
    target = tmp_path / "x.huref"
    code = (
        "folder = atomic.new_folder(Path(sys.argv[1])); f = folder.__enter__();"
        "(f / 'private').mkdir(); (f / 'private' / 'seed').write_text('secret');" + KILL
    )
    for _ in range(2):
        die(code, target)
    assert len(names(tmp_path)) == 1, "the second run removes the first one's leftover"
    assert (tmp_path / names(tmp_path)[0] / "private" / "seed").read_text() == "secret"
    publish(target, "new")
    assert names(tmp_path) == ["x.huref"]


def test_a_file_that_was_being_written(tmp_path: Path) -> None:
    key = tmp_path / "key"
    die(f"os.fsync = lambda _: {KILL}; atomic.write_file(Path(sys.argv[1]), b'secret', 0o600)", key)
    assert len(names(tmp_path)) == 1 and not key.exists()
    write_file(key, b"other")
    assert names(tmp_path) == ["key"] and key.read_bytes() == b"other"


def test_a_living_process_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "x"
    with pytest.raises(UsageError, match="exists"), new_folder(target) as slow:
        (slow / "f").write_text("slow")
        publish(target, "quick")
        assert (slow / "f").read_text() == "slow"
    assert names(tmp_path) == ["x"] and (target / "f").read_text() == "quick"
    with new_folder(target, replace=True) as slow:
        publish(target, "quicker", replace=True)
        (slow / "f").write_text("slow")
    assert names(tmp_path) == ["x"] and (target / "f").read_text() == "slow"


@pytest.mark.parametrize("step", [1, 2])
def test_killed_while_replacing(tmp_path: Path, step: int) -> None:
    """The older folder comes back if the new one had not yet its name, and goes if it had."""
    target = tmp_path / "x"
    publish(target, "old")
    count = (
        "n = [0]; real = os.replace;\n"
        f"def replace(a, b):\n    real(a, b); n[0] += 1\n    if n[0] == {step}: {KILL}\n"
        "os.replace = replace\n"
        "with atomic.new_folder(Path(sys.argv[1]), replace=True) as f: (f / 'f').write_text('new')"
    )
    die(count, target)
    assert target.exists() == (step == 2) and len(names(tmp_path)) == 2
    clear_leftovers(target)
    assert names(tmp_path) == ["x"]
    assert (target / "f").read_text() == ("old" if step == 1 else "new")


def test_only_our_names_are_removed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "f").write_text("keep")
    kept = [".x.1234.tmp", f".x.{ID}.bak", f".y.{ID}.tmp", f".xx.{ID}.tmp", f"x.{ID}.tmp", f".x.{ID}0.tmp"]
    for name in kept:
        (tmp_path / name).mkdir()
    (tmp_path / f".x.{ID}.tmp").symlink_to(elsewhere)
    (tmp_path / ".x.fedcba9876543210.tmp").mkdir()
    publish(tmp_path / "x", "new")
    assert names(tmp_path) == sorted([*kept, f".x.{ID}.tmp", "elsewhere", "x"])
    assert (elsewhere / "f").read_text() == "keep"


def test_somebody_elses_are_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f".x.{ID}.tmp").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    clear_leftovers(tmp_path / "x")
    assert names(tmp_path) == [f".x.{ID}.tmp"]


def test_without_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def unsupported(*_: object) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    (tmp_path / f".x.{ID}.tmp").mkdir()
    publish(tmp_path / "x", "new")
    assert names(tmp_path) == [f".x.{ID}.tmp", "x"]


def test_a_leftover_that_stays_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / f".x.{ID}.tmp").mkdir()
    monkeypatch.setattr(atomic.shutil, "rmtree", fail)
    with pytest.raises(InputOutputError, match=rf"\.x\.{ID}\.tmp.*cannot be removed: Permission denied"):
        publish(tmp_path / "x", "new")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_swept_before_it_was_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Between making a name and locking it another process may take it for a leftover: a new name is made."""
    lock, swept = atomic._lock, []

    def sweep_first(descriptor: int, *, if_unsupported: bool) -> bool:
        if not swept:
            swept.extend(names(tmp_path))
            clear_leftovers(tmp_path / "x")
            assert names(tmp_path) == []
        return lock(descriptor, if_unsupported=if_unsupported)

    monkeypatch.setattr(atomic, "_lock", sweep_first)
    if kind == "folder":
        publish(tmp_path / "x", "new")
    else:
        write_file(tmp_path / "x", b"new")
    assert names(tmp_path) == ["x"] and len(swept) == 1


def test_only_folders_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(UsageError, match="not a folder"):
            publish(tmp_path / name, "new", replace=True)
        with pytest.raises(UsageError, match="exists"):
            publish(tmp_path / name, "new")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_failing_replacement_keeps_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x"
    publish(target, "old")
    real = os.replace

    def fail_once(source: Path, to: Path) -> None:
        if source.suffix == ".tmp":
            raise OSError(5, "Input/output error")
        real(source, to)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(InputOutputError, match="Input/output error"):
        publish(target, "new", replace=True)
    assert names(tmp_path) == ["x"] and (target / "f").read_text() == "old"


def test_everything_is_durable_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync, replace = os.fsync, os.replace

    def record(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    def check(source: Path, to: Path) -> None:
        assert {path.stat().st_ino for path in (source, *source.rglob("*"))} <= set(synced)
        replace(source, to)

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(os, "replace", check)
    with new_folder(tmp_path / "x") as temporary:
        (temporary / "a" / "b").mkdir(parents=True)
        write_file(temporary / "a" / "b" / "f", b"data")
    assert synced[-1] == tmp_path.stat().st_ino
