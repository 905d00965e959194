"""The committed integers as an ordinary checkpoint, so that what is served is what is committed.

Integers of at most eight bits times a power of two are exact in bfloat16. Gains are one (they are folded in), the head
is untied, and the stream is rotated: any server of LLaMA's class, or Qwen3's where q and k are normed, loads it. Biases
and gains on q and k have more bits and are stored in float32.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.compile import check_supported
from huref.circuits.model.tensors import BIAS, STEP, kind_of, matrices
from huref.common.errors import Unsupported
from huref.prover.kernels.mapped import release
from huref.prover.run.inference.settings import Settings
from huref.prover.run.inference.weights import real_bias, real_sum

_BLOCKS = {
    **{name: f"self_attn.{name}_proj" for name in ("q", "k", "v", "o")},
    **{name: f"mlp.{name}_proj" for name in ("gate", "up", "down")},
    **{f"{name}_gain": f"self_attn.{name}_norm" for name in ("q", "k")},
}
_ATTENTION, _FEED = ("q", "k", "v", "o"), ("gate", "up", "down")
_TRANSPOSED = ("o", "down")
_ROWS = 4096
"""Rows of a matrix that are held as floats at a time."""
_ONE = 0x3F80
"""1 in bfloat16."""
SHARD_BYTES = 5 * 10**9

Weights = Mapping[str, NDArray[np.int8]]


@dataclass(frozen=True)
class _Stored:
    """A tensor of the checkpoint; `source` is the committed one, "" for a gain of ones. `wide`: in float32."""

    name: str
    size: tuple[int, ...]
    source: str
    wide: bool = False

    @property
    def bytes(self) -> int:
        """As it is stored."""
        return (4 if self.wide else 2) * int(np.prod(self.size))


def write_checkpoint(
    weights: Weights,
    shape: ModelShape,
    settings: Settings,
    folder: Path,
    more: Mapping[str, Any] | None = None,
    *,
    shard_bytes: int = SHARD_BYTES,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Write config.json and safetensors files of at most `shard_bytes` (or one tensor) into an empty `folder`.

    `more` goes into the config over what follows from shape and settings. A block of rows is held at a time, or one
    transposed matrix of integers.

    Raises:
        Unsupported: a shape that LLaMA's and Qwen3's class have not. OSError: something cannot be written.
    """
    check_supported(shape)
    if shape.subtracts_mean or not shape.gated or shape.output_norm or settings.embedding_square != 1:
        what = "norms without means" if shape.subtracts_mean else "a rotated stream"
        what += (
            " and an FFN without a gate"
            if not shape.gated
            else " and an embedding with a factor or norms behind"
        )
        raise Unsupported(
            f"no class that servers load has {what}, as the committed integers of this model need",
            hint="serve the checkpoint itself; its gaps are larger (docs/inference.md)",
        )
    if len(set(settings.turns)) > 1 or settings.score_square != shape.head_dim:
        raise Unsupported(
            "LLaMA's class turns all layers alike and divides scores by the root of a head's size"
        )
    if shape.qk_norm and {"gate", "up", "down"} & set(shape.biases):
        raise Unsupported("Qwen3's class has no biases in the FFN; this model does")
    if shape.rotary != "half" or shape.rotary_dim != shape.head_dim:
        raise Unsupported("LLaMA's class turns whole heads in halves; this model does not")
    config = {**_config(shape, settings), **(more or {})}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shards = _shards(shape, shard_bytes)
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


def _write_tensor(file: BinaryIO, weights: Weights, tensor: _Stored) -> None:
    if not tensor.source:
        file.write(np.full(tensor.size, _ONE, "<u2").tobytes())
        return
    if tensor.wide:
        file.write(_vector(weights, tensor).astype("<f4").tobytes())
        return
    values, steps = weights[tensor.source], weights[tensor.source + STEP].reshape(-1).astype(np.int32)
    transposed = kind_of(tensor.source) in _TRANSPOSED
    stored = np.ascontiguousarray(values.T) if transposed else values
    for start in range(0, len(stored), _ROWS):
        rows = slice(start, start + _ROWS)
        real = np.ldexp(stored[rows].astype(np.float32), steps if transposed else steps[rows, None])
        file.write((real.view(np.uint32) >> 16).astype("<u2").tobytes())
    release(values)


def _vector(weights: Weights, tensor: _Stored) -> NDArray[np.float64]:
    """A bias, or the gain of one head."""
    size, source = tensor.size[0], tensor.source
    if source not in weights:
        return np.zeros(size)
    if source.endswith(BIAS):
        return real_bias(weights, source.removesuffix(BIAS))
    heads = real_sum(weights, source).reshape(-1, size)
    if (heads != heads[0]).any():
        raise Unsupported("Qwen3's class has one gain for all heads; this model does not")
    return np.asarray(heads[0])


def _tensors(shape: ModelShape) -> Iterator[_Stored]:
    """All of the checkpoint in order: what is committed, and gains of one."""
    for matrix in matrices(shape):
        size = (matrix.rows, matrix.cols)
        layer, _, kind = matrix.name.rpartition(".")
        if kind.endswith(BIAS):
            continue
        if kind.endswith("_gain"):
            yield _Stored(
                f"model.layers.{layer[1:]}.{_BLOCKS[kind]}.weight", (shape.head_dim,), matrix.name, wide=True
            )
            continue
        if not layer:
            name = {"embed": "model.embed_tokens", "head": "lm_head"}[kind]
        else:
            name = f"model.layers.{layer[1:]}.{_BLOCKS[kind]}"
        yield _Stored(f"{name}.weight", size[::-1] if kind in _TRANSPOSED else size, matrix.name)
        if (kind in _ATTENTION and _biased(shape, _ATTENTION)) or (kind in _FEED and _biased(shape, _FEED)):
            rows = shape.hidden if kind in _TRANSPOSED else matrix.rows
            yield _Stored(f"{name}.bias", (rows,), matrix.name + BIAS, wide=True)
    for n in range(shape.layers):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield _Stored(f"model.layers.{n}.{norm}.weight", (shape.hidden,), "")
    yield _Stored("model.norm.weight", (shape.hidden,), "")


def _biased(shape: ModelShape, names: tuple[str, ...]) -> bool:
    return bool(set(names) & set(shape.biases))


def _shards(shape: ModelShape, limit: int) -> list[list[_Stored]]:
    shards: list[list[_Stored]] = [[]]
    room = limit
    for tensor in _tensors(shape):
        if tensor.bytes > room and shards[-1]:
            shards.append([])
            room = limit
        shards[-1].append(tensor)
        room -= tensor.bytes
    return shards


def _header(shard: list[_Stored]) -> bytes:
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


def _rope(theta: int, stretch: int) -> dict[str, Any]:
    turn: dict[str, Any] = (
        {"rope_type": "default"} if stretch == 1 else {"rope_type": "linear", "factor": float(stretch)}
    )
    return {"rope_theta": float(theta), "rope_parameters": {**turn, "rope_theta": float(theta)}}


def _config(shape: ModelShape, settings: Settings) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM" if shape.qk_norm else "LlamaForCausalLM"],
        "model_type": "qwen3" if shape.qk_norm else "llama",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.ffn,
        "vocab_size": shape.vocab,
        "rms_norm_eps": float(settings.epsilon),
        **_rope(*settings.turns[0]),
        "hidden_act": {"gelu_tanh": "gelu_pytorch_tanh"}.get(settings.activation, settings.activation),
        "attention_bias": _biased(shape, _ATTENTION),
        "mlp_bias": _biased(shape, _FEED),
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }
