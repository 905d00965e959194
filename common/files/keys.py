"""Key files: a secret signing key for its owner's eyes, and the public key beside it for everybody's."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints

from huref.common.errors import InputOutputError, Malformed, UsageError
from huref.common.files import bls
from huref.common.files.atomic import write_file
from huref.common.files.canonical import parse_json
from huref.common.files.capped import read_capped

PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]
"""48 bytes as lower-case hex."""
PUBLIC_SUFFIX = ".pub"
_FORMAT = "huref-key/1"
_MAX_KEY_FILE = 4096


class SecretKey:
    """A signing key; its repr hides the value."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "SecretKey(…)"

    @classmethod
    def generate(cls) -> SecretKey:
        """A fresh key from the operating system's generator."""
        return cls(bls.generate_secret(os.urandom(32)))

    @property
    def public_key(self) -> str:
        """The public key, hex."""
        return bls.public_key(self._value).hex()

    def sign(self, tag: bytes, digest: bytes) -> str:
        """Signature of `digest` in the role `tag`, hex."""
        return bls.sign(self._value, tag + digest).hex()

    def save(self, path: Path) -> Path:
        """Write the key to a new file that only its owner may read (0600), and PATH.pub with the public key.

        Returns the public file. Raises UsageError if either exists.
        """
        public = path.with_name(path.name + PUBLIC_SUFFIX)
        for file in (path, public):
            if os.path.lexists(file):
                raise UsageError(f"{file} exists already", hint="keys are never overwritten")
        content = {"format": _FORMAT, "public_key": self.public_key, "secret_key": f"{self._value:064x}"}
        write_file(path, (json.dumps(content) + "\n").encode(), mode=0o600)
        write_file(public, (self.public_key + "\n").encode())
        return public

    @classmethod
    def load(cls, path: Path) -> SecretKey:
        """Read a key file.

        Raises:
            InputOutputError: it cannot be read.
            UsageError: others may read it.
            Malformed: it is not a key file.
        """
        data, mode = _read(path)
        if _hex(data.decode("ascii", "replace")):
            raise Malformed(
                f"{path}: not a huref key file but a public key, which signs nothing",
                hint="give the key file that huref keygen made with it",
            )
        if os.name == "posix" and mode & 0o077:
            raise UsageError(f"{path} is readable by others", hint=f"chmod 600 {path}")
        content = _key_file(data) or {}
        secret = content.get("secret_key")
        if isinstance(secret, str) and re.fullmatch("[0-9a-f]{64}", secret):
            value = int(secret, 16)
            if 0 < value < bls.GROUP_ORDER and cls(value).public_key == content.get("public_key"):
                return cls(value)
        raise Malformed(f"{path}: not a huref key file")


def read_public_key(key: str | Path) -> str:
    """A public key in lower-case hex, from itself (any case, 0x allowed) or from a .pub or key file.

    Of a key file only the public part is used. Whether the key is a point of the curve is seen when a signature
    is checked with it.

    Raises:
        UsageError: neither a key nor a file. InputOutputError: the file cannot be read.
        Malformed: the file holds no public key.
    """
    if isinstance(key, str) and (found := _hex(key)):
        return found
    path = Path(key)
    if not _exists(path):
        shown = str(key) if len(str(key)) <= 40 else f"{str(key)[:37]}..."
        raise UsageError(
            f"{shown!r} is neither a public key nor a file", hint="a public key has 96 hex digits"
        )
    data, _ = _read(path)
    content = _key_file(data)
    text = data.decode("ascii", "replace") if content is None else str(content.get("public_key"))
    found = _hex(text)
    if found is None:
        raise Malformed(
            f"{path}: holds no public key", hint="one line of 96 hex digits, as huref keygen writes"
        )
    return found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a name
        return False


def _hex(text: str) -> str | None:
    """96 hex digits in lower case; None for anything else."""
    digits = re.fullmatch("(?:0[xX])?([0-9a-fA-F]{96})", text.strip())
    return digits[1].lower() if digits else None


def _read(path: Path) -> tuple[bytes, int]:
    """The content of a small regular file, and its mode."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    if stat.S_ISDIR(mode):
        raise InputOutputError(f"{path}: a folder")
    return read_capped(path, _MAX_KEY_FILE), mode


def _key_file(data: bytes) -> dict[str, object] | None:
    """The fields of a key file; None if it is none."""
    try:
        content = parse_json(data, "key file")
    except Malformed:
        return None
    return content if content.get("format") == _FORMAT else None
