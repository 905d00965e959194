"""Families with LLaMA's block: RMSNorm before each sub-layer, gated FFN, rotary embeddings."""

from __future__ import annotations

from dataclasses import replace

from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.architectures.entry import Architecture

LLAMA = Architecture(
    family="llama",
    model_types=(
        *("llama", "mistral", "ministral", "ministral3", "qwen2", "qwen2_vl", "qwen2_vl_text"),
        *("qwen2_5_vl", "qwen2_5_vl_text", "internlm", "internlm3", "granite", "minicpm", "seed_oss"),
        *("cwm", "iquestcoder"),
    ),
    prefixes=("model.", "", "language_model.model.", "model.language_model."),
    embedding="embed_tokens",
    block="layers.{i}.",
    q="self_attn.q_proj",
    k="self_attn.k_proj",
    v="self_attn.v_proj",
    o="self_attn.o_proj",
    up="mlp.up_proj",
    gate="mlp.gate_proj",
    down="mlp.down_proj",
    norm="rms",
    attn_norm="input_layernorm",
    ffn_norm="post_attention_layernorm",
    head="lm_head",
    final_norm="norm",
    rotary="half",
)

QWEN3 = replace(
    LLAMA,
    family="qwen3",
    model_types=("qwen3",),
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
)

GEMMA = replace(LLAMA, family="gemma", model_types=("gemma",), gain_offset=1.0)

VAULTGEMMA = replace(
    GEMMA, family="vaultgemma", model_types=("vaultgemma",), ffn_norm="pre_feedforward_layernorm"
)

GEMMA2 = replace(
    GEMMA,
    family="gemma2",
    model_types=("gemma2",),
    attn_output_norm="post_attention_layernorm",
    ffn_norm="pre_feedforward_layernorm",
    ffn_output_norm="post_feedforward_layernorm",
)

GEMMA3 = replace(
    GEMMA2,
    family="gemma3",
    model_types=("gemma3", "gemma3_text"),
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
)

PHI3 = replace(
    LLAMA,
    family="phi3",
    model_types=("phi3",),
    q=None,
    k=None,
    v=None,
    qkv="self_attn.qkv_proj",
    up=None,
    gate=None,
    gate_up="mlp.gate_up_proj",
)

GLM = replace(
    LLAMA,
    family="glm",
    model_types=("glm",),
    up=None,
    gate=None,
    gate_up="mlp.gate_up_proj",
    rotary="interleaved",
    rotary_fraction=0.5,
)

GLM4 = replace(
    GLM,
    family="glm4",
    model_types=("glm4",),
    attn_output_norm="post_self_attn_layernorm",
    ffn_output_norm="post_mlp_layernorm",
)

INTERNLM2 = Architecture(
    family="internlm2",
    model_types=("internlm2",),
    prefixes=("model.", ""),
    embedding="tok_embeddings",
    block="layers.{i}.",
    qkv="attention.wqkv",
    qkv_layout="grouped",
    o="attention.wo",
    up="feed_forward.w3",
    gate="feed_forward.w1",
    down="feed_forward.w2",
    norm="rms",
    attn_norm="attention_norm",
    ffn_norm="ffn_norm",
    head="output",
    final_norm="norm",
    rotary="half",
)

QWEN = Architecture(
    family="qwen",
    model_types=("qwen",),
    prefixes=("transformer.", ""),
    embedding="wte",
    block="h.{i}.",
    qkv="attn.c_attn",
    o="attn.c_proj",
    up="mlp.w1",
    gate="mlp.w2",
    down="mlp.c_proj",
    norm="rms",
    attn_norm="ln_1",
    ffn_norm="ln_2",
    head="lm_head",
    final_norm="ln_f",
    rotary="half",
)


def _baichuan(entry: Architecture, config: Config) -> Architecture:
    # the 7B models are rotary; the 13B models use ALiBi and so declare no maximum position
    rotary = config.get("max_position_embeddings") is not None
    return entry if rotary else replace(entry, rotary=None)


BAICHUAN = replace(
    LLAMA,
    family="baichuan",
    model_types=("baichuan",),
    q=None,
    k=None,
    v=None,
    qkv="self_attn.W_pack",
    adapt=_baichuan,
)


def _chatglm(entry: Architecture, config: Config) -> Architecture:
    if config.get("inner_hidden_size") is not None:
        return CHATGLM_6B
    if config.flag("multi_query_attention"):
        return entry
    heads = config.required("num_attention_heads")
    return replace(entry, qkv_layout="grouped", kv_heads=heads)


# ChatGLM2, ChatGLM3 and GLM-4-9B in their published (remote code) form
CHATGLM = Architecture(
    family="chatglm",
    model_types=("chatglm",),
    prefixes=("transformer.", ""),
    embedding="embedding.word_embeddings",
    block="encoder.layers.{i}.",
    qkv="self_attention.query_key_value",
    o="self_attention.dense",
    gate_up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
    norm="rms",
    attn_norm="input_layernorm",
    ffn_norm="post_attention_layernorm",
    head="output_layer",
    final_norm="encoder.final_layernorm",
    rotary="interleaved",
    rotary_fraction=0.5,
    adapt=_chatglm,
)

# The first ChatGLM: the residual sum takes the *normed* input, and a head carries two rotary blocks
# (positions within the text and within the answer).
CHATGLM_6B = Architecture(
    family="chatglm-6b",
    model_types=(),
    prefixes=("transformer.", ""),
    embedding="word_embeddings",
    block="layers.{i}.",
    qkv="attention.query_key_value",
    qkv_layout="grouped",
    o="attention.dense",
    up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
    norm="layer",
    norm_position="kept",
    attn_norm="input_layernorm",
    ffn_norm="post_attention_layernorm",
    rotary="half",
    rotary_fraction=0.5,
    rotary_sections=2,
)

ARCHITECTURES: tuple[Architecture, ...] = (
    *(LLAMA, QWEN3, GEMMA, VAULTGEMMA, GEMMA2, GEMMA3, PHI3, GLM, GLM4),
    *(INTERNLM2, QWEN, BAICHUAN, CHATGLM),
)
