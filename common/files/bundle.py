"""A bundle: one folder with a proof, its public statement and the picture (docs/bundle.md).

`read_bundle` checks form only: which files there are, their sizes before they are read, hashes, and canonical
encodings. What the files say is for `huref.verifier.verify`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from huref.common.errors import InputOutputError, Malformed, Rejected
from huref.common.files.flags import BINARY, CLOEXEC, NOFOLLOW, NONBLOCK
from huref.common.files.strict import Hex32, StrictModel

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
COSIGNATURES = "audit.sig"
PROOF = "proof.bin"
COMMITMENT = "commitment.json"
FINGERPRINT = "fingerprint.json"
PICTURE = "fingerprint.png"

CAPS: dict[str, int] = {
    MANIFEST: 8 << 20,
    PROOF: 64 << 20,
    COMMITMENT: 4 << 20,
    FINGERPRINT: 8 << 20,
    PICTURE: 16 << 20,
    SIGNATURE: 4 << 10,
    COSIGNATURES: 64 << 10,
}
"""Every file that a bundle may hold, with the most bytes that are ever read of it."""
LISTED = (PROOF, COMMITMENT, FINGERPRINT, PICTURE)
"""Files whose hashes the manifest gives; all must be there."""


class FileEntry(StrictModel):
    """Size in bytes and SHA-256 of one file."""

    size: Annotated[int, Field(ge=0)]
    sha256: Hex32

    @classmethod
    def of(cls, data: bytes) -> FileEntry:
        """The entry of a file's content."""
        return cls(size=len(data), sha256=hashlib.sha256(data).hexdigest())


class SecuritySummary(StrictModel):
    """The level that the proof was made for, and the provable bits with the round that sets them."""

    level: int
    bits: float
    binding: Annotated[str, Field(max_length=64)]


class Manifest(StrictModel):
    """manifest.json. `statement` is the canonical form of `huref.circuits.statement.Statement`."""

    format: Literal["huref-bundle/1"] = "huref-bundle/1"
    statement: dict[str, Any]
    security: SecuritySummary
    files: dict[str, FileEntry]


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory: well-formed, nothing verified. `files` holds every file that is there."""

    path: Path
    manifest: Manifest
    files: Mapping[str, bytes]

    @property
    def digest(self) -> bytes:
        """SHA-256 of manifest.json, which covers all other files; signatures are over it."""
        return hashlib.sha256(self.files[MANIFEST]).digest()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(len(data) for data in self.files.values())


def read_bundle(path: str | Path) -> Bundle:
    """Read a bundle folder.

    Raises:
        InputOutputError: it cannot be read.
        Malformed: other files than a bundle's, a file too large, not canonical, or with unknown fields.
        Rejected: a file's size or hash is not the manifest's.
    """
    folder = Path(path)
    names = _list(folder)
    missing = sorted({MANIFEST, *LISTED} - names)
    if missing:
        raise Malformed(f"{folder}: not a bundle, {missing[0]} is missing")
    unknown = sorted(names - set(CAPS))
    if unknown:
        raise Malformed(f"{folder}: {unknown[0]!r} does not belong in a bundle")
    return parse_bundle(folder, {name: _read(folder / name, CAPS[name]) for name in sorted(names)})


def parse_bundle(path: Path, files: Mapping[str, bytes]) -> Bundle:
    """A bundle from its files' contents; `path` is only what it is called.

    Raises:
        Malformed: the manifest is not canonical or has unknown fields.
        Rejected: a file's size or hash is not the manifest's.
    """
    manifest = Manifest.decode(files[MANIFEST], MANIFEST)
    if set(manifest.files) != set(LISTED):
        raise Malformed(f"{MANIFEST}: files: expected exactly {', '.join(LISTED)}")
    for name, entry in manifest.files.items():
        found = FileEntry.of(files[name])
        if found.size != entry.size:
            raise Rejected(f"files.{name}.size", "another size", expected=entry.size, got=found.size)
        if found.sha256 != entry.sha256:
            raise Rejected(f"files.{name}.sha256", "another hash", expected=entry.sha256, got=found.sha256)
    return Bundle(path, manifest, files)


def _list(folder: Path) -> set[str]:
    """Names in the folder; never more than needed to see that it is no bundle."""
    names: set[str] = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                names.add(entry.name)
                if len(names) > len(CAPS):
                    break
    except NotADirectoryError:
        raise Malformed(f"{folder}: a bundle is a folder, this is a file") from None
    except (OSError, ValueError) as error:
        raise InputOutputError(f"{folder}: {getattr(error, 'strerror', None) or error}") from None
    return names


def _read(path: Path, cap: int) -> bytes:
    """A regular file of at most `cap` bytes; links, pipes and devices are refused before reading."""
    try:
        descriptor = os.open(path, os.O_RDONLY | CLOEXEC | NOFOLLOW | NONBLOCK | BINARY)
    except OSError as error:
        if path.is_symlink():
            raise Malformed(f"{path}: a link does not belong in a bundle") from None
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise Malformed(f"{path}: not a regular file")
        if state.st_size > cap:
            raise Malformed(f"{path}: {state.st_size} bytes, at most {cap} are allowed")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(cap + 1)
    finally:
        os.close(descriptor)
    if len(data) > cap:
        raise Malformed(f"{path}: more than {cap} bytes")
    return data
