"""What a file is, by its first bytes: suffixes are missing in hub caches and wrong in many downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from huref.common.errors import InputOutputError, Malformed
from huref.prover.checkpoint.formats.partial import ready

Format = Literal["safetensors", "gguf", "pickle"]

_POINTER = b"version https://git-lfs"
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"  # torch.save writes a zip or, before 1.6, a bare pickle
_HEAD = 16
_FIRST = max(_HEAD, len(_POINTER))


def sniff(path: Path) -> Format | None:
    """The format that the first bytes announce, None where they announce none known here.

    Raises `Malformed` (a Git LFS pointer), `InputOutputError` (unreadable).
    """
    try:
        with ready(path, 0, _FIRST).open("rb") as file:
            head = file.read(_FIRST)
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    refuse_pointer(path, head)
    return format_of(head)


def format_of(head: bytes) -> Format | None:
    """The format that a file's first bytes announce."""
    if head.startswith(b"GGUF"):
        return "gguf"
    if len(head) > 8 and head[8:9] == b"{" and head[5:8] == b"\0\0\0":
        return "safetensors"
    if head.startswith(_ZIP) or (head.startswith(_PICKLE) and len(head) > 1 and head[1] <= 5):
        return "pickle"
    return None


def refuse_pointer(path: Path, head: bytes) -> None:
    """Raises `Malformed` if the file's first bytes are those of a Git LFS pointer."""
    if head.startswith(_POINTER):
        raise Malformed(
            f"{path}: a Git LFS pointer, not the file itself", hint="run: git lfs pull (in the cloned folder)"
        )
