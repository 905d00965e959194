"""Families with LLaMA's block: RMSNorm before each sub-layer, gated FFN, rotary embeddings."""

from __future__ import annotations

from prover.architectures.entry import Architecture

LLAMA = Architecture(
    family="llama",
    model_types=("llama", "mistral", "qwen2", "internlm", "smollm3"),
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
    rotary="half",
)

ARCHITECTURES: tuple[Architecture, ...] = (LLAMA,)
