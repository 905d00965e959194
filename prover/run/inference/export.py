"""The committed integers as an ordinary checkpoint, so that what is served is what is committed.

Which class that is, and what is exact, says `served`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.model.tensors import BIAS, STEP, kind_of
from huref.circuits.program.rotation import MIX, hadamard, public_signs, windows
from huref.common.errors import Unsupported
from huref.prover.kernels.mapped import release
from huref.prover.run.inference.served import TRANSPOSED, Scaled, Stored, served
from huref.prover.run.inference.settings import Settings
from huref.prover.run.inference.weights import real_bias, real_sum

_ROWS = 4096
"""Rows of a matrix that are held as floats at a time."""
SHARD_BYTES = 5 * 10**9

Weights = Mapping[str, NDArray[np.int8]]
Floats = NDArray[np.float32]


def write_checkpoint(
    weights: Weights,
    shape: ModelShape,
    settings: Settings,
    folder: Path,
    more: Mapping[str, Any] | None = None,
    *,
    scaled: Scaled | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Write config.json and safetensors files of at most `shard_bytes` (or one tensor) into an empty `folder`.

    `more` and `scaled` are those of `served`. A block of rows is held at a time, or one transposed matrix.

    Raises:
        Unsupported: a shape that no class has. OSError: something cannot be written.
    """
    checkpoint = served(shape, settings, more or {}, scaled)
    text = json.dumps(checkpoint.config, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    shards = _shards(checkpoint.tensors, shard_bytes)
    names = [f"model-{n + 1:05}-of-{len(shards):05}.safetensors" for n in range(len(shards))]
    if len(shards) == 1:
        names = ["model.safetensors"]
    else:
        total = sum(tensor.bytes for shard in shards for tensor in shard)
        where = {tensor.name: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
        index = {"metadata": {"total_size": total}, "weight_map": where}
        text = json.dumps(index, indent=2) + "\n"
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    for name, shard in zip(names, shards, strict=True):
        with (folder / name).open("wb") as file:
            file.write(_header(shard))
            for tensor in shard:
                if progress is not None:
                    progress(tensor.name)
                _write_tensor(file, weights, tensor)


def _write_tensor(file: BinaryIO, weights: Weights, tensor: Stored) -> None:
    if len(tensor.size) == 1:
        _write(file, _vector(weights, tensor).astype(np.float32), tensor)
        return
    values, steps = weights[tensor.source], weights[tensor.source + STEP].reshape(-1).astype(np.int32)
    if tensor.unit:
        steps = steps + _finer(weights, tensor.unit)
    transposed = kind_of(tensor.source) in TRANSPOSED
    if tensor.turned:
        rows = np.concatenate(list(_turned(values, steps, tensor))) if transposed else None
        for block in _turned(values, steps, tensor) if rows is None else (np.ascontiguousarray(rows.T),):
            _write(file, block, tensor)
        release(values)
        return
    stored = np.ascontiguousarray(values.T) if transposed else values
    for start in range(0, len(stored), _ROWS):
        rows_of = slice(start, start + _ROWS)
        _write(
            file,
            np.ldexp(stored[rows_of].astype(np.float32), steps if transposed else steps[rows_of, None]),
            tensor,
        )
    release(values)


def _write(file: BinaryIO, real: Floats, tensor: Stored) -> None:
    """In float32, or exactly in bfloat16."""
    file.write(
        real.astype("<f4").tobytes() if tensor.wide else (real.view(np.uint32) >> 16).astype("<u2").tobytes()
    )


def _turned(values: NDArray[np.int8], steps: NDArray[np.int32], tensor: Stored) -> Iterator[Floats]:
    """Blocks of rows x · Qᵀ, times the tensor's scale."""
    width = values.shape[1]
    window, starts = windows(width)
    for start in range(0, len(values), _ROWS):
        rows = slice(start, start + _ROWS)
        x = np.ldexp(values[rows].astype(np.float64), steps[rows, None]).T
        for n, begin in reversed(list(enumerate(starts))):
            x[begin : begin + window] = hadamard(x[begin : begin + window]) / np.sqrt(window)
            x *= public_signs(f"{MIX} {n}", width)[:, None]
        yield np.ascontiguousarray(x.T * tensor.scale, np.float32)


def _vector(weights: Weights, tensor: Stored) -> NDArray[np.float64]:
    """A bias, a gain, or the gain of one head; ones where a gain is folded in, zeros where there is no bias."""
    size, source = tensor.size[0], tensor.source
    if not source:
        return np.full(size, 1 + tensor.offset)
    if source not in weights:
        return np.zeros(size)
    if source.endswith(BIAS):
        return real_bias(weights, source.removesuffix(BIAS))
    heads = real_sum(weights, source).reshape(-1, size)
    if (heads != heads[0]).any():
        raise Unsupported("Qwen3's and Gemma 3's class have one gain for all heads; this model does not")
    gain = np.ldexp(heads[0], -_finer(weights, tensor.unit)) if tensor.unit else heads[0]
    return np.asarray(gain + tensor.offset)


def _finer(weights: Weights, gain: str) -> int:
    """The step of a gain's second row."""
    return int(weights[gain + STEP].reshape(-1)[1])


def _shards(tensors: list[Stored], limit: int) -> list[list[Stored]]:
    shards: list[list[Stored]] = [[]]
    room = limit
    for tensor in tensors:
        if tensor.bytes > room and shards[-1]:
            shards.append([])
            room = limit
        shards[-1].append(tensor)
        room -= tensor.bytes
    return shards


def _header(shard: list[Stored]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for tensor in shard:
        stop = start + tensor.bytes
        kind = "F32" if tensor.wide else "BF16"
        header[tensor.name] = {"dtype": kind, "shape": list(tensor.size), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
