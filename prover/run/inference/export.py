"""The committed integers as an ordinary checkpoint, so that what is served is what is committed.

Integers of at most seven bits times a power of two are exact in bfloat16. Gains are one (they are folded in), the head
is untied, and the stream is rotated: any server of the model's class loads it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.compile import check_supported
from huref.circuits.model.tensors import matrices
from huref.common.files.atomic import new_folder
from huref.prover.canonical.steps import Rounded
from huref.prover.run.inference.settings import Settings

_BLOCKS = {
    **{name: f"self_attn.{name}_proj" for name in ("q", "k", "v", "o")},
    **{name: f"mlp.{name}_proj" for name in ("gate", "up", "down")},
}
_TRANSPOSED = ("o", "down")


def export_checkpoint(
    stream: Iterable[Rounded], shape: ModelShape, settings: Settings, positions: int, folder: Path
) -> Path:
    """Write config.json and model.safetensors (bfloat16) of LLaMA's class to `folder`, which must not exist.

    One tensor is held at a time. `positions` is the longest text of the model.

    Raises:
        Unsupported: a shape that the inference program does not know. UsageError: `folder` exists. InputOutputError:
        it cannot be written.
    """
    check_supported(shape)
    with new_folder(folder) as place:
        (place / "config.json").write_text(json.dumps(_config(shape, settings, positions), indent=2) + "\n")
        with (place / "model.safetensors").open("wb") as file:
            header = json.dumps(_header(shape)).encode()
            header += b" " * (-len(header) % 8)
            file.write(len(header).to_bytes(8, "little") + header)
            for rounded in stream:
                file.write(_bfloat16(rounded).tobytes())
            for _ in _norms(shape):
                file.write(np.full(shape.hidden, 0x3F80, "<u2").tobytes())
    return folder


def _bfloat16(rounded: Rounded) -> NDArray[np.uint16]:
    real = rounded.real()
    if rounded.name.rpartition(".")[2] in _TRANSPOSED:
        real = np.ascontiguousarray(real.T)
    return (real.view(np.uint32) >> 16).astype("<u2")


def _stored(name: str) -> str:
    if name in ("embed", "head"):
        return {"embed": "model.embed_tokens.weight", "head": "lm_head.weight"}[name]
    layer, _, kind = name.partition(".")
    return f"model.layers.{layer[1:]}.{_BLOCKS[kind]}.weight"


def _norms(shape: ModelShape) -> Iterator[str]:
    for n in range(shape.layers):
        yield f"model.layers.{n}.input_layernorm.weight"
        yield f"model.layers.{n}.post_attention_layernorm.weight"
    yield "model.norm.weight"


def _header(shape: ModelShape) -> dict[str, Any]:
    sizes = []
    for matrix in matrices(shape):
        size = [matrix.rows, matrix.cols]
        sizes.append(
            (_stored(matrix.name), size[::-1] if matrix.name.rpartition(".")[2] in _TRANSPOSED else size)
        )
    sizes += [(name, [shape.hidden]) for name in _norms(shape)]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, size in sizes:
        stop = start + 2 * math.prod(size)
        header[name] = {"dtype": "BF16", "shape": size, "data_offsets": [start, stop]}
        start = stop
    return header


def _config(shape: ModelShape, settings: Settings, positions: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.ffn,
        "vocab_size": shape.vocab,
        "max_position_embeddings": positions,
        "rms_norm_eps": float(settings.epsilon),
        "rope_theta": float(settings.theta),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(settings.theta)},
        "hidden_act": settings.activation,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }
