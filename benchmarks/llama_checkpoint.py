"""LLaMA-shaped checkpoints of any size; run as `python -m benchmarks.llama_checkpoint 7B FOLDER`.

bf16 safetensors shards with an index, seeded, written row block by row block. Only the embedding and the last two
layers hold random numbers, all the fingerprint reads; the other layers are holes of a sparse file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Size:
    """Dimensions of a LLaMA-shaped model."""

    hidden: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int = 32000


SIZES = {
    "135M": Size(576, 1536, 30, 9, 3, 49152),
    "1B": Size(2048, 5632, 22, 32, 4),
    "7B": Size(4096, 11008, 32, 32, 32),
    "13B": Size(5120, 13824, 40, 40, 40),
    "70B": Size(8192, 28672, 80, 64, 8),
}
BLOCK_ROWS = 512


def layer_tensors(size: Size, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of one decoder layer."""
    head_dim = size.hidden // size.heads
    name = f"model.layers.{layer}."
    for part in ("input_layernorm", "post_attention_layernorm"):
        yield f"{name}{part}.weight", (size.hidden,)
    for part, rows in (("q", size.heads), ("k", size.kv_heads), ("v", size.kv_heads)):
        yield f"{name}self_attn.{part}_proj.weight", (rows * head_dim, size.hidden)
    yield f"{name}self_attn.o_proj.weight", (size.hidden, size.heads * head_dim)
    for part in ("gate", "up"):
        yield f"{name}mlp.{part}_proj.weight", (size.ffn, size.hidden)
    yield f"{name}mlp.down_proj.weight", (size.hidden, size.ffn)


def write(size: Size, folder: Path, seed: int = 0) -> None:
    """Write config, index and one shard per layer (the embedding in the first) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": size.hidden,
        "intermediate_size": size.ffn, "num_hidden_layers": size.layers, "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads, "vocab_size": size.vocab, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    index: dict[str, str] = {}
    for layer in range(size.layers):
        tensors = dict(layer_tensors(size, layer))
        if layer == 0:
            tensors["model.embed_tokens.weight"] = (size.vocab, size.hidden)
            tensors["model.norm.weight"] = (size.hidden,)
        shard = f"model-{layer + 1:05d}-of-{size.layers:05d}.safetensors"
        index |= dict.fromkeys(tensors, shard)
        real = {name for name in tensors if layer >= size.layers - 2 or not name.startswith("model.layers")}
        write_shard(folder / shard, tensors, real, np.random.default_rng([seed, layer]))
    content = {"metadata": {}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content, indent=1))


def write_shard(
    path: Path, tensors: dict[str, tuple[int, ...]], real: set[str], rng: np.random.Generator
) -> None:
    """Write one safetensors file; tensors not in `real` stay holes."""
    header, offset = {}, 0
    for name, shape in tensors.items():
        length = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + length]}
        offset += length
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        start = file.tell()
        for name, shape in tensors.items():
            if name in real:
                file.seek(start + header[name]["data_offsets"][0])
                for block in random_blocks(shape, rng):
                    file.write(block.tobytes())
        file.truncate(start + offset)


def random_blocks(shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """bf16 bit patterns: 1 + noise for norm gains, heavy-tailed rows of standard deviation 0.02 for matrices."""
    if len(shape) == 1:
        yield to_bf16(1 + rng.standard_normal(shape, np.float32) / 8)
        return
    for row in range(0, shape[0], BLOCK_ROWS):
        rows = min(BLOCK_ROWS, shape[0] - row)
        scale = np.exp(rng.standard_normal((rows, 1), np.float32) / 4) / 50
        yield to_bf16(rng.standard_normal((rows, shape[1]), np.float32) * scale)


def to_bf16(values: np.ndarray) -> np.ndarray:
    """The upper halves of float32 bit patterns, rounded to nearest."""
    return ((values.view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint16)


if __name__ == "__main__":
    write(SIZES[sys.argv[1]], Path(sys.argv[2]))
