"""Families whose classes live in their model repositories, not in `transformers`.

Each entry mimics the published layout in torch: tensor names, shapes, and the reshapes by which the published
forward pass takes q, k, v and the gate apart. Written from knowledge of those models, so it tests that our
entry undoes exactly this layout, not that the layout is the published one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.nn import functional

LAYERS, HEADS, KV_HEADS, SIZE, HIDDEN, FFN, VOCAB, EPS = 3, 4, 2, 16, 64, 88, 320, 1e-5
Tensor = torch.Tensor
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """Config, embedding name, block prefix, tensor shapes of a block, and the block's forward pass."""

    config: dict[str, Any]
    embedding: str
    block: str
    shapes: dict[str, tuple[int, ...]]
    forward: Callable[[Weights, Tensor], Tensor]
    activation: str = "silu"
    alibi: float = 0.0
    residual: float = 1.0


def _rms(x: Tensor, gain: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * gain


def _layer_norm(x: Tensor, gain: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], gain, eps=EPS)


def _rotate_half(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def _rotary(x: Tensor, positions: Tensor) -> Tensor:
    """LLaMA's: x (tokens, heads, size), planes (i, i + size/2)."""
    size = x.shape[-1]
    frequency = 10000.0 ** (-torch.arange(0, size, 2, dtype=x.dtype) / size)
    angle = torch.cat([positions[:, None] * frequency] * 2, dim=-1)[:, None]
    return x * angle.cos() + _rotate_half(x) * angle.sin()


def _rotary_pairs(x: Tensor) -> Tensor:
    """ChatGLM2's: the first half of a head, as complex numbers of neighbouring entries."""
    turned, rest = x.chunk(2, dim=-1)
    size = turned.shape[-1]
    frequency = 10000.0 ** (-torch.arange(0, size, 2, dtype=x.dtype) / size)
    angle = torch.arange(len(x), dtype=x.dtype)[:, None] * frequency
    pairs = torch.view_as_complex(turned.reshape(*x.shape[:-1], size // 2, 2))
    pairs = pairs * torch.polar(torch.ones_like(angle), angle)[:, None]
    return torch.cat((torch.view_as_real(pairs).flatten(-2), rest), dim=-1)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """q, k, v: (tokens, heads, size), as many heads each; causal."""
    scores = torch.einsum("ihe,jhe->hij", q, k) / q.shape[-1] ** 0.5
    if bias is not None:
        scores = scores + bias
    mask = torch.ones(len(q), len(q), dtype=torch.bool).triu(1)
    weights = scores.masked_fill(mask, float("-inf")).softmax(-1)
    return torch.einsum("hij,jhe->ihe", weights, v).flatten(1)


def _baichuan(w: Weights, x: Tensor, *, alibi: bool = False) -> Tensor:
    read = _rms(x, w["input_layernorm"])
    q, k, v = (read @ w["self_attn.W_pack"].T).unflatten(-1, (3, HIDDEN)).unbind(-2)
    q, k, v = (part.view(-1, HEADS, SIZE) for part in (q, k, v))
    positions = torch.arange(len(x), dtype=x.dtype)
    if alibi:
        slopes = torch.tensor([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8], dtype=x.dtype)
        mixed = _attend(q, k, v, slopes[:, None, None] * (positions[None] - positions[:, None]))
    else:
        mixed = _attend(_rotary(q, positions), _rotary(k, positions), v)
    x = x + mixed @ w["self_attn.o_proj"].T
    return x + _llama_ffn(w, _rms(x, w["post_attention_layernorm"]))


def _llama_ffn(w: Weights, x: Tensor) -> Tensor:
    gate = functional.silu(x @ w["mlp.gate_proj"].T)
    return (gate * (x @ w["mlp.up_proj"].T)) @ w["mlp.down_proj"].T


def _internlm2(w: Weights, x: Tensor) -> Tensor:
    read = _rms(x, w["attention_norm"])
    group = HEADS // KV_HEADS
    qkv = (read @ w["attention.wqkv"].T).view(-1, KV_HEADS, 2 + group, SIZE)
    q, k, v = qkv[:, :, :group].flatten(1, 2), qkv[:, :, -2], qkv[:, :, -1]
    positions = torch.arange(len(x), dtype=x.dtype)
    k, v = (part.repeat_interleave(group, 1) for part in (_rotary(k, positions), v))
    x = x + _attend(_rotary(q, positions), k, v) @ w["attention.wo"].T
    read = _rms(x, w["ffn_norm"])
    gate = functional.silu(read @ w["feed_forward.w1"].T)
    return x + (gate * (read @ w["feed_forward.w3"].T)) @ w["feed_forward.w2"].T


def _qwen(w: Weights, x: Tensor) -> Tensor:
    q, k, v = (
        part.view(-1, HEADS, SIZE) for part in (_rms(x, w["ln_1"]) @ w["attn.c_attn"].T).split(HIDDEN, 1)
    )
    positions = torch.arange(len(x), dtype=x.dtype)
    x = x + _attend(_rotary(q, positions), _rotary(k, positions), v) @ w["attn.c_proj"].T
    read = _rms(x, w["ln_2"])
    return x + ((read @ w["mlp.w1"].T) * functional.silu(read @ w["mlp.w2"].T)) @ w["mlp.c_proj"].T


def _chatglm2(w: Weights, x: Tensor) -> Tensor:
    mixed = _rms(x, w["input_layernorm"]) @ w["self_attention.query_key_value"].T
    q, k, v = mixed.split([HEADS * SIZE, KV_HEADS * SIZE, KV_HEADS * SIZE], dim=-1)
    q, k, v = q.view(-1, HEADS, SIZE), k.view(-1, KV_HEADS, SIZE), v.view(-1, KV_HEADS, SIZE)
    k, v = (
        part.unsqueeze(2).expand(-1, -1, HEADS // KV_HEADS, -1).flatten(1, 2)
        for part in (_rotary_pairs(k), v)
    )
    x = x + _attend(_rotary_pairs(q), k, v) @ w["self_attention.dense"].T
    first, second = (_rms(x, w["post_attention_layernorm"]) @ w["mlp.dense_h_to_4h"].T).chunk(2, dim=-1)
    return x + (functional.silu(first) * second) @ w["mlp.dense_4h_to_h"].T


def _chatglm2_mha(w: Weights, x: Tensor) -> Tensor:
    mixed = _rms(x, w["input_layernorm"]) @ w["self_attention.query_key_value"].T
    q, k, v = mixed.view(-1, HEADS, 3 * SIZE).split(SIZE, dim=-1)
    x = x + _attend(_rotary_pairs(q), _rotary_pairs(k), v) @ w["self_attention.dense"].T
    first, second = (_rms(x, w["post_attention_layernorm"]) @ w["mlp.dense_h_to_4h"].T).chunk(2, dim=-1)
    return x + (functional.silu(first) * second) @ w["mlp.dense_4h_to_h"].T


def _chatglm(w: Weights, x: Tensor) -> Tensor:
    alpha = (2 * LAYERS) ** 0.5
    read = _layer_norm(x, w["input_layernorm"])
    q, k, v = (read @ w["attention.query_key_value"].T).view(-1, HEADS, 3 * SIZE).split(SIZE, dim=-1)
    places = torch.arange(len(x), dtype=x.dtype), torch.zeros(len(x), dtype=x.dtype)
    q, k = (
        torch.cat(
            [_rotary(half, place) for half, place in zip(part.chunk(2, -1), places, strict=True)], dim=-1
        )
        for part in (q, k)
    )
    x = alpha * read + _attend(q, k, v) @ w["attention.dense"].T
    read = _layer_norm(x, w["post_attention_layernorm"])
    hidden = functional.gelu(read @ w["mlp.dense_h_to_4h"].T, approximate="tanh")
    return alpha * read + hidden @ w["mlp.dense_4h_to_h"].T


_SIZES = {"hidden_size": HIDDEN, "num_attention_heads": HEADS, "num_hidden_layers": LAYERS}
_LLAMA_FFN = {"mlp.gate_proj": (FFN, HIDDEN), "mlp.up_proj": (FFN, HIDDEN), "mlp.down_proj": (HIDDEN, FFN)}
_NORMS = {"input_layernorm": (HIDDEN,), "post_attention_layernorm": (HIDDEN,)}
_KV = KV_HEADS * SIZE
_BAICHUAN = {
    "self_attn.W_pack": (3 * HIDDEN, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    **_LLAMA_FFN,
    **_NORMS,
}
_CHATGLM2 = {
    "self_attention.query_key_value": (HIDDEN + 2 * _KV, HIDDEN),
    "self_attention.dense": (HIDDEN, HIDDEN),
    "mlp.dense_h_to_4h": (2 * FFN, HIDDEN),
    "mlp.dense_4h_to_h": (HIDDEN, FFN),
    **_NORMS,
}
_CHATGLM2_CONFIG = {
    "model_type": "chatglm",
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_layers": LAYERS,
    "kv_channels": SIZE,
    "ffn_hidden_size": FFN,
    "rmsnorm": True,
}

PUBLISHED: dict[str, Published] = {
    "baichuan-7b": Published(
        {"model_type": "baichuan", **_SIZES, "max_position_embeddings": 64},
        "model.embed_tokens",
        "model.layers.{i}.",
        _BAICHUAN,
        _baichuan,
    ),
    "baichuan-13b": Published(
        {"model_type": "baichuan", **_SIZES, "model_max_length": 64},
        "model.embed_tokens",
        "model.layers.{i}.",
        _BAICHUAN,
        lambda w, x: _baichuan(w, x, alibi=True),
        alibi=1.0,
    ),
    "internlm2": Published(
        {"model_type": "internlm2", **_SIZES, "num_key_value_heads": KV_HEADS},
        "model.tok_embeddings",
        "model.layers.{i}.",
        {
            "attention.wqkv": (HIDDEN + 2 * _KV, HIDDEN),
            "attention.wo": (HIDDEN, HIDDEN),
            "feed_forward.w1": (FFN, HIDDEN),
            "feed_forward.w2": (HIDDEN, FFN),
            "feed_forward.w3": (FFN, HIDDEN),
            "attention_norm": (HIDDEN,),
            "ffn_norm": (HIDDEN,),
        },
        _internlm2,
    ),
    "qwen": Published(
        {"model_type": "qwen", **_SIZES, "kv_channels": SIZE},
        "transformer.wte",
        "transformer.h.{i}.",
        {
            "attn.c_attn": (3 * HIDDEN, HIDDEN),
            "attn.c_proj": (HIDDEN, HIDDEN),
            "mlp.w1": (FFN, HIDDEN),
            "mlp.w2": (FFN, HIDDEN),
            "mlp.c_proj": (HIDDEN, FFN),
            "ln_1": (HIDDEN,),
            "ln_2": (HIDDEN,),
        },
        _qwen,
    ),
    "chatglm2": Published(
        {**_CHATGLM2_CONFIG, "multi_query_attention": True, "multi_query_group_num": KV_HEADS},
        "transformer.embedding.word_embeddings",
        "transformer.encoder.layers.{i}.",
        _CHATGLM2,
        _chatglm2,
    ),
    "chatglm2-mha": Published(
        {**_CHATGLM2_CONFIG, "multi_query_attention": False, "multi_query_group_num": 1},
        "transformer.embedding.word_embeddings",
        "transformer.encoder.layers.{i}.",
        {**_CHATGLM2, "self_attention.query_key_value": (3 * HIDDEN, HIDDEN)},
        _chatglm2_mha,
    ),
    "chatglm-6b": Published(
        {
            "model_type": "chatglm",
            "hidden_size": HIDDEN,
            "num_attention_heads": HEADS,
            "num_layers": LAYERS,
            "inner_hidden_size": FFN,
            "position_encoding_2d": True,
        },
        "transformer.word_embeddings",
        "transformer.layers.{i}.",
        {
            "attention.query_key_value": (3 * HIDDEN, HIDDEN),
            "attention.dense": (HIDDEN, HIDDEN),
            "mlp.dense_h_to_4h": (FFN, HIDDEN),
            "mlp.dense_4h_to_h": (HIDDEN, FFN),
            **_NORMS,
        },
        _chatglm,
        activation="gelu_tanh",
        residual=(2 * LAYERS) ** 0.5,
    ),
}


def build(family: str, folder: Path, seed: int = 0) -> list[Weights]:
    """Write the checkpoint into `folder`; returns each block's weights (float64, relative names)."""
    published, generator = PUBLISHED[family], torch.Generator().manual_seed(seed)
    blocks: list[Weights] = []
    stored: Weights = {f"{published.embedding}.weight": torch.randn(VOCAB, HIDDEN, generator=generator)}
    for layer in range(LAYERS):
        blocks.append({})
        for name, shape in published.shapes.items():
            values = torch.randn(shape, generator=generator)
            values = 1.2 * values / shape[1] ** 0.5 if len(shape) == 2 else 1 + 0.3 * values.clamp(-2.5, 2.5)
            stored[f"{published.block.format(i=layer)}{name}.weight"] = values
            blocks[-1][name] = values.double()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(stored, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(published.config))
    return blocks
