"""GGUF's tensor names: one scheme for all architectures, so entries differ in a few facts only.

GGUF converters undo most layouts: fused q,k,v is always "concat", Conv1D is stored (out, in), Gemma's 1+γ
is stored as such. Where LLaMA's converter permuted q,k rows to interleave the rotary planes, we undo it.
An architecture may occur with fused or with separate q,k,v: the registry takes the entry that fits.
"""

from __future__ import annotations

from dataclasses import replace

from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.architectures.entry import Architecture
from huref.prover.checkpoint.architectures.recent import full_unrotated, listed_unrotated

LLAMA = Architecture(
    family="llama",
    model_types=("llama", "granite", "minicpm", "mistral3"),
    prefixes=("",),
    embedding="token_embd",
    block="blk.{i}.",
    q="attn_q",
    k="attn_k",
    v="attn_v",
    o="attn_output",
    up="ffn_up",
    gate="ffn_gate",
    down="ffn_down",
    norm="rms",
    attn_norm="attn_norm",
    ffn_norm="ffn_norm",
    head="output",
    final_norm="output_norm",
    rotary="half",
    rotary_permuted=True,
)


def _fused(entry: Architecture) -> Architecture:
    return replace(entry, q=None, k=None, v=None, qkv="attn_qkv")


def _gate_up(entry: Architecture) -> Architecture:
    return replace(entry, up=None, gate=None, gate_up="ffn_up")


def _baichuan(entry: Architecture, config: Config) -> Architecture:
    # the 13B models (40 heads) use ALiBi; the permutation is then still there, and harmless to undo
    return replace(entry, rotary=None) if config.integer("num_attention_heads") == 40 else entry


def _parallel(entry: Architecture, config: Config) -> Architecture:
    return replace(entry, parallel=config.flag("use_parallel_residual", True))


def _stablelm(entry: Architecture, config: Config) -> Architecture:
    if config.flag("use_parallel_residual"):
        return replace(entry, parallel=True, ffn_norm="attn_norm")
    return entry


PLAIN = replace(LLAMA, model_types=("qwen2", "qwen2vl"), rotary_permuted=False)
QWEN3 = replace(PLAIN, family="qwen3", model_types=("qwen3",), q_norm="attn_q_norm", k_norm="attn_k_norm")
_GEMMA2 = replace(
    PLAIN,
    family="gemma2",
    model_types=("gemma2",),
    attn_output_norm="post_attention_norm",
    ffn_output_norm="post_ffw_norm",
)
_PHI3 = _gate_up(replace(PLAIN, family="phi3", model_types=("phi3",)))
_CHATGLM = _gate_up(
    replace(PLAIN, family="chatglm", model_types=("chatglm",), rotary="interleaved", rotary_fraction=0.5)
)
_GLM4 = replace(
    _CHATGLM,
    family="glm4",
    model_types=("glm4",),
    attn_output_norm="post_attention_norm",
    ffn_output_norm="post_ffw_norm",
)

_GPT2 = replace(
    _fused(PLAIN),
    family="gpt2",
    model_types=("gpt2",),
    gate=None,
    norm="layer",
    rotary=None,
    positions="position_embd",
)
_GPTJ = replace(
    PLAIN,
    family="gptj",
    model_types=("gptj",),
    gate=None,
    norm="layer",
    ffn_norm="attn_norm",
    parallel=True,
    rotary="interleaved",
)
_NEOX = replace(
    _GPT2, family="gpt_neox", model_types=("gptneox",), rotary="half", positions=None, adapt=_parallel
)
_FALCON = replace(
    _NEOX, family="falcon", model_types=("falcon",), ffn_norm="attn_norm", parallel=True, adapt=None
)
_STABLELM = replace(
    PLAIN, family="stablelm", model_types=("stablelm",), norm="layer", rotary_fraction=0.25, adapt=_stablelm
)
_STABLELM_QK = replace(_STABLELM, q_norm="attn_q_norm", k_norm="attn_k_norm")
_PHI2 = replace(_GPTJ, family="phi", model_types=("phi2",), rotary="half", rotary_fraction=0.5)
_COHERE = replace(_GPTJ, family="cohere", model_types=("command-r",), gate="ffn_gate")
_COHERE_QK = replace(_COHERE, q_norm="attn_q_norm", k_norm="attn_k_norm")
_COHERE2 = replace(_COHERE, family="cohere2", model_types=("cohere2",), unrotated=full_unrotated)
_OLMO = replace(
    LLAMA, family="olmo", model_types=("olmo",), norm="layer", attn_norm=None, ffn_norm=None, final_norm=None
)
_OLMO2 = replace(
    PLAIN,
    family="olmo2",
    model_types=("olmo2",),
    attn_norm=None,
    ffn_norm=None,
    attn_output_norm="post_attention_norm",
    ffn_output_norm="post_ffw_norm",
    q_norm="attn_q_norm",
    k_norm="attn_k_norm",
    whole_norm=True,
)
_EXAONE4 = replace(
    _OLMO2, family="exaone4", model_types=("exaone4",), whole_norm=False, unrotated=full_unrotated
)
_ARCEE = replace(LLAMA, family="arcee", model_types=("arcee",), gate=None)
_NEMOTRON = replace(
    PLAIN, family="nemotron", model_types=("nemotron",), gate=None, norm="layer", rotary_fraction=0.5
)
_SMOLLM3 = replace(LLAMA, model_types=("smollm3",), unrotated=listed_unrotated)
_SEED = replace(PLAIN, family="llama", model_types=("seed_oss",), ffn_norm="post_attention_norm")
_HUNYUAN = replace(QWEN3, family="hunyuan", model_types=("hunyuan-dense",))
_APERTUS = replace(QWEN3, family="apertus", model_types=("apertus",), gate=None)
_BERT = replace(
    _GPT2,
    family="bert",
    model_types=("bert",),
    q="attn_q",
    k="attn_k",
    v="attn_v",
    qkv=None,
    norm_position="post",
    attn_norm="attn_output_norm",
    ffn_norm="layer_output_norm",
    head=None,
    final_norm=None,
    embedding_norm="token_embd_norm",
)

ARCHITECTURES: tuple[Architecture, ...] = (
    *(LLAMA, PLAIN, QWEN3, _GEMMA2, _PHI3, _fused(_PHI3), _CHATGLM, _fused(_CHATGLM), _GLM4),
    replace(LLAMA, family="internlm2", model_types=("internlm2",)),
    replace(LLAMA, family="baichuan", model_types=("baichuan",), adapt=_baichuan),
    _fused(replace(PLAIN, family="qwen", model_types=("qwen",))),
    replace(PLAIN, family="gemma", model_types=("gemma",)),
    replace(_GEMMA2, family="gemma3", model_types=("gemma3",), q_norm="attn_q_norm", k_norm="attn_k_norm"),
    *(_GPT2, _GPTJ, _NEOX, _STABLELM_QK, _STABLELM, _PHI2, _fused(_PHI2), _COHERE_QK, _COHERE, _BERT),
    *(_COHERE2, _OLMO, _OLMO2, _EXAONE4, _ARCEE, _NEMOTRON, _SMOLLM3, _SEED),
    *(_HUNYUAN, _APERTUS),
    replace(QWEN3, model_types=("qwen3vl",)),
    replace(_FALCON, attn_norm="attn_norm_2"),  # the 40b model, whose attention has its own norm
    _FALCON,
    replace(_GPT2, family="gpt_bigcode", model_types=("starcoder",)),
    replace(_GPT2, family="bloom", model_types=("bloom",), row_norm="token_embd_norm"),
    replace(_GPT2, family="mpt", model_types=("mpt",)),
    replace(PLAIN, family="starcoder2", model_types=("starcoder2",), gate=None, norm="layer"),
)
