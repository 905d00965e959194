"""Decoders with LayerNorm before each sub-layer, from GPT-2 to StableLM."""

from __future__ import annotations

from dataclasses import replace

from huref.common.errors import Unsupported
from huref.prover.checkpoint.architectures.config import HEADS, Config
from huref.prover.checkpoint.architectures.entry import Architecture

GPT2 = Architecture(
    family="gpt2",
    model_types=("gpt2",),
    prefixes=("transformer.", ""),
    embedding="wte",
    block="h.{i}.",
    qkv="attn.c_attn",
    o="attn.c_proj",
    up="mlp.c_fc",
    down="mlp.c_proj",
    transposed=True,
    norm="layer",
    attn_norm="ln_1",
    ffn_norm="ln_2",
    head="lm_head",
    final_norm="ln_f",
    positions="wpe",
)


def _bigcode(entry: Architecture, config: Config) -> Architecture:
    return (
        replace(entry, kv_heads=1)
        if config.flag("multi_query", True)
        else replace(entry, qkv_layout="grouped")
    )


GPT_BIGCODE = replace(
    GPT2, family="gpt_bigcode", model_types=("gpt_bigcode",), transposed=False, adapt=_bigcode
)

GPT_NEO = replace(
    GPT2,
    family="gpt_neo",
    model_types=("gpt_neo",),
    qkv=None,
    q="attn.attention.q_proj",
    k="attn.attention.k_proj",
    v="attn.attention.v_proj",
    o="attn.attention.out_proj",
    transposed=False,
    positions=None,  # its attention is local in every second layer
)

GPTJ = replace(
    GPT_NEO,
    family="gptj",
    model_types=("gptj",),
    q="attn.q_proj",
    k="attn.k_proj",
    v="attn.v_proj",
    o="attn.out_proj",
    up="mlp.fc_in",
    down="mlp.fc_out",
    ffn_norm="ln_1",
    parallel=True,
    rotary="interleaved",
)


def _neox(entry: Architecture, config: Config) -> Architecture:
    return replace(entry, parallel=config.flag("use_parallel_residual", True))


GPT_NEOX = Architecture(
    family="gpt_neox",
    model_types=("gpt_neox",),
    prefixes=("gpt_neox.", ""),
    embedding="embed_in",
    block="layers.{i}.",
    qkv="attention.query_key_value",
    qkv_layout="grouped",
    o="attention.dense",
    up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
    norm="layer",
    attn_norm="input_layernorm",
    ffn_norm="post_attention_layernorm",
    head="embed_out",
    final_norm="final_layer_norm",
    rotary="half",
    rotary_fraction=0.25,
    adapt=_neox,
)


def _opt(entry: Architecture, config: Config) -> Architecture:
    if not config.flag("do_layer_norm_before", True):  # OPT-350m
        entry = replace(entry, norm_position="post", final_norm=None)
    if not config.flag("layer_norm_elementwise_affine", True):
        entry = replace(entry, attn_norm=None, ffn_norm=None, final_norm=None)
    width = config.integer("word_embed_proj_dim")
    if width is not None and width != config.required("hidden_size"):
        entry = replace(entry, embedding_projection="project_in", head=None)
    return entry


OPT = Architecture(
    family="opt",
    model_types=("opt",),
    prefixes=("model.decoder.", "decoder.", ""),
    embedding="embed_tokens",
    block="layers.{i}.",
    q="self_attn.q_proj",
    k="self_attn.k_proj",
    v="self_attn.v_proj",
    o="self_attn.out_proj",
    up="fc1",
    down="fc2",
    norm="layer",
    attn_norm="self_attn_layer_norm",
    ffn_norm="final_layer_norm",
    head="lm_head",
    final_norm="final_layer_norm",
    adapt=_opt,
)


def _kept_residual(entry: Architecture, config: Config) -> Architecture:
    kept = config.flag("apply_residual_connection_post_layernorm")
    return replace(entry, norm_position="kept") if kept else entry


BLOOM = Architecture(
    family="bloom",
    model_types=("bloom",),
    prefixes=("transformer.", ""),
    embedding="word_embeddings",
    block="h.{i}.",
    qkv="self_attention.query_key_value",
    qkv_layout="grouped",
    o="self_attention.dense",
    up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
    norm="layer",
    attn_norm="input_layernorm",
    ffn_norm="post_attention_layernorm",
    row_norm="word_embeddings_layernorm",
    head="lm_head",
    final_norm="ln_f",
    adapt=_kept_residual,
)


def _falcon(entry: Architecture, config: Config) -> Architecture:
    """The three published layouts: falcon-rw (per head), falcon-7b (one kv head), falcon-40b (groups)."""
    if config.flag("alibi"):
        entry = replace(entry, rotary=None)
    if config.flag("new_decoder_architecture"):
        entry = replace(entry, parallel=True, ffn_norm="input_layernorm")
        if config.get("num_ln_in_parallel_attn") in (None, 2):
            entry = replace(entry, attn_norm="ln_attn", ffn_norm="ln_mlp")
        return entry
    entry = replace(entry, kv_heads=1 if config.flag("multi_query", True) else config.required(*HEADS))
    if config.flag("parallel_attn", True):
        return replace(entry, parallel=True, ffn_norm="input_layernorm")
    return _kept_residual(entry, config)


FALCON = replace(
    BLOOM,
    family="falcon",
    model_types=("falcon", "RefinedWeb", "RefinedWebModel"),
    row_norm=None,
    rotary="half",
    adapt=_falcon,
)


def _mpt(entry: Architecture, config: Config) -> Architecture:
    attention = config.get("attn_config")
    attention = Config(attention if isinstance(attention, dict) else {}, config.source)
    if attention.flag("qk_ln"):
        raise Unsupported(f"{config.source}: MPT with qk_ln is not supported")
    kv_heads = attention.integer("kv_n_heads")
    return replace(entry, kv_heads=kv_heads, rotary="half" if attention.flag("rope") else None)


MPT = Architecture(
    family="mpt",
    model_types=("mpt",),
    prefixes=("transformer.", ""),
    embedding="wte",
    block="blocks.{i}.",
    qkv="attn.Wqkv",
    o="attn.out_proj",
    up="ffn.up_proj",
    down="ffn.down_proj",
    norm="layer",
    attn_norm="norm_1",
    ffn_norm="norm_2",
    head="lm_head",
    final_norm="norm_f",
    adapt=_mpt,
)


def _stablelm(entry: Architecture, config: Config) -> Architecture:
    if config.flag("use_parallel_residual"):
        entry = replace(entry, parallel=True, ffn_norm=entry.attn_norm)
    if config.flag("qk_layernorm"):
        entry = replace(
            entry,
            q_norm="self_attn.q_layernorm.norms.{h}",
            k_norm="self_attn.k_layernorm.norms.{h}",
        )
    return entry


STABLELM = Architecture(
    family="stablelm",
    model_types=("stablelm", "stablelm_epoch"),
    prefixes=("model.", ""),
    embedding="embed_tokens",
    block="layers.{i}.",
    q="self_attn.q_proj",
    k="self_attn.k_proj",
    v="self_attn.v_proj",
    o="self_attn.o_proj",
    up="mlp.up_proj",
    gate="mlp.gate_proj",
    down="mlp.down_proj",
    norm="layer",
    attn_norm="input_layernorm",
    ffn_norm="post_attention_layernorm",
    head="lm_head",
    final_norm="norm",
    rotary="half",
    rotary_fraction=0.25,
    adapt=_stablelm,
)

STARCODER2 = replace(
    STABLELM,
    family="starcoder2",
    model_types=("starcoder2",),
    up="mlp.c_fc",
    gate=None,
    down="mlp.c_proj",
    rotary_fraction=1.0,
    adapt=None,
)


def _phi(entry: Architecture, config: Config) -> Architecture:
    if config.flag("qk_layernorm"):
        return replace(entry, q_norm="self_attn.q_layernorm", k_norm="self_attn.k_layernorm")
    return entry


PHI = replace(
    STABLELM,
    family="phi",
    model_types=("phi",),
    o="self_attn.dense",
    up="mlp.fc1",
    gate=None,
    down="mlp.fc2",
    ffn_norm="input_layernorm",
    final_norm="final_layernorm",
    parallel=True,
    rotary_fraction=0.5,
    adapt=_phi,
)


def _cohere(entry: Architecture, config: Config) -> Architecture:
    if config.flag("use_qk_norm"):
        return replace(entry, q_norm="self_attn.q_norm", k_norm="self_attn.k_norm")
    return entry


COHERE = replace(
    STABLELM,
    family="cohere",
    model_types=("cohere",),
    ffn_norm="input_layernorm",
    parallel=True,
    rotary="interleaved",
    rotary_fraction=1.0,
    adapt=_cohere,
)

ARCHITECTURES: tuple[Architecture, ...] = (
    *(GPT2, GPT_BIGCODE, GPT_NEO, GPTJ, GPT_NEOX, OPT, BLOOM, FALCON, MPT),
    *(STABLELM, STARCODER2, PHI, COHERE),
)
