"""A Hugging Face folder: config.json with one safetensors file, or shards listed by an index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import InputOutputError, Malformed, Unsupported, UsageError
from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.checkpoint.formats.json_file import read_object
from huref.prover.checkpoint.formats.safetensors_reader import SafetensorsFile
from huref.prover.kernels.integers.reading import Stored

INDEX = "model.safetensors.index.json"


class SafetensorsCheckpoint(Checkpoint):
    """Safetensors weights with a Hugging Face config; every shard's header is checked on opening."""

    def __init__(self, path: Path, config: Mapping[str, Any], files: Mapping[str, Path] | Path) -> None:
        """`files`: the only file, or a map from tensor name to its shard."""
        paths = [files] if isinstance(files, Path) else sorted(set(files.values()))
        super().__init__(path, config, paths)
        shards = {shard: SafetensorsFile(shard) for shard in paths}
        if isinstance(files, Path):
            self._home = dict.fromkeys(shards[files].entries, shards[files])
        else:
            self._home = {name: shards[shard] for name, shard in files.items()}
            for name, shard in self._home.items():
                if name not in shard.entries:
                    raise Malformed(f"{shard.path}: tensor {name} is missing, though the index names it")
        self._names = tuple(sorted(self._home))

    def names(self) -> tuple[str, ...]:
        return self._names

    def __contains__(self, name: str) -> bool:
        return name in self._home

    def file_of(self, name: str) -> Path:
        return self._home[name].path

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self._home:
            raise self.missing(name)
        return self._home[name].entries[name].shape

    def _load(self, name: str, rows: NDArray[np.int64] | None) -> Stored:
        if name not in self._home:
            raise self.missing(name)
        for scale in (f"{name}_scale_inv", f"{name}_scale"):
            if scale in self._home:
                raise Unsupported(
                    f"{self.path}: tensor {name} is stored with separate scales ({scale})",
                    hint="load it with transformers, dequantized, and save it in bfloat16",
                )
        return self._home[name].load(name, rows)


def open_folder(folder: Path, weights: Path | None = None) -> SafetensorsCheckpoint:
    """Open a folder, or one safetensors file (`weights`) with the config.json beside it."""
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise InputOutputError(f"{folder}: no config.json beside the safetensors file")
    config = read_object(config_file)
    checkpoint = SafetensorsCheckpoint(folder, config, weights or _find_weights(folder))
    tokenizer = folder / "tokenizer.json"
    checkpoint.tokenizer_file = tokenizer if tokenizer.is_file() else None
    return checkpoint


def _find_weights(folder: Path) -> Mapping[str, Path] | Path:
    if (folder / "model.safetensors").is_file():
        return folder / "model.safetensors"
    if (folder / INDEX).is_file():
        return _read_index(folder / INDEX)
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found)
        raise UsageError(
            f"{folder}: {len(found)} safetensors files ({names}) and no {INDEX}",
            hint="give the path of one file, or restore the index",
        )
    return found[0]


def _read_index(path: Path) -> dict[str, Path]:
    weight_map = read_object(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise Malformed(f"{path}: no weight_map")
    files: dict[str, Path] = {}
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise Malformed(f"{path}: {name} points to {shard!r}, which is not a file name in this folder")
        files[name] = path.parent / shard
    for file in sorted(set(files.values())):
        if not file.is_file():
            raise InputOutputError(f"{file}: the shard is missing, though {path.name} names it")
    return files
