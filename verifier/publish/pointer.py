"""A pointer from a safetensors file to a bundle: entries of the `__metadata__` in the file's header.

A safetensors file is the header's length (8 bytes, little-endian), the header (JSON, padded with spaces) and the
tensors, whose places count from the header's end; so a longer header moves them without changing one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from huref.common.errors import InputOutputError, Malformed, Rejected
from huref.common.files.atomic import write_file
from huref.common.files.canonical import parse_json
from huref.verifier.verdict import Verdict

MAX_HEADER = 100_000_000
"""Bytes of a header that the format's own library reads."""
_METADATA = "__metadata__"
_ALIGN, _PART = 8, 1 << 22


def pointer(verdict: Verdict, bundle: str) -> dict[str, str]:
    """What the metadata says: the model id, the fingerprint, and under which name or address its bundle is."""
    return {
        "huref_model_id": verdict.model_id,
        "huref_fingerprint": verdict.fingerprint,
        "huref_words": verdict.words,
        "huref_bundle": bundle,
        "huref_bundle_digest": verdict.digest,
    }


def stamp(source: Path, target: Path, verdict: Verdict, bundle: str) -> None:
    """Write `target`, the file `source` with a pointer to the bundle; its tensors stay as they are, to the byte.

    Raises:
        Rejected: the owner did not name this file in the commitment. Malformed: it is no safetensors file.
        InputOutputError: it cannot be read, or `target` not be written.
    """
    try:
        with source.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            named = sorted({one.sha256 for one in verdict.commitment.sources})
            if found not in named:
                raise Rejected(
                    "sources", "no file that the owner committed to", expected=", ".join(named), got=found
                )
            file.seek(0)
            header = _header(file, str(source))
            header[_METADATA] = {**header.get(_METADATA, {}), **pointer(verdict, bundle)}
            write_file(target, _parts(header, file, source))
    except OSError as error:
        raise InputOutputError(f"{source}: {error.strerror or error}") from None


def _header(file: BinaryIO, name: str) -> dict[str, Any]:
    length = int.from_bytes(file.read(8), "little")
    data = file.read(length) if length <= MAX_HEADER else b""
    if len(data) != length or not length:
        raise Malformed(f"{name}: not a safetensors file")
    header = parse_json(data, f"{name}: not a safetensors file")
    metadata = header.get(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise Malformed(f"{name}: not a safetensors file")
    return header


def _parts(header: dict[str, Any], file: BinaryIO, source: Path) -> Iterator[bytes]:
    """The new file; `file` stands behind the old header."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGN)
    yield len(text).to_bytes(8, "little") + text
    while True:
        try:
            part = file.read(_PART)
        except OSError as error:
            raise InputOutputError(f"{source}: {error.strerror or error}") from None
        if not part:
            return
        yield part
