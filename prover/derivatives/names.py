"""Where the classes of `transformers` keep the weights of a body, one declarative entry per layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from huref.common.errors import Unsupported


@dataclass(frozen=True)
class Names:
    """Dotted module paths; those below a block are relative to it.

    `qkv` "concat": q, k and v one after another; "per-head": q, k, v of head 0, then of head 1, ...
    `gate_up`: gate and up one after another. `prefixes`, `heads`: the first that exists is used.
    """

    prefixes: tuple[str, ...]
    embeddings: tuple[str, ...]
    blocks: str
    o: str
    up: str
    down: str
    attn_norm: str
    ffn_norm: str
    q: str = ""
    k: str = ""
    v: str = ""
    qkv: str = ""
    qkv_layout: Literal["concat", "per-head"] = "concat"
    gate: str = ""
    gate_up: str = ""
    embedding_norm: str = ""
    attn_output_norm: str = ""
    ffn_output_norm: str = ""
    q_norm: str = ""
    k_norm: str = ""
    final_norm: str = ""
    heads: tuple[str, ...] = ("lm_head",)
    gain_offset: float = 0.0
    layer_norm: bool = False
    post_norm: bool = False
    rotary: bool = False
    alibi: bool = False


MASKED_HEAD = "cls.predictions.transform.dense"

_LLAMA = Names(
    prefixes=("model.",),
    embeddings=("embed_tokens",),
    blocks="layers",
    q="self_attn.q_proj",
    k="self_attn.k_proj",
    v="self_attn.v_proj",
    o="self_attn.o_proj",
    gate="mlp.gate_proj",
    up="mlp.up_proj",
    down="mlp.down_proj",
    attn_norm="input_layernorm",
    ffn_norm="post_attention_layernorm",
    final_norm="norm",
    rotary=True,
)
_QWEN3 = replace(_LLAMA, q_norm="self_attn.q_norm", k_norm="self_attn.k_norm")
_GEMMA = replace(_LLAMA, gain_offset=1.0)
_GEMMA2 = replace(
    _GEMMA,
    attn_output_norm="post_attention_layernorm",
    ffn_norm="pre_feedforward_layernorm",
    ffn_output_norm="post_feedforward_layernorm",
)
_GEMMA3 = replace(_GEMMA2, q_norm=_QWEN3.q_norm, k_norm=_QWEN3.k_norm)
_PHI3 = replace(_LLAMA, q="", k="", v="", qkv="self_attn.qkv_proj", gate="", gate_up="mlp.gate_up_proj")
_GPT2 = Names(
    prefixes=("transformer.",),
    embeddings=("wte", "wpe"),
    blocks="h",
    qkv="attn.c_attn",
    o="attn.c_proj",
    up="mlp.c_fc",
    down="mlp.c_proj",
    attn_norm="ln_1",
    ffn_norm="ln_2",
    final_norm="ln_f",
    layer_norm=True,
)
_NEOX = Names(
    prefixes=("gpt_neox.",),
    embeddings=("embed_in",),
    blocks="layers",
    qkv="attention.query_key_value",
    qkv_layout="per-head",
    o="attention.dense",
    up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
    attn_norm="input_layernorm",
    ffn_norm="post_attention_layernorm",
    final_norm="final_layer_norm",
    heads=("lm_head", "embed_out"),
    layer_norm=True,
    rotary=True,
)
_BLOOM = replace(
    _NEOX,
    prefixes=("transformer.",),
    embeddings=("word_embeddings",),
    embedding_norm="word_embeddings_layernorm",
    blocks="h",
    qkv="self_attention.query_key_value",
    o="self_attention.dense",
    final_norm="ln_f",
    heads=("lm_head",),
    rotary=False,
    alibi=True,
)
_OPT = Names(
    prefixes=("model.decoder.",),
    embeddings=("embed_tokens", "embed_positions"),
    blocks="layers",
    q="self_attn.q_proj",
    k="self_attn.k_proj",
    v="self_attn.v_proj",
    o="self_attn.out_proj",
    up="fc1",
    down="fc2",
    attn_norm="self_attn_layer_norm",
    ffn_norm="final_layer_norm",
    final_norm="final_layer_norm",
    layer_norm=True,
)
_BERT = Names(
    prefixes=("bert.", ""),
    embeddings=(
        "embeddings.word_embeddings",
        "embeddings.position_embeddings",
        "embeddings.token_type_embeddings",
    ),
    embedding_norm="embeddings.LayerNorm",
    blocks="encoder.layer",
    q="attention.self.query",
    k="attention.self.key",
    v="attention.self.value",
    o="attention.output.dense",
    up="intermediate.dense",
    down="output.dense",
    attn_norm="attention.output.LayerNorm",
    ffn_norm="output.LayerNorm",
    heads=(MASKED_HEAD, "pooler.dense"),
    layer_norm=True,
    post_norm=True,
)

_BY_TYPE: dict[str, Names] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _QWEN3,
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA3,
    "phi3": _PHI3,
    "gpt2": _GPT2,
    "gpt_neox": _NEOX,
    "bloom": _BLOOM,
    "opt": _OPT,
    "bert": _BERT,
}

MODEL_TYPES: tuple[str, ...] = tuple(_BY_TYPE)


def names_of(model_type: str) -> Names:
    """The entry for a config's `model_type`. Raises `Unsupported` for a family without one."""
    if model_type not in _BY_TYPE:
        raise Unsupported(
            f"no rewrites for the architecture {model_type!r}", hint="known: " + ", ".join(MODEL_TYPES)
        )
    return _BY_TYPE[model_type]
