"""A Hugging Face folder: config.json with one safetensors file, or shards listed by an index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import HurefError, InputOutputError, Malformed, UsageError
from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.checkpoint.formats.json_file import read_object
from huref.prover.checkpoint.formats.quantized.find import find_packed
from huref.prover.checkpoint.formats.safetensors_reader import SafetensorsFile, TensorEntry
from huref.prover.checkpoint.formats.wrappers import plain_names
from huref.prover.kernels.integers.reading import Stored

INDEX = "model.safetensors.index.json"
_SCALES = ("scale", "scale_inv", ".SCB")
"""Endings of names without which a weight would be read in the wrong size: they count though their shard is lost."""


class SafetensorsCheckpoint(Checkpoint):
    """Safetensors weights with a Hugging Face config; every shard's header is checked on opening.

    Names are those of the model itself, whatever wrapper it was saved in; a weight that is stored in parts (quantized)
    has the name, the shape and the float32 values of the plain one.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], files: Mapping[str, Path] | Path) -> None:
        """`files`: the only file, or a map from tensor name to its shard, which may be missing.

        A missing shard is an error only when one of its tensors is asked for, or if all are missing.
        """
        stated = sorted({files} if isinstance(files, Path) else set(files.values()))
        paths = [file for file in stated if isinstance(files, Path) or file.is_file()]
        if not paths:
            raise InputOutputError(f"{stated[0]}: the shard is missing, though the index names it")
        super().__init__(path, config, paths)
        shards = {shard: SafetensorsFile(shard) for shard in paths}
        homes = dict.fromkeys(shards[paths[0]].entries, paths[0]) if isinstance(files, Path) else files
        plain = plain_names(path, homes)
        self._stored = {name: full for name, full in plain.items() if full in _entries(shards, homes[full])}
        self._lost = {name: homes[full] for name, full in plain.items() if name not in self._stored}
        self._home = {name: shards[homes[full]] for name, full in self._stored.items()}
        entries = {name: shard.entries[self._stored[name]] for name, shard in self._home.items()}
        lost = {name: TensorEntry("F32", (), 0, 0) for name in self._lost if name.endswith(_SCALES)}
        self._packed = find_packed({**lost, **entries}, config, path)
        parts = {part for packed in self._packed.values() for part in packed.parts}
        self._names = tuple(sorted((self._home.keys() - parts) | self._packed.keys()))

    def names(self) -> tuple[str, ...]:
        return self._names

    def __contains__(self, name: str) -> bool:
        return name in self._home or name in self._packed

    def files_of(self, name: str) -> tuple[Path, ...]:
        parts = self._packed[name].parts if name in self._packed else (name,)
        return tuple(sorted({self._home[part].path for part in parts if part in self._home}))

    def maps(self) -> list[NDArray[np.uint8]]:
        return [shard.pages for shard in set(self._home.values()) if shard.pages is not None]

    def lost(self, name: str) -> bool:
        return name in self._lost

    def missing(self, name: str) -> HurefError:
        if name in self._lost:
            file = self._lost[name]
            if not file.is_file():
                return InputOutputError(
                    f"{file}: the shard is missing, though the index names it for tensor {name}",
                    hint="download it again",
                )
            return Malformed(f"{file}: tensor {name} is missing, though the index names it")
        error = super().missing(name)
        if self._lost:
            lost, file = next(iter(self._lost.items()))
            hint = f"the index names {len(self._lost)} more that are not there; {file.name}: tensor {lost} is missing"
            return Malformed(f"{error}; {hint}")
        return error

    def shape(self, name: str) -> tuple[int, ...]:
        if name in self._packed:
            return self._packed[name].shape
        if name not in self._home:
            raise self.missing(name)
        return self._home[name].entries[self._stored[name]].shape

    def _load(self, name: str, rows: NDArray[np.int64] | None) -> Stored:
        if name in self._packed:
            with np.errstate(over="ignore", invalid="ignore"):  # the caller checks for infinity and NaN
                return self._packed[name].load(self._part, rows)
        if name not in self._home:
            raise self.missing(name)
        return self._home[name].load(self._stored[name], rows)

    def _part(self, name: str) -> NDArray[Any]:
        if name not in self._home:
            raise self.missing(name)
        return self._home[name].part(self._stored[name])


def _entries(shards: Mapping[Path, SafetensorsFile], shard: Path) -> Mapping[str, TensorEntry]:
    return shards[shard].entries if shard in shards else {}


def open_folder(folder: Path, weights: Path | None = None) -> SafetensorsCheckpoint:
    """Open a folder, or one safetensors file (`weights`) with the config.json beside it.

    A shard stands for all that its index names.
    """
    config_file = folder / "config.json"
    if not config_file.is_file():
        at_home = "blobs" in folder.parts[-1:]
        raise InputOutputError(
            f"{weights or folder}: no config.json beside the safetensors file",
            hint="a hub cache keeps it under snapshots/: give that folder" if at_home else None,
        )
    config = read_object(config_file)
    checkpoint = SafetensorsCheckpoint(folder, config, _find_weights(folder, weights))
    tokenizer = folder / "tokenizer.json"
    checkpoint.tokenizer_file = tokenizer if tokenizer.is_file() else None
    return checkpoint


def _find_weights(folder: Path, weights: Path | None) -> Mapping[str, Path] | Path:
    if weights is not None:
        for index in sorted(folder.glob("*.safetensors.index.json")):
            shards = _read_index(index)
            if weights in shards.values():
                return shards
        return weights
    if (folder / "model.safetensors").is_file():
        return folder / "model.safetensors"
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if (folder / INDEX).is_file() or len(indices) == 1:
        return _read_index(folder / INDEX if (folder / INDEX).is_file() else indices[0])
    found = sorted(
        file for file in folder.glob("*.safetensors") if not file.name.startswith("adapter_model.")
    )
    if len(found) > 1:  # Mistral's own form of the same weights
        found = [file for file in found if file.name != "consolidated.safetensors"]
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
    return files
