"""Mixtures of experts: the attention of a dense family, and routed experts with or without a shared one."""

from __future__ import annotations

from dataclasses import replace

from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.architectures.entry import Architecture, Experts, Latent
from huref.prover.checkpoint.architectures.llama_like import LLAMA, QWEN3
from huref.prover.checkpoint.architectures.recent import (
    HUNYUAN,
    INTERLEAVED,
    full_unrotated,
    listed_unrotated,
)

_QWEN = Experts(
    router="mlp.gate",
    gate="mlp.experts.{e}.gate_proj",
    up="mlp.experts.{e}.up_proj",
    down="mlp.experts.{e}.down_proj",
)
QWEN2_EXPERTS = replace(
    _QWEN,
    shared_gate="mlp.shared_expert.gate_proj",
    shared_up="mlp.shared_expert.up_proj",
    shared_down="mlp.shared_expert.down_proj",
)
_DEEPSEEK = replace(
    _QWEN,
    shared_gate="mlp.shared_experts.gate_proj",
    shared_up="mlp.shared_experts.up_proj",
    shared_down="mlp.shared_experts.down_proj",
)
_MIXTRAL = Experts(
    router="block_sparse_moe.gate",
    gate="block_sparse_moe.experts.{e}.w1",
    up="block_sparse_moe.experts.{e}.w3",
    down="block_sparse_moe.experts.{e}.w2",
)
GRANITE = Experts(
    router="block_sparse_moe.router.layer",
    gate_up="block_sparse_moe.input_linear.weight",
    down="block_sparse_moe.output_linear.weight",
    stacked="rows",
)
_GPT_OSS = Experts(
    router="mlp.router",
    gate_up="mlp.experts.gate_up_proj",
    down="mlp.experts.down_proj",
    stacked="columns",
    fused="turns",
    unit_up=True,
)
_LLAMA4 = Experts(
    router="feed_forward.router",
    gate_up="feed_forward.experts.gate_up_proj",
    down="feed_forward.experts.down_proj",
    stacked="columns",
    softmax=False,
    shared_gate="feed_forward.shared_expert.gate_proj",
    shared_up="feed_forward.shared_expert.up_proj",
    shared_down="feed_forward.shared_expert.down_proj",
)
_HUNYUAN = replace(
    _QWEN,
    router="mlp.gate.wg",
    shared_gate="mlp.shared_mlp.gate_proj",
    shared_up="mlp.shared_mlp.up_proj",
    shared_down="mlp.shared_mlp.down_proj",
)
_CORRECTION = "*e_score_correction_bias"  # chooses experts, weighs none


def _latents(entry: Architecture, config: Config) -> Architecture:
    """Small DeepSeek models have no latent for queries; `rope_interleave` says how rotary planes lie."""
    if not config.flag("rope_interleave", True):
        entry = replace(entry, rotary="half")
    if config.get("q_lora_rank"):
        return entry
    return replace(entry, q="self_attn.q_proj", latent=replace(Latent(), q_a=None, q_a_norm=None, q_b=None))


def _glm(entry: Architecture, config: Config) -> Architecture:
    if config.flag("use_qk_norm"):
        return replace(entry, q_norm="self_attn.q_norm", k_norm="self_attn.k_norm")
    return entry


def _llama4(entry: Architecture, config: Config) -> Architecture:
    return replace(entry, qk_normed=config.flag("use_qk_norm", True))


_LATENT = replace(LLAMA, q=None, k=None, v=None, latent=Latent(), rotary="interleaved", adapt=_latents)

MIXTRAL = replace(LLAMA, family="mixtral", model_types=("mixtral",), experts=_MIXTRAL)
QWEN2_MOE = replace(
    LLAMA,
    family="qwen2_moe",
    model_types=("qwen2_moe",),
    experts=QWEN2_EXPERTS,
    ignored=("mlp.shared_expert_gate.weight",),
)
QWEN3_MOE = replace(QWEN3, family="qwen3_moe", model_types=("qwen3_moe", "qwen3_vl_moe_text"), experts=_QWEN)
OLMOE = replace(QWEN3, family="olmoe", model_types=("olmoe",), experts=_QWEN, whole_norm=True)
GRANITEMOE = replace(LLAMA, family="granitemoe", model_types=("granitemoe",), experts=GRANITE)
PHIMOE = replace(LLAMA, family="phimoe", model_types=("phimoe",), norm="layer", experts=_MIXTRAL)
DEEPSEEK_V2 = replace(_LATENT, family="deepseek_v2", model_types=("deepseek_v2",), experts=_DEEPSEEK)
DEEPSEEK_V3 = replace(
    _LATENT,
    family="deepseek_v3",
    model_types=("deepseek_v3", "kimi_k2"),
    experts=replace(_DEEPSEEK, softmax=False),
    ignored=(_CORRECTION,),
)
GLM4_MOE = replace(
    LLAMA,
    family="glm4_moe",
    model_types=("glm4_moe",),
    experts=replace(_DEEPSEEK, softmax=False),
    rotary_fraction=0.5,
    ignored=(_CORRECTION,),
    adapt=_glm,
)
GPT_OSS = replace(
    LLAMA,
    family="gpt_oss",
    model_types=("gpt_oss",),
    experts=_GPT_OSS,
    ignored=("self_attn.sinks",),
)
LLAMA4 = replace(
    LLAMA,
    family="llama4",
    model_types=("llama4_text",),
    up="feed_forward.up_proj",
    gate="feed_forward.gate_proj",
    down="feed_forward.down_proj",
    experts=_LLAMA4,
    rotary="interleaved",
    unrotated=listed_unrotated,
    adapt=_llama4,
)
MINIMAX = replace(
    LLAMA,
    family="minimax",
    model_types=("minimax",),
    norm_position="kept",
    experts=_MIXTRAL,
    other_mixer="self_attn.qkv_proj",
    ignored=(
        *(f"self_attn.{name}.weight" for name in ("qkv_proj", "out_proj", "norm", "output_gate")),
        *("self_attn.slope_rate", "self_attn.*_decay"),
    ),
)
ERNIE4_5_MOE = replace(
    INTERLEAVED,
    family="ernie4_5_moe",
    model_types=("ernie4_5_moe",),
    experts=_DEEPSEEK,
    ignored=(_CORRECTION,),
)
HUNYUAN_MOE = replace(HUNYUAN, family="hunyuan_moe", model_types=("hunyuan_v1_moe",), experts=_HUNYUAN)
_SIGMOID = replace(_DEEPSEEK, softmax=False)
GLM4_MOE_LITE = replace(DEEPSEEK_V3, family="glm4_moe_lite", model_types=("glm4_moe_lite",))
# An indexer chooses which keys a token sees; it enters no term.
SPARSE_ATTENTION = replace(
    DEEPSEEK_V3,
    family="deepseek_v32",
    model_types=("deepseek_v32", "glm_moe_dsa"),
    ignored=(_CORRECTION, "self_attn.indexer.*"),
)
DOTS1 = replace(QWEN3, family="dots1", model_types=("dots1",), experts=_SIGMOID, ignored=(_CORRECTION,))
EXAONE_MOE = replace(DOTS1, family="exaone_moe", model_types=("exaone_moe",), unrotated=full_unrotated)
SOLAR_OPEN = replace(
    LLAMA, family="solar_open", model_types=("solar_open",), experts=_SIGMOID, ignored=(_CORRECTION,)
)
MINIMAX_M2 = replace(
    QWEN3,
    family="minimax_m2",
    model_types=("minimax_m2",),
    experts=replace(_MIXTRAL, softmax=False),
    whole_norm=True,
    ignored=(_CORRECTION,),
)
HY_V3 = replace(
    QWEN3,
    family="hy_v3",
    model_types=("hy_v3",),
    experts=replace(_HUNYUAN, router="mlp.router.gate", softmax=False),
    ignored=("mlp.expert_bias",),
)
GRANITEMOESHARED = replace(
    GRANITEMOE,
    family="granitemoeshared",
    model_types=("granitemoeshared",),
    experts=replace(
        GRANITE, shared_gate_up="shared_mlp.input_linear", shared_down="shared_mlp.output_linear"
    ),
)

ARCHITECTURES: tuple[Architecture, ...] = (
    *(GLM4_MOE_LITE, SPARSE_ATTENTION, DOTS1, EXAONE_MOE, SOLAR_OPEN, MINIMAX_M2, HY_V3, GRANITEMOESHARED),
    *(MIXTRAL, QWEN2_MOE, QWEN3_MOE, OLMOE, GRANITEMOE, PHIMOE, DEEPSEEK_V2, DEEPSEEK_V3, GLM4_MOE),
    *(GPT_OSS, LLAMA4, MINIMAX, ERNIE4_5_MOE, HUNYUAN_MOE),
)
