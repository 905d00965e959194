"""One safetensors file: an 8-byte little-endian header length, a JSON header, then raw tensor data.

Parsed here rather than with the `safetensors` package because its numpy interface has no bfloat16 and no
row reads. The data is memory-mapped, so a file of any size costs only what is touched.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import InputOutputError, Malformed, Unsupported
from huref.prover.checkpoint.formats.dtypes import FLOATS, INTEGERS, item_size
from huref.prover.checkpoint.formats.magic import format_of, refuse_pointer
from huref.prover.checkpoint.formats.partial import ready, ready_rows
from huref.prover.kernels.integers.reading import Stored, widen

MAX_HEADER = 100_000_000  # the format's own limit
_NAMED = {
    "gguf": "give the file's own path, or the name that it should have",
    "pickle": "pickled checkpoints can run code and are never opened",
}


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies: dtype name, shape, and byte range in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class SafetensorsFile:
    """A checked header over a memory map. Raises `Malformed` for anything that is not valid safetensors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = _read_header(path)
        self._map: NDArray[np.uint8] | None = None

    def load(self, name: str, rows: NDArray[np.int64] | None) -> Stored:
        """Tensor `name` (or its rows), where possible a view of the file.

        The caller has checked that it exists and the rows fit.
        """
        entry = self.entries[name]
        if entry.dtype not in FLOATS:
            raise Unsupported(
                f"{self.path}: tensor {name} has dtype {entry.dtype}, not a float dtype",
                hint="load it with transformers, dequantized, and save it in bfloat16",
            )
        storage, decode = FLOATS[entry.dtype]
        if entry.start == entry.stop:
            return np.zeros(entry.shape, np.float32)
        raw = self._stored(entry, storage, rows)
        return decode(np.asarray(raw if rows is None else raw[rows]))

    def part(self, name: str) -> NDArray[Any]:
        """A part of a quantized weight: floats as float32, integers as they are. Raises `Unsupported` (dtype)."""
        entry = self.entries[name]
        if entry.dtype in INTEGERS:
            return np.asarray(self._stored(entry, INTEGERS[entry.dtype]))
        return widen(self.load(name, None))[0]

    @property
    def pages(self) -> NDArray[np.uint8] | None:
        """The map of the file, if anything was read from it."""
        return self._map

    def _stored(
        self, entry: TensorEntry, storage: np.dtype[Any], rows: NDArray[np.int64] | None = None
    ) -> NDArray[Any]:
        """A view of the file, good at the given rows, or everywhere."""
        if rows is None:
            place = ready(self.path, entry.start, entry.stop)
        else:
            place = ready_rows(self.path, entry.start, (entry.stop - entry.start) // entry.shape[0], rows)
        if self._map is None:
            self._map = np.memmap(place, dtype=np.uint8, mode="r")
        return self._map[entry.start : entry.stop].view(storage).reshape(entry.shape)


def _read_header(path: Path) -> dict[str, TensorEntry]:
    try:
        place = ready(path, 0, 32)
        size = place.stat().st_size
        with place.open("rb") as file:
            prefix = file.read(32)
            refuse_pointer(path, prefix)
            kind = format_of(prefix)
            if kind not in (None, "safetensors"):
                raise Malformed(f"{path}: called safetensors, but it is a {kind} file", hint=_NAMED[kind])
            prefix = prefix[:8]
            file.seek(8)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or length > MAX_HEADER or 8 + length > size:
                raise Malformed(f"{path}: not a safetensors file, or truncated")
            ready(path, 8, 8 + length)
            blob = file.read(length)
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    try:
        header = json.loads(blob, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise Malformed(f"{path}: not a safetensors file, its header is not JSON") from None
    if not isinstance(header, dict):
        raise Malformed(f"{path}: the safetensors header is not an object")
    header.pop("__metadata__", None)
    entries = {name: _entry(path, name, value, 8 + length) for name, value in header.items()}
    position = 8 + length
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != position:
            raise Malformed(f"{path}: tensor {name} leaves a hole or overlaps another")
        position = entry.stop
    if position != size:
        raise Malformed(f"{path}: truncated or padded: {size} bytes where the header describes {position}")
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("duplicate key")
    return dict(pairs)


def _entry(path: Path, name: str, value: Any, base: int) -> TensorEntry:
    try:
        dtype, shape = value["dtype"], tuple(value["shape"])
        begin, end = value["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise Malformed(f"{path}: the header entry of tensor {name} is malformed") from None
    numbers = (*shape, begin, end)
    if not isinstance(dtype, str) or any(type(n) is not int or n < 0 for n in numbers):
        raise Malformed(f"{path}: the header entry of tensor {name} is malformed")
    width = item_size(dtype)
    if width is None:
        raise Unsupported(f"{path}: tensor {name} has dtype {dtype}, which this build cannot read")
    if end - begin != math.prod(shape) * width:
        raise Malformed(f"{path}: tensor {name} has {end - begin} bytes, its shape needs another number")
    return TensorEntry(dtype, shape, base + begin, base + end)
