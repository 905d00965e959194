"""What the readers of quantized weights share: the tensors of a file, a weight in parts, the settings beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from huref.prover.checkpoint.formats.base import Float32
from huref.prover.checkpoint.formats.safetensors_reader import TensorEntry

Entries = Mapping[str, TensorEntry]
Rows = NDArray[Any] | None
Part = Callable[[str], NDArray[Any]]
"""Reads a stored tensor: floats as float32, integers as they are."""

DEQUANTIZE = "load it with transformers, dequantized, and save it in bfloat16"


@dataclass(frozen=True)
class Packed:
    """A weight in parts. `load(part, rows)`: float32 of `shape`, or only the given entries of its first axis."""

    shape: tuple[int, ...]
    parts: tuple[str, ...]
    load: Callable[[Part, Rows], Float32]


def settings_of(settings: Mapping[str, Any], key: str) -> Any:
    """A setting, at the top or in compressed-tensors' first group of weights."""
    if key in settings:
        return settings[key]
    groups = settings.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict) and key in weights:
            return weights[key]
    return None
