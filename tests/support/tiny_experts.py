"""Tiny random mixtures of experts and latent-attention models of the real `transformers` classes."""

from __future__ import annotations

from typing import Any

import torch
import transformers

LAYERS, HEADS, KV_HEADS, HIDDEN, FFN, NARROW, EXPERTS, VOCAB = 2, 4, 2, 32, 24, 12, 4, 160
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "intermediate_size": FFN,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
_LATENT = {
    "kv_lora_rank": 10,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "head_dim": 4,
    "num_key_value_heads": HEADS,
}
_LATENT_Q = {**_LATENT, "q_lora_rank": 12}
_DEEPSEEK = {
    "n_routed_experts": EXPERTS,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": NARROW,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
_FEW = {"num_experts": EXPERTS, "num_experts_per_tok": 2, "moe_intermediate_size": NARROW}
_LOCAL = {"num_local_experts": EXPERTS, "num_experts_per_tok": 2}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "mixtral": ("mixtral", _LOCAL),
    "qwen2_moe": ("qwen2_moe", {**_FEW, "shared_expert_intermediate_size": 20, "mlp_only_layers": [0]}),
    "qwen3_moe": ("qwen3_moe", {**_FEW, "head_dim": 8}),
    "olmoe": ("olmoe", {"num_experts": EXPERTS, "num_experts_per_tok": 2}),
    "granitemoe": ("granitemoe", _LOCAL),
    "phimoe": ("phimoe", _LOCAL),
    "deepseek_v2": ("deepseek_v2", {**_DEEPSEEK, **_LATENT_Q}),
    "deepseek_v2-lite": ("deepseek_v2", {**_DEEPSEEK, **_LATENT, "q_lora_rank": None}),
    "deepseek_v3": ("deepseek_v3", {**_DEEPSEEK, **_LATENT_Q, "routed_scaling_factor": 2.5}),
    "glm4_moe": ("glm4_moe", {**_DEEPSEEK, "head_dim": 8}),
    "gpt_oss": ("gpt_oss", {**_LOCAL, "head_dim": 8}),
    "llama4_text": (
        "llama4_text",
        {
            **_LOCAL,
            "head_dim": 8,
            "intermediate_size_mlp": FFN,
            "no_rope_layers": [1, 0],
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 2,
        },
    ),
    "minimax": ("minimax", {**_LOCAL, "head_dim": 8, "layer_types": ["linear_attention", "full_attention"]}),
    "ernie4_5_moe": (
        "ernie4_5_moe",
        {
            "moe_num_experts": EXPERTS,
            "moe_k": 2,
            "moe_intermediate_size": NARROW,
            "moe_num_shared_experts": 1,
            "moe_layer_start_index": 1,
        },
    ),
    "hunyuan_v1_moe": ("hunyuan_v1_moe", {"num_experts": EXPERTS, "moe_topk": 2, "head_dim": 8}),
    "minicpm3": ("minicpm3", _LATENT_Q),
    "youtu": ("youtu", _LATENT_Q),
}
MODELS |= {
    "granitemoehybrid": (
        "granitemoehybrid",
        {
            "num_local_experts": 0,
            "shared_intermediate_size": FFN,
            "layer_types": ["mamba", "attention"],
            "mamba_n_heads": 8,
            "mamba_d_head": 8,
            "mamba_d_state": 8,
        },
    ),
    "jamba": (
        "jamba",
        {
            "num_experts": EXPERTS,
            "num_experts_per_tok": 2,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "use_mamba_kernels": False,
        },
    ),
    "falcon_h1": (
        "falcon_h1",
        {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1},
    ),
    "lfm2": (
        "lfm2",
        {"layer_types": ["conv", "full_attention"], "block_ff_dim": FFN, "block_auto_adjust_ff_dim": False},
    ),
}
_LINEAR = {
    "head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
_SHARED = {**_FEW, "shared_expert_intermediate_size": 20}
_HEADS_OF_8 = {**_DEEPSEEK, "head_dim": 8}
MODELS |= {
    "qwen3_next": ("qwen3_next", {**_SHARED, **_LINEAR}),
    "qwen3_5_text": ("qwen3_5_text", _LINEAR),
    "qwen3_5_moe_text": ("qwen3_5_moe_text", {**_SHARED, **_LINEAR}),
    "lfm2_moe": (
        "lfm2_moe",
        {**_FEW, "layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    ),
    "bamba": (
        "bamba",
        {"attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8},
    ),
    "nemotron_h": (
        "nemotron_h",
        {
            "num_hidden_layers": 4,
            "layers_block_type": ["mamba", "attention", "mlp", "moe"],
            "mamba_num_heads": 4,
            "mamba_head_dim": 8,
            "ssm_state_size": 8,
            "n_groups": 1,
            "head_dim": 8,
            "n_routed_experts": EXPERTS,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": NARROW,
            "moe_shared_expert_intermediate_size": 20,
        },
    ),
    "glm4_moe_lite": ("glm4_moe_lite", {**_DEEPSEEK, **_LATENT_Q}),
    "deepseek_v32": (
        "deepseek_v32",
        {**_DEEPSEEK, **_LATENT_Q, "index_n_heads": 2, "index_head_dim": 8, "index_topk": 64},
    ),
    "glm_moe_dsa": (
        "glm_moe_dsa",
        {**_DEEPSEEK, **_LATENT_Q, "index_n_heads": 2, "index_head_dim": 8, "index_topk": 64},
    ),
    "dots1": ("dots1", _HEADS_OF_8),
    "exaone_moe": ("exaone_moe", {**_HEADS_OF_8, "num_experts": EXPERTS, "num_shared_experts": 1}),
    "solar_open": ("solar_open", _HEADS_OF_8),
    "minimax_m2": ("minimax_m2", {**_LOCAL, "head_dim": 8, "rotary_dim": 4}),
    "hy_v3": (
        "hy_v3",
        {**_FEW, "head_dim": 8, "num_shared_experts": 1, "first_k_dense_replace": 1},
    ),
    "granitemoeshared": ("granitemoeshared", {**_LOCAL, "shared_intermediate_size": 20}),
}
HYBRID = (
    *("granitemoehybrid", "granitemoehybrid-experts", "jamba", "falcon_h1", "lfm2", "lfm2_moe", "bamba"),
    *("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text", "nemotron_h"),
)
"""Their other mixers are left as they are: only attention and FFNs are rewritten."""
MODELS["granitemoehybrid-experts"] = (
    "granitemoehybrid",
    {**MODELS["granitemoehybrid"][1], **_LOCAL, "intermediate_size": NARROW},
)
UNIT_UP = ("gpt_oss", "nemotron_h")
"""Their experts add one to up or square it, so that no inverse scales can stand in up and down."""


@torch.no_grad()
def random_model(name: str, seed: int = 0, **overrides: Any) -> Any:
    """The model in float64, with zero biases, random gains, and attention far from uniform."""
    model_type, changes = MODELS[name]
    config = transformers.AutoConfig.for_model(
        model_type, **{**_SIZES, "rope_parameters": dict(_ROPE), **changes, **overrides}
    )
    model = transformers.AutoModelForCausalLM.from_config(config).double().eval()
    generator = torch.Generator().manual_seed(seed)
    for path, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        if path.endswith("bias") or path.endswith("sinks"):
            values = torch.zeros_like(values)
        elif parameter.ndim == 1:
            values = 1 + 0.3 * values.clamp(-2.5, 2.5)
        elif "embed" not in path:
            values = 1.2 * values / parameter.shape[-1] ** 0.5
        parameter.copy_(values)
    return model
