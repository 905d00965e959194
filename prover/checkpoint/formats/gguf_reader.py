"""GGUF files: memory-mapped, dequantized (by the `gguf` package) tensor by tensor or row by row.

`config` holds Hugging Face key names for the facts GGUF stores, so that one reader of configs serves both;
`metadata` has every stored value.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.checkpoint.formats.dtypes import FLOATS
from huref.prover.checkpoint.formats.gguf_header import GgufHeader, TensorInfo, read_header
from huref.prover.checkpoint.formats.partial import ready, ready_rows
from huref.prover.checkpoint.formats.split import parts_of
from huref.prover.kernels.integers.reading import Stored
from huref.prover.kernels.threads import run_ranges

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
    "expert_gating_func": "expert_gating_func",
    "routed_scaling_factor": "expert_weights_scale",
    "num_nextn_predict_layers": "nextn_predict_layers",
    "kv_lora_rank": "attention.kv_lora_rank",
    "q_lora_rank": "attention.q_lora_rank",
    "sliding_window": "attention.sliding_window",
    "layer_norm_epsilon": "attention.layer_norm_epsilon",
    "use_parallel_residual": "use_parallel_residual",
}
_KIND = gguf.GGMLQuantizationType
_FLOAT_KINDS = {_KIND.F64: "F64", _KIND.F32: "F32", _KIND.F16: "F16", _KIND.BF16: "BF16"}
_ROW = 1 << 13
_INTEGER_KINDS = {_KIND.I8, _KIND.I16, _KIND.I32, _KIND.I64}


class GgufCheckpoint(Checkpoint):
    """A GGUF file. Raises `Malformed` for a broken file, `Unsupported` for types that are not read."""

    naming = "gguf"

    def __init__(self, path: Path) -> None:
        header = read_header(path)
        count = header.metadata.get("split.count", 1)
        if type(count) is int and count > 1:
            parts = [(part, read_header(part)) for part in parts_of(path, count)]
        else:
            parts = [(path, header)]
        self.metadata: dict[str, Any] = parts[0][1].metadata
        self._tensors: dict[str, TensorInfo] = {}
        self._file: dict[str, Path] = {}
        self._maps: dict[Path, NDArray[np.uint8]] = {}
        architecture = self.metadata.get("general.architecture")
        if not isinstance(architecture, str):
            raise Malformed(f"{path}: GGUF without general.architecture")
        super().__init__(path, self._config(path, architecture), [part for part, _ in parts])
        for part, found in parts:
            self._add(part, found)
        total = self.metadata.get("split.tensors.count", len(self._tensors))
        if total != len(self._tensors):
            raise Malformed(f"{path}: {len(self._tensors)} tensors in its parts, the first says {total}")

    def _add(self, part: Path, header: GgufHeader) -> None:
        for name, info in header.tensors.items():
            if name in self._tensors:
                raise Malformed(f"{part}: tensor {name} is in another part too")
            self._tensors[name], self._file[name] = info, part
            _, size = self._stored(name)
            if info.start + size > header.file_size:
                raise Malformed(f"{part}: truncated: tensor {name} ends past the end of the file")

    def files_of(self, name: str) -> tuple[Path, ...]:
        return (self._file[name],)

    def _config(self, path: Path, architecture: str) -> dict[str, Any]:
        config: dict[str, Any] = {"model_type": architecture}
        for key, stored in _CONFIG_KEYS.items():
            value = self.metadata.get(f"{architecture}.{stored}")
            if isinstance(value, list):
                if stored == "attention.head_count_kv":  # 0 where a layer has no attention
                    value = [count for count in value if count] or value
                if len(set(map(repr, value))) != 1:
                    raise Unsupported(f"{path}: {stored} differs between layers")
                value = value[0]
            if value is not None:
                config[key] = value
        extra, count = config.get("num_nextn_predict_layers"), config.get("num_hidden_layers")
        if type(extra) is int and type(count) is int:  # counted with the others
            config["num_hidden_layers"] = count - extra
        if "kv_lora_rank" in config:
            config |= self._latent_config(path, architecture, config)
        return config

    def _latent_config(self, path: Path, architecture: str, config: dict[str, Any]) -> dict[str, Any]:
        """Sizes of attention through latents: keys are as long as the model has them, or as its latent makes them."""
        sizes = {
            part: self.metadata.get(f"{architecture}.attention.{part}_length_mla")
            or self.metadata.get(f"{architecture}.attention.{part}_length")
            for part in ("key", "value")
        }
        rotary, key, heads = config.get("rotary_dim"), sizes["key"], config.get("num_attention_heads")
        if type(rotary) is not int or type(key) is not int or type(heads) is not int or heads < 1:
            raise Malformed(f"{path}: attention through latents without the sizes of a key")
        value = sizes["value"]
        if value is None and type(config.get("hidden_size")) is int:
            value = config["hidden_size"] // heads
        return {
            "qk_rope_head_dim": rotary,
            "qk_nope_head_dim": key - rotary,
            "v_head_dim": value,
            "num_key_value_heads": heads,
        }

    def tokenizer_metadata(self) -> dict[str, Any]:
        """All `tokenizer.*` values, as `huref.prover.vocabulary.gguf_tokenizer.gguf_vocabulary` takes them."""
        return {key: value for key, value in self.metadata.items() if key.startswith("tokenizer.")}

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._tensors))

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self._tensors:
            raise self.missing(name)
        return self._tensors[name].shape

    def _stored(self, name: str) -> tuple[gguf.GGMLQuantizationType, int]:
        """Type and total bytes of a tensor."""
        info = self._tensors[name]
        try:
            kind = _KIND(info.kind)
        except ValueError:
            raise Unsupported(f"{self.path}: tensor {name} has the unknown type {info.kind}") from None
        block, size = gguf.GGML_QUANT_SIZES[kind]
        if not info.shape or info.shape[-1] % block:
            raise Malformed(f"{self.path}: tensor {name} of shape {info.shape} does not fit type {kind.name}")
        return kind, math.prod(info.shape) // block * size

    def maps(self) -> list[NDArray[np.uint8]]:
        return list(self._maps.values())

    def _load(self, name: str, rows: NDArray[np.int64] | None) -> Stored:
        shape = self.shape(name)
        kind, size = self._stored(name)
        if kind in _INTEGER_KINDS:
            raise Unsupported(f"{self.path}: tensor {name} has type {kind.name}, not a weight type")
        if size == 0:
            return np.zeros(shape, np.float32)
        file, start = self._file[name], self._tensors[name].start
        place = (
            ready(file, start, start + size)
            if rows is None
            else ready_rows(file, start, size // shape[0], rows)
        )
        if file not in self._maps:
            self._maps[file] = np.memmap(place, dtype=np.uint8, mode="r")
        data = self._maps[file][start : start + size]
        if kind in _FLOAT_KINDS:
            storage, decode = FLOATS[_FLOAT_KINDS[kind]]
            values = data.view(storage).reshape(shape)
            return decode(np.asarray(values if rows is None else values[rows]))
        data = data.reshape(*shape[:-1], -1)
        try:
            values = _dequantized(np.asarray(data if rows is None else data[rows]), kind)
        except NotImplementedError:
            raise Unsupported(
                f"{self.path}: tensor {name} has type {kind.name}, which cannot be read"
            ) from None
        return values.reshape(shape if rows is None else (len(rows), *shape[1:]))


def _dequantized(data: NDArray[np.uint8], kind: gguf.GGMLQuantizationType) -> NDArray[np.float32]:
    """Values of whole blocks, a multiple of one row. The package takes 16 rows at a time: they are as long as is fast.

    Raises `NotImplementedError` for a type that the package cannot read.
    """
    block, size = gguf.GGML_QUANT_SIZES[kind]
    together = math.gcd(data.size // size, max(1, _ROW // block))
    rows = data.reshape(-1, together * size)
    values = np.empty((len(rows), together * block), np.float32)

    def part(start: int, stop: int) -> None:
        values[start:stop] = gguf.quants.dequantize(rows[start:stop], kind)

    run_ranges(part, len(rows), 16, align=16)
    return values
