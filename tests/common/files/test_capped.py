"""The reader of files that somebody else made: exactly as many bytes as are allowed, whatever the file says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from huref.common.errors import Damaged, HurefError, InputOutputError, Malformed
from huref.common.files.capped import MAX_NAME, MAX_NAMES, capped_names, read_capped


def test_up_to_the_cap_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_capped(tmp_path / "file", 100) == b"x" * 100
    with pytest.raises(Malformed, match="100 bytes, at most 99 are allowed"):
        read_capped(tmp_path / "file", 99)


def test_a_file_that_grows_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size when it was opened is not believed; one byte more than allowed is read of it."""
    (tmp_path / "file").write_bytes(b"x" * 100)
    real = os.fstat

    def small(descriptor: int) -> os.stat_result:
        fields = list(real(descriptor))
        fields[6] = 0
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", small)
    assert len(read_capped(tmp_path / "file", 100)) == 100
    with pytest.raises(Malformed, match="more than 99 bytes"):
        read_capped(tmp_path / "file", 99)


def test_what_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some open no folders; and a file that was opened may still not be read."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    def failure(path: Path, call: str) -> HurefError | None:
        with monkeypatch.context() as patch:
            patch.setattr(os, call, refuse)
            try:
                read_capped(path, 9)
            except HurefError as error:
                return error
        return None

    (tmp_path / "file").write_bytes(b"x")
    folder = failure(tmp_path, "open")
    assert isinstance(folder, Malformed) and folder.message.endswith(": not a regular file")
    for call in ("open", "fstat"):
        file = failure(tmp_path / "file", call)
        assert isinstance(file, InputOutputError) and file.message.endswith("file: Permission denied")


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe would be waited for, a device would never end, and a pointer is not what it stands for."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    (tmp_path / "pointer").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    for name, kind, message in (
        ("absent", InputOutputError, "no such file"),
        ("a\0b", InputOutputError, "null"),
        ("link", Damaged, "a link to a file that is not there"),
        ("pipe", Malformed, "not a regular file"),
        ("pointer", Damaged, "a Git LFS pointer"),
    ):
        with pytest.raises(kind, match=message) as caught:
            read_capped(tmp_path / name, 99)
        assert type(caught.value) is kind


def test_names_of_foreign_files_are_few_and_short() -> None:
    taken: list[int] = []

    def names() -> Iterator[str]:
        for number in range(10 * MAX_NAMES):
            taken.append(number)
            yield f"{number:06d}" + "x" * MAX_NAME

    found = capped_names(names())
    assert len(found) == len(taken) == MAX_NAMES and all(len(name) == MAX_NAME for name in found)
