"""LLaMA-shaped checkpoints of any size, whole: every tensor of every layer holds pseudo-random bf16 numbers.

`VirtualLlama` is read like a checkpoint on disk but makes what is asked for from a seed: 13 GB of a 7B model take
32 MB. A matrix row is a slice of one pool of normal numbers, at an offset, with a sign and in a power of two that are
drawn per row: under a nanosecond per number, where committing to it takes ten.

`python -m benchmarks.llama_checkpoint 1B FOLDER` writes the same numbers to disk: safetensors shards with an index.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers
from wordfreq import top_n_list

from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.run.inference.texts import TEXTS

Bits = NDArray[np.uint16]
"""bfloat16 numbers: the upper halves of float32 bit patterns."""


@dataclass(frozen=True)
class Size:
    """Dimensions of a LLaMA-shaped model; `tied`: embedding and head are one tensor."""

    hidden: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int = 32000
    tied: bool = False


SIZES = {
    "tiny": Size(64, 88, 3, 4, 2, 320),
    "135M": Size(576, 1536, 30, 9, 3, 49152, tied=True),
    "1B": Size(2048, 5632, 22, 32, 4),
    "7B": Size(4096, 11008, 32, 32, 32),
    "13B": Size(5120, 13824, 40, 40, 40),
}
BLOCK_ROWS = 512
_POOL = 1 << 24
_SIGN, _EXPONENT = np.uint16(0x8000), 7  # of bfloat16: the sign's bit, and the place of the exponent


def config(size: Size) -> dict[str, Any]:
    """The content of config.json."""
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": size.hidden,
        "intermediate_size": size.ffn, "num_hidden_layers": size.layers, "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads, "vocab_size": size.vocab, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": size.tied, "torch_dtype": "bfloat16",
    }  # fmt: skip


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


def other_tensors(size: Size) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of what belongs to no layer."""
    yield "model.embed_tokens.weight", (size.vocab, size.hidden)
    yield "model.norm.weight", (size.hidden,)
    if not size.tied:
        yield "lm_head.weight", (size.vocab, size.hidden)


class VirtualLlama(Checkpoint):
    """A whole model that is made as it is read; two with one size and seed hold the same numbers."""

    def __init__(self, size: Size, seed: int = 0) -> None:
        super().__init__(Path(f"virtual-llama-{seed}"), config(size), ())
        self._seed = seed
        self._shapes = dict(other_tensors(size))
        for layer in range(size.layers):
            self._shapes |= dict(layer_tensors(size, layer))

    def names(self) -> tuple[str, ...]:
        """As `Checkpoint.names`."""
        return tuple(sorted(self._shapes))

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def shape(self, name: str) -> tuple[int, ...]:
        """As `Checkpoint.shape`."""
        if name not in self._shapes:
            raise self.missing(name)
        return self._shapes[name]

    def bits(self, name: str, rows: NDArray[np.int64] | None = None) -> Bits:
        """A tensor, or rows of it, as bfloat16 bit patterns."""
        shape = self.shape(name)
        draw = np.random.default_rng([self._seed, crc32(name.encode())])
        if len(shape) == 1:
            gain = 1 + draw.standard_normal(shape, np.float32) / 8
            return to_bf16(gain if rows is None else gain[rows])
        offset = draw.integers(0, _POOL - shape[1], shape[0])
        sign = draw.integers(0, 2, shape[0], np.uint16) * _SIGN
        power = np.rint(draw.standard_normal(shape[0]) / 2).clip(-2, 2).astype(np.int64) << _EXPONENT
        if rows is not None:
            offset, sign, power = offset[rows], sign[rows], power[rows]
        out = np.lib.stride_tricks.sliding_window_view(self._pool, shape[1])[offset]
        out += power.astype(np.uint16)[:, None]  # wraps where it is negative: a difference of exponents
        out ^= sign[:, None]
        return out

    def _load(self, name: str, rows: NDArray[np.int64] | None) -> Bits:
        return self.bits(name, rows)

    @cached_property
    def _pool(self) -> Bits:
        """Normal numbers of standard deviation 0.02, none so small that its exponent could not be lowered."""
        pool = np.random.default_rng(self._seed).standard_normal(_POOL, np.float32) / 50
        return to_bf16(np.copysign(np.maximum(np.abs(pool), 1e-9, dtype=np.float32), pool))


def write(size: Size, folder: Path, seed: int = 0) -> None:
    """Write config, index and one shard per layer (all else in the first): the virtual model's numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(size), indent=1))
    model, index = VirtualLlama(size, seed), dict[str, str]()
    for layer in range(size.layers):
        tensors = dict(layer_tensors(size, layer)) | (dict(other_tensors(size)) if layer == 0 else {})
        shard = f"model-{layer + 1:05d}-of-{size.layers:05d}.safetensors"
        index |= dict.fromkeys(tensors, shard)
        _write_shard(folder / shard, model, tensors)
    content = {"metadata": {}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content, indent=1))


def _write_shard(path: Path, model: VirtualLlama, tensors: dict[str, tuple[int, ...]]) -> None:
    header, offset = {}, 0
    for name, shape in tensors.items():
        length = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + length]}
        offset += length
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in tensors.items():
            for row in range(0, shape[0], BLOCK_ROWS):
                file.write(model.bits(name, np.arange(row, min(row + BLOCK_ROWS, shape[0]))).tobytes())


def to_bf16(values: NDArray[np.float32]) -> Bits:
    """Rounded to nearest."""
    return ((values.view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint16)


def tokenizer(folder: Path, vocab: int) -> Path:
    """A tokenizer of whole words with this many of them: common ones, and those of the calibration texts."""
    common = top_n_list("en", vocab)
    few = " ".join(TEXTS).split()[: vocab // 8]
    words = dict.fromkeys([*few, *common, *(f"w{i:06x}" for i in range(vocab))])
    known = {"[UNK]": 0} | {word: i for i, word in enumerate(list(words)[: vocab - 1], 1)}
    made = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    return folder


if __name__ == "__main__":
    write(SIZES[sys.argv[1]], Path(sys.argv[2]))
