"""The header of a GGUF file (versions 2 and 3): metadata values and the directory of tensors.

Parsed here because the `gguf` package builds a numpy view per string, which takes seconds for a large
vocabulary. Layout: magic, version, counts; per value a key, a type and the value; per tensor a name, its
dimensions (inner one first), a type and an offset; then data, aligned. Little-endian.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huref.common.errors import InputOutputError, Malformed, Unsupported
from huref.prover.checkpoint.formats.magic import refuse_pointer
from huref.prover.checkpoint.formats.partial import ready

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_NESTING = 4
_MAX_DIMENSIONS = 8
_DEFAULT_ALIGNMENT = 32
_AHEAD = 1 << 20
"""Bytes that are asked for beyond what is needed, where a file comes in parts."""


@dataclass(frozen=True)
class TensorInfo:
    """Directory entry: shape (outer dimension first), the format's type number, offset in the file."""

    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(frozen=True)
class GgufHeader:
    """Everything before the data."""

    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]
    file_size: int


def read_header(path: Path) -> GgufHeader:
    """Parse a GGUF header. Raises `Malformed`, `Unsupported` (version, byte order), `InputOutputError`."""
    try:
        with ready(path, 0, 32).open("rb") as file:
            head = file.read(32)
            refuse_pointer(path, head)
            if head[:4] != b"GGUF":
                raise Malformed(f"{path}: not a GGUF file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                return _Parser(view, path).parse(path)
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise Malformed(f"{path}: not a readable GGUF file, or truncated ({error})") from None


class _Parser:
    """A cursor over the file; running past its end raises `struct.error` or `IndexError`."""

    def __init__(self, view: mmap.mmap, path: Path) -> None:
        self.view, self.at = view, 4
        self.path, self.known = path, 4

    def _reach(self, end: int) -> None:
        """Make sure that the bytes before `end` are here."""
        if end > self.known:
            ready(self.path, self.known, min(end + _AHEAD, len(self.view)))
            self.known = end + _AHEAD

    def parse(self, path: Path) -> GgufHeader:
        version = self._scalar("I")
        if version not in (2, 3):
            raise Unsupported(f"{path}: GGUF version {version} or big-endian; versions 2 and 3 are read")
        tensor_count, value_count = self._scalar("Q"), self._scalar("Q")
        metadata: dict[str, Any] = {}
        for _ in range(value_count):
            key = self._string()
            metadata[key] = self._value(self._scalar("I"))
        infos: dict[str, TensorInfo] = {}
        for _ in range(tensor_count):
            name, dimensions = self._string(), self._scalar("I")
            if dimensions > _MAX_DIMENSIONS or name in infos:
                raise ValueError(f"directory entry of {name!r}")
            inner_first = [self._scalar("Q") for _ in range(dimensions)]
            kind, offset = self._scalar("I"), self._scalar("Q")
            infos[name] = TensorInfo(tuple(reversed(inner_first)), kind, offset)
        alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if type(alignment) is not int or alignment < 1:
            raise ValueError("general.alignment")
        base = -(-self.at // alignment) * alignment
        tensors = {name: TensorInfo(t.shape, t.kind, base + t.start) for name, t in infos.items()}
        return GgufHeader(metadata, tensors, len(self.view))

    def _scalar(self, code: str) -> Any:
        self._reach(self.at + 8)
        (value,) = struct.unpack_from("<" + code, self.view, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def _take(self, length: int) -> bytes:
        if length > len(self.view) - self.at:
            raise IndexError("past the end")
        self._reach(self.at + length)
        self.at += length
        return self.view[self.at - length : self.at]

    def _string(self) -> str:
        return self._strings(1)[0]

    def _strings(self, count: int) -> list[str]:
        """So many strings, of large vocabularies hundreds of thousands, some of which hold bytes that are no UTF-8."""
        found, view, length_at = list[str](), self.view, struct.Struct("<Q").unpack_from
        for _ in range(count):
            self._reach(self.at + 8)
            start = self.at + 8
            end = start + length_at(view, self.at)[0]
            if end > len(view):
                raise IndexError("past the end")
            self._reach(end)
            self.at = end
            found.append(view[start:end].decode("utf-8", errors="replace"))
        return found

    def _value(self, kind: int, nesting: int = 0) -> Any:
        if kind in _SCALARS:
            return self._scalar(_SCALARS[kind])
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY or nesting == _MAX_NESTING:
            raise ValueError(f"metadata type {kind}")
        inner, count = self._scalar("I"), self._scalar("Q")
        if inner in _SCALARS:
            dtype = np.dtype("<" + _SCALARS[inner])
            return np.frombuffer(self._take(count * dtype.itemsize), dtype).tolist()
        if count > len(self.view):
            raise IndexError("past the end")
        if inner == _STRING:
            return self._strings(count)
        return [self._value(inner, nesting + 1) for _ in range(count)]
