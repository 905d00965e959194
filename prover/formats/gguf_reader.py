"""GGUF files through the `gguf` package: memory-mapped, dequantized tensor by tensor or row by row.

`config` holds Hugging Face key names for the facts GGUF stores, so that one reader of configs serves both;
`metadata(key)` gives any other stored value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import InputOutputError, Malformed, Unsupported
from prover.formats.base import Checkpoint, Float32

# Hugging Face config key -> GGUF key below the architecture's name
_CONFIG_KEYS = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "rotary_dim": "rope.dimension_count",
    "num_experts": "expert_count",
    "alibi_max_bias": "attention.max_alibi_bias",
    "layer_norm_epsilon": "attention.layer_norm_epsilon",
    "use_parallel_residual": "use_parallel_residual",
}


class GgufCheckpoint(Checkpoint):
    """A GGUF file. Raises `Malformed` for a broken file, `Unsupported` for split files and unread types."""

    naming = "gguf"

    def __init__(self, path: Path) -> None:
        import gguf

        try:
            with path.open("rb") as file:
                magic = file.read(4)
        except OSError as error:
            raise InputOutputError(f"{path}: {error.strerror or error}") from None
        if magic != b"GGUF":
            raise Malformed(f"{path}: not a GGUF file")
        try:
            self._reader = gguf.GGUFReader(path)
            self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        except Exception as error:  # the package reports broken files by whatever numpy raises
            raise Malformed(f"{path}: not a readable GGUF file, or truncated ({error})") from None
        architecture = self.metadata("general.architecture")
        if not isinstance(architecture, str):
            raise Malformed(f"{path}: GGUF without general.architecture")
        if self.metadata("split.count", 1) > 1:
            raise Unsupported(
                f"{path}: one part of a split GGUF", hint="merge the parts with llama-gguf-split"
            )
        config = {"model_type": architecture}
        for key, stored in _CONFIG_KEYS.items():
            value = self.metadata(f"{architecture}.{stored}")
            if isinstance(value, list):
                if len(set(value)) != 1:
                    raise Unsupported(f"{path}: {stored} differs between layers")
                value = value[0]
            if value is not None:
                config[key] = value
        super().__init__(path, config, [path])

    def metadata(self, key: str, default: Any = None) -> Any:
        """A stored value (str, number, bool or list) or the default."""
        field = self._reader.fields.get(key)
        try:
            return default if field is None else field.contents()
        except Exception as error:
            raise Malformed(f"{key}: unreadable GGUF value ({error})") from None

    def tokenizer_metadata(self) -> dict[str, Any]:
        """All `tokenizer.*` values, as `prover.gguf_tokenizer.gguf_vocabulary` takes them."""
        return {key: self.metadata(key) for key in self._reader.fields if key.startswith("tokenizer.")}

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._tensors))

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self._tensors:
            raise self.missing(name)
        return tuple(int(n) for n in reversed(self._tensors[name].shape))  # GGUF lists the inner one first

    def _load(self, name: str, rows: NDArray[np.int64] | None) -> Float32:
        import gguf

        if name not in self._tensors:
            raise self.missing(name)
        tensor = self._tensors[name]
        data = tensor.data if rows is None else tensor.data[rows]
        kind = tensor.tensor_type
        if kind == gguf.GGMLQuantizationType.F64:
            return np.asarray(data).astype(np.float32)
        try:
            values = gguf.quants.dequantize(np.asarray(data), kind)
        except NotImplementedError:
            raise Unsupported(
                f"{self.path}: tensor {name} has type {kind.name}, which cannot be read"
            ) from None
        return np.array(values, dtype=np.float32)  # a copy: never a view into the memory map
