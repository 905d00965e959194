"""GGUF's names of mixtures of experts, of attention through latents and of hybrids.

Experts are stacked, rows first; gate and up are apart even where the Hugging Face files fuse them.
"""

from __future__ import annotations

from dataclasses import replace

from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.architectures.entry import Architecture, Experts, Latent
from huref.prover.checkpoint.architectures.gguf_names import LLAMA, PLAIN, QWEN3
from huref.prover.checkpoint.architectures.recent import full_unrotated, listed_unrotated

EXPERTS = Experts(
    router="ffn_gate_inp",
    gate="ffn_gate_exps.weight",
    up="ffn_up_exps.weight",
    down="ffn_down_exps.weight",
    stacked="rows",
    shared_gate="ffn_gate_shexp",
    shared_up="ffn_up_shexp",
    shared_down="ffn_down_shexp",
)
_SIGMOID = replace(EXPERTS, softmax=False)
_SIGMOID_SCORES = 2  # GGUF's number of that gating function
_UNTHINNED = 128  # experts of the Llama 4 without norms on q and k


def _deepseek(entry: Architecture, config: Config) -> Architecture:
    latent = entry.latent
    assert latent is not None
    if config.get("expert_gating_func") == _SIGMOID_SCORES:
        entry = replace(entry, experts=_SIGMOID)
    if config.get("q_lora_rank"):
        return entry
    return replace(entry, q="attn_q", latent=replace(latent, q_a=None, q_a_norm=None, q_b=None))


def _glm(entry: Architecture, config: Config) -> Architecture:
    return replace(entry, ignored=("nextn.*",)) if config.get("num_nextn_predict_layers") else entry


def _llama4(entry: Architecture, config: Config) -> Architecture:
    return replace(entry, qk_normed=config.integer("num_experts") != _UNTHINNED)


MIXTRAL = replace(LLAMA, family="mixtral", experts=EXPERTS)
QWEN2_MOE = replace(
    PLAIN,
    family="qwen2_moe",
    model_types=("qwen2moe",),
    experts=EXPERTS,
    ignored=("ffn_gate_inp_shexp.weight",),
)
QWEN3_MOE = replace(QWEN3, family="qwen3_moe", model_types=("qwen3moe", "qwen3vlmoe"), experts=EXPERTS)
OLMOE = replace(QWEN3, family="olmoe", model_types=("olmoe",), experts=EXPERTS, whole_norm=True)
GRANITEMOE = replace(LLAMA, family="granitemoe", model_types=("granitemoe",), experts=EXPERTS)
PHIMOE = replace(PLAIN, family="phimoe", model_types=("phimoe",), norm="layer", experts=EXPERTS)
DOTS1 = replace(QWEN3, family="dots1", model_types=("dots1",), experts=_SIGMOID)
MINIMAX_M2 = replace(DOTS1, family="minimax_m2", model_types=("minimax-m2",), whole_norm=True)
EXAONE_MOE = replace(DOTS1, family="exaone_moe", model_types=("exaone-moe",), unrotated=full_unrotated)
HUNYUAN_MOE = replace(QWEN3, family="hunyuan_moe", model_types=("hunyuan-moe",), experts=EXPERTS)
GPT_OSS = replace(
    PLAIN,
    family="gpt_oss",
    model_types=("gpt-oss",),
    ffn_norm="post_attention_norm",
    experts=replace(EXPERTS, unit_up=True),
    ignored=("attn_sinks.weight",),
)
GLM4_MOE = replace(
    PLAIN,
    family="glm4_moe",
    model_types=("glm4moe",),
    ffn_norm="post_attention_norm",
    experts=_SIGMOID,
    rotary_fraction=0.5,
    adapt=_glm,
)
GLM4_MOE_QK = replace(GLM4_MOE, q_norm="attn_q_norm", k_norm="attn_k_norm")
LLAMA4 = replace(
    PLAIN,
    family="llama4",
    model_types=("llama4",),
    experts=_SIGMOID,
    rotary="interleaved",
    unrotated=listed_unrotated,
    adapt=_llama4,
)
ERNIE4_5 = replace(PLAIN, family="ernie4_5", model_types=("ernie4_5",), rotary="interleaved")
ERNIE4_5_MOE = replace(ERNIE4_5, family="ernie4_5_moe", model_types=("ernie4_5-moe",), experts=EXPERTS)
_LATENT = Latent(
    q_a="attn_q_a",
    q_a_norm="attn_q_a_norm",
    q_b="attn_q_b",
    kv_a="attn_kv_a_mqa",
    kv_a_norm="attn_kv_a_norm",
    kv_b="attn_kv_b",
)
MINICPM3 = replace(
    PLAIN, family="minicpm3", model_types=("minicpm3",), q=None, k=None, v=None, latent=_LATENT
)
DEEPSEEK2 = replace(
    MINICPM3,
    family="deepseek_v2",
    model_types=("deepseek2",),
    rotary="interleaved",
    experts=EXPERTS,
    adapt=_deepseek,
)
DEEPSEEK2_SPLIT = replace(DEEPSEEK2, latent=replace(_LATENT, kv_b=None, k_b="attn_k_b", v_b="attn_v_b"))
LFM2 = replace(
    QWEN3,
    family="lfm2",
    model_types=("lfm2",),
    final_norm="token_embd_norm",
    other_mixer="shortconv.in_proj",
    ignored=("shortconv.*",),
)
LFM2_MOE = replace(LFM2, family="lfm2_moe", model_types=("lfm2moe",), experts=_SIGMOID)
JAMBA = replace(
    PLAIN,
    family="jamba",
    model_types=("jamba",),
    rotary=None,
    experts=EXPERTS,
    other_mixer="ssm_in",
    ignored=("ssm_*",),
)

ARCHITECTURES: tuple[Architecture, ...] = (
    *(MIXTRAL, QWEN2_MOE, QWEN3_MOE, OLMOE, GRANITEMOE, PHIMOE, DOTS1, MINIMAX_M2, EXAONE_MOE, HUNYUAN_MOE),
    *(GPT_OSS, GLM4_MOE, GLM4_MOE_QK, LLAMA4, ERNIE4_5, ERNIE4_5_MOE, MINICPM3, DEEPSEEK2, DEEPSEEK2_SPLIT),
    *(LFM2, LFM2_MOE, JAMBA),
)
