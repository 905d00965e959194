"""Systems that lack flags of `os.open`, locks and the opening of folders, as Windows does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from huref.common.errors import Unsupported
from huref.common.files import atomic, flags
from huref.common.files.atomic import new_folder, write_file
from tests import ROOT
from tests.conftest import Made

_LACKING = """
import os, sys
for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY"):
    delattr(os, name)
del os.geteuid
sys.modules["fcntl"] = None
from huref.common.cli import main
main()
"""


def test_the_base_commands_need_no_flags_and_no_locks(tiny: Made, other: Made, tmp_path: Path) -> None:
    commands: list[tuple[object, ...]] = [
        ("verify", tiny.bundle, "--require-image", "--json"),
        ("keygen", "--out", "a.key", "--json"),
        ("inspect", tiny.bundle, "--html", "page.html"),
        ("compare", tiny.bundle, other.bundle, "--picture", "both.png", "--json"),
    ]
    done = [
        subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{_LACKING}", *map(str, command)],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )
        for command in commands
    ]  # fmt: skip
    assert [one.returncode for one in done] == [0, 0, 0, 0], [one.stderr for one in done]
    assert json.loads(done[0].stdout)["fingerprint"] == tiny.proved.verdict.fingerprint
    assert (
        json.loads((tmp_path / "a.key").read_text())["public_key"] == json.loads(done[1].stdout)["public_key"]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.key", "a.key.pub", "both.png", "page.html"]


def test_no_open_file_is_renamed_without_locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Windows refuses it. The link /proc/self/fd/N of every open file says what it is called."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc")
    replace = os.replace

    def strict(source: Path, target: Path) -> None:
        links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        assert str(source) not in {os.readlink(link) for link in links if os.path.islink(link)}
        replace(source, target)

    monkeypatch.setattr(atomic, "fcntl", None)
    monkeypatch.setattr(atomic, "DIRECTORY", 0)
    monkeypatch.setattr(os, "replace", strict)
    for content in (b"a\nb\r\n", b"other"):
        write_file(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]


def test_folders_are_refused_where_they_cannot_be_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(atomic, "DIRECTORY", 0)
    with pytest.raises(Unsupported), new_folder(tmp_path / "a"):
        raise AssertionError("never entered")
    assert not os.listdir(tmp_path)


def test_flags_are_those_of_the_system() -> None:
    for name in ("CLOEXEC", "NOFOLLOW", "NONBLOCK", "DIRECTORY", "BINARY"):
        assert getattr(flags, name) == getattr(os, f"O_{name}", 0)
