"""Key files, and reading public keys in every form in which people have them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from huref.common.errors import InputOutputError, Malformed, UsageError
from huref.common.files.bls import GROUP_ORDER
from huref.common.files.keys import SecretKey, read_public_key

KEY = SecretKey(1234567)
PUBLIC = KEY.public_key


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "auditor.key"
    key = SecretKey.generate()
    public = key.save(path)
    assert public == tmp_path / "auditor.key.pub" and public.read_text() == key.public_key + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SecretKey.load(path).public_key == key.public_key
    assert key.public_key not in repr(key) and "…" in repr(key)
    secret = json.loads(path.read_bytes())["secret_key"]
    assert secret not in repr(key) and secret not in public.read_text()
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(UsageError, match="readable by others"):
            SecretKey.load(path)


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    KEY.save(path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        SecretKey(7).save(path)
    path.unlink()
    with pytest.raises(UsageError, match=r"key\.pub exists already"):
        SecretKey(7).save(path)
    assert not path.exists()
    path.write_bytes(before)
    (tmp_path / "key.pub").unlink()
    with pytest.raises(UsageError, match="exists already"):
        SecretKey(7).save(path)
    assert path.read_bytes() == before and not (tmp_path / "key.pub").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 4000,
        b'{"format":"huref-key/1","secret_key":"00","public_key":"00"}',
        b'{"format":"huref-key/1","secret_key":7,"public_key":"00"}',
        json.dumps({"format": "huref-key/1", "secret_key": f"{7:064x}", "public_key": PUBLIC}).encode(),
        json.dumps({"format": "huref-key/2", "secret_key": f"{1234567:064x}", "public_key": PUBLIC}).encode(),
        *(
            json.dumps({"format": "huref-key/1", "secret_key": secret, "public_key": PUBLIC}).encode()
            for secret in (
                "f" * 64,
                "0" * 64,
                f"{GROUP_ORDER:064x}",
                f"{1234567:x}",
                f"0x{1234567:062x}",
                f"{1234567:064X}",
                f" {1234567:063x}",
                f"{GROUP_ORDER + 1234567:064x}",
            )  # one key has one spelling
        ),
        PUBLIC.encode(),
    ],
)
def test_other_files_are_no_secret_keys(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Malformed, match="not a huref key file"):
        SecretKey.load(path)
    with pytest.raises(InputOutputError):
        SecretKey.load(tmp_path / "absent")


def test_nobody_is_told_to_hide_a_public_key(tmp_path: Path) -> None:
    public = KEY.save(tmp_path / "key")
    with pytest.raises(Malformed, match="a public key, which signs nothing"):
        SecretKey.load(public)


def test_public_keys_in_every_form(tmp_path: Path) -> None:
    path = tmp_path / "key"
    public = KEY.save(path)
    windows = tmp_path / "windows.pub"
    windows.write_bytes(f"0x{PUBLIC.upper()}\r\n".encode())
    for form in (PUBLIC, PUBLIC.upper(), "0x" + PUBLIC, "0X" + PUBLIC.upper(), f" {PUBLIC}\n"):
        assert read_public_key(form) == PUBLIC
    for file in (public, str(public), path, str(path), windows):
        assert read_public_key(file) == PUBLIC


def test_what_is_no_public_key(tmp_path: Path) -> None:
    for text in (
        "",
        PUBLIC[:-1],
        PUBLIC + "0",
        "g" + PUBLIC[1:],
        "x" * 5000,
        "a\0b",
        str(tmp_path / "absent"),
    ):
        if text:  # the empty path is the current folder
            with pytest.raises(UsageError, match="neither a public key nor a file"):
                read_public_key(text)
    for content in (b"", b"\xff\xfe", b"{}", b"[" * 4000, b'{"format":"huref-key/1"}', PUBLIC.encode() * 2):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(Malformed, match="holds no public key"):
            read_public_key(tmp_path / "file")
    (tmp_path / "file").write_bytes(PUBLIC.encode() + b" " * 5000)
    with pytest.raises(Malformed, match="at most 4096"):
        read_public_key(tmp_path / "file")
    with pytest.raises(InputOutputError):
        read_public_key(tmp_path)
    with pytest.raises(InputOutputError):
        read_public_key("")


def test_no_pipe_or_device_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(Malformed, match="not a regular file"):
            read_public_key(path)
    with pytest.raises(Malformed, match="not a regular file"):
        SecretKey.load(tmp_path / "pipe")
