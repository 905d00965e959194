"""A bundle: one folder with a proof, its public statement and the picture (docs/bundle.md).

`read_bundle` checks form only: which files there are, their sizes before they are read, hashes, and canonical
encodings. What the files say is for `huref.verifier.verify`. The folder may come as a zip of itself, from a path or
an https address, and may hold foreign files: they are ignored, and named in `Bundle.ignored`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from huref.common.errors import Damaged, InputOutputError, Malformed, Rejected
from huref.common.files.address import is_address, is_checkpoint_address
from huref.common.files.archive import MAGIC, read_archive, write_archive
from huref.common.files.capped import capped_names, read_capped
from huref.common.files.strict import Hex32, Identifier, StrictModel

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
COSIGNATURES = "audit.sig"
PROOF = "proof.bin"
RANGE = "range.proof"
INFERENCE = "inference.json"
INFERENCE_PROOF = "inference.proof"
COMMITMENT = "commitment.json"
FINGERPRINT = "fingerprint.json"
PICTURE = "fingerprint.png"

_MADE = "the bundle is the folder NAME.huref that huref prove makes"
CAPS: dict[str, int] = {
    MANIFEST: 8 << 20,
    PROOF: 64 << 20,
    RANGE: 64 << 20,
    INFERENCE: 2 << 20,
    INFERENCE_PROOF: 64 << 20,
    COMMITMENT: 4 << 20,
    FINGERPRINT: 8 << 20,
    PICTURE: 16 << 20,
    SIGNATURE: 4 << 10,
    COSIGNATURES: 64 << 10,
}
"""Every file that a bundle may hold, with the most bytes that are ever read of it."""
LISTED = (PROOF, COMMITMENT, FINGERPRINT, PICTURE)
"""Files whose hashes the manifest gives; all must be there."""
OPTIONAL = (RANGE, INFERENCE, INFERENCE_PROOF)
"""Files that it gives as well where they are there: the range proof that a commitment needs, a proof of inference."""
MAX_ARCHIVE = sum(CAPS.values()) + (1 << 20)
"""Most bytes of a zip; the files in it are capped one by one."""


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
    binding: Identifier


class Manifest(StrictModel):
    """manifest.json. `statement` is the canonical form of `huref.circuits.statement.Statement`."""

    format: Literal["huref-bundle/1"] = "huref-bundle/1"
    statement: dict[str, Any]
    security: SecuritySummary
    files: dict[str, FileEntry]


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory: well-formed, nothing verified. `files` holds every file of a bundle that is there.

    `path` is where it was read from, an address too; `ignored` names foreign files that lay beside it, not all
    of them where there are many.
    """

    path: Path
    manifest: Manifest
    files: Mapping[str, bytes]
    ignored: tuple[str, ...] = ()

    @property
    def digest(self) -> bytes:
        """SHA-256 of manifest.json, which covers all other files; signatures are over it.

        The one name of a bundle, whether it lies in a folder or a zip, and whoever signs it later.
        """
        return hashlib.sha256(self.files[MANIFEST]).digest()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(len(data) for data in self.files.values())


def pack_bundle(bundle: Bundle) -> bytes:
    """The one zip of a bundle's files: stored, in the order of `CAPS`, without foreign files."""
    return write_archive({name: bundle.files[name] for name in CAPS if name in bundle.files})


def is_bundle(path: str | Path) -> bool:
    """Whether this names a bundle, whole or damaged: an address, a zip, or a folder with a file that only it has."""
    if is_address(str(path)):
        return not is_checkpoint_address(str(path))
    folder = Path(path)
    if os.path.isdir(folder):
        return any(os.path.lexists(folder / name) for name in (MANIFEST, PROOF))
    try:
        if not os.path.isfile(folder):
            return False  # nothing else is opened: a pipe would wait
        with folder.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_bundle(path: str | Path) -> Bundle:
    """Read a bundle: a folder, a zip of one, or the https address of a zip.

    Raises:
        InputOutputError: it cannot be read. UsageError: an address of another kind.
        Malformed: a file is too large, not regular, not canonical, or has unknown fields.
        Damaged: a file is missing or shorter than the manifest says.
        Rejected: a file's size or hash is not the manifest's.
    """
    if is_address(str(path)):
        from huref.common.files.download import download

        files, ignored = read_archive(download(str(path), MAX_ARCHIVE), str(path), CAPS, MANIFEST)
    elif os.path.isdir(path):
        files, ignored = _read_folder(Path(path))
    else:
        data = read_capped(Path(path), MAX_ARCHIVE)
        if not data.startswith(MAGIC):
            raise Malformed(f"{path}: a bundle is a folder or a zip of one, this is another file", hint=_MADE)
        files, ignored = read_archive(data, str(path), CAPS, MANIFEST)
    return parse_bundle(Path(path), files, ignored)


def parse_bundle(path: Path, files: Mapping[str, bytes], ignored: tuple[str, ...] = ()) -> Bundle:
    """A bundle from its files' contents; `path` is only what it is called.

    Raises:
        Malformed: the manifest is not canonical or has unknown fields.
        Damaged: a file is missing or shorter than the manifest says.
        Rejected: a file's size or hash is not the manifest's.
    """
    missing = [name for name in (MANIFEST, *LISTED) if name not in files]
    if not files:
        raise Malformed(f"{path}: not a bundle, {MANIFEST} is missing")
    if set(files) <= {COMMITMENT, RANGE}:
        raise Damaged(
            f"{path}: a commitment, or little of a bundle: {MANIFEST} is missing",
            hint=f"{_MADE}; if this was one, download it again",
        )
    if missing:
        raise Damaged(f"{path}: damaged, {missing[0]} is missing", hint="download the bundle again")
    manifest = Manifest.decode(files[MANIFEST], MANIFEST)
    if set(manifest.files) - set(OPTIONAL) != set(LISTED):
        raise Malformed(
            f"{MANIFEST}: files: expected exactly {', '.join(LISTED)}, and {', '.join(OPTIONAL)} where they are"
        )
    if (INFERENCE in manifest.files) != (INFERENCE_PROOF in manifest.files):
        raise Malformed(f"{MANIFEST}: files: {INFERENCE} and {INFERENCE_PROOF} go together")
    for name in OPTIONAL:
        if (name in manifest.files) != (name in files):
            raise Damaged(
                f"{path}: damaged, {name} is missing or not in {MANIFEST}", hint="download the bundle again"
            )
    for name, entry in manifest.files.items():
        found = FileEntry.of(files[name])
        if found.size < entry.size:
            raise Damaged(
                f"{path}: damaged, {name} has {found.size} of {entry.size} bytes",
                hint="download the bundle again",
            )
        if found.size != entry.size:
            raise Rejected(f"files.{name}.size", "another size", expected=entry.size, got=found.size)
        if found.sha256 != entry.sha256:
            raise Rejected(f"files.{name}.sha256", "another hash", expected=entry.sha256, got=found.sha256)
    return Bundle(path, manifest, files, ignored)


def _read_folder(folder: Path) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The bundle's files that are there, and the names of the others."""
    try:
        with os.scandir(folder) as entries:
            ignored = capped_names(entry.name for entry in entries if entry.name not in CAPS)
    except OSError as error:
        raise InputOutputError(f"{folder}: {error.strerror or error}") from None
    files = {
        name: read_capped(folder / name, cap) for name, cap in CAPS.items() if os.path.lexists(folder / name)
    }
    return files, ignored
