"""Encoders. BERT-like ones have a LayerNorm after each residual sum, whose gain is part of the residual path."""

from __future__ import annotations

from dataclasses import replace

from huref.common.errors import Unsupported
from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.architectures.entry import Architecture

BERT = Architecture(
    family="bert",
    model_types=("bert", "roberta", "xlm-roberta", "camembert"),
    prefixes=("", "bert.", "roberta.", "model."),
    embedding="embeddings.word_embeddings",
    block="encoder.layer.{i}.",
    q="attention.self.query",
    k="attention.self.key",
    v="attention.self.value",
    o="attention.output.dense",
    up="intermediate.dense",
    down="output.dense",
    norm="layer",
    norm_position="post",
    attn_norm="attention.output.LayerNorm",
    ffn_norm="output.LayerNorm",
    embedding_norm="embeddings.LayerNorm",
)


def _electra(entry: Architecture, config: Config) -> Architecture:
    """Small models embed into fewer dimensions and then project: the norm in between is not the first block's."""
    width = config.integer("embedding_size")
    if width is None or width == config.required("hidden_size"):
        return entry
    return replace(entry, embedding_projection="embeddings_project", embedding_norm=None)


ELECTRA = replace(BERT, family="electra", model_types=("electra",), prefixes=("electra.", ""), adapt=_electra)


def _deberta(entry: Architecture, config: Config) -> Architecture:
    """Some versions norm word embeddings alone, project them, or put a convolution behind the first block."""
    if config.get("conv_kernel_size"):
        raise Unsupported(f"{config.source}: DeBERTa with a convolution behind its first block is not read")
    width = config.integer("embedding_size")
    if width is not None and width != config.required("hidden_size"):
        entry = replace(entry, embedding_projection="embeddings.embed_proj")
    if not config.flag("position_biased_input", True) and not config.get("type_vocab_size"):
        entry = replace(entry, row_norm="embeddings.LayerNorm")
    return entry


DEBERTA = replace(
    BERT,
    family="deberta",
    model_types=("deberta-v2",),
    prefixes=("deberta.", ""),
    q="attention.self.query_proj",
    k="attention.self.key_proj",
    v="attention.self.value_proj",
    ignored=(
        "attention.self.pos_*proj.weight",
    ),  # of relative positions, where they are not shared with q and k
    adapt=_deberta,
)

MPNET = replace(
    BERT,
    family="mpnet",
    model_types=("mpnet",),
    prefixes=("mpnet.", ""),
    q="attention.attn.q",
    k="attention.attn.k",
    v="attention.attn.v",
    o="attention.attn.o",
    attn_norm="attention.LayerNorm",
)

DISTILBERT = replace(
    BERT,
    family="distilbert",
    model_types=("distilbert",),
    prefixes=("distilbert.", ""),
    block="transformer.layer.{i}.",
    q="attention.q_lin",
    k="attention.k_lin",
    v="attention.v_lin",
    o="attention.out_lin",
    up="ffn.lin1",
    down="ffn.lin2",
    attn_norm="sa_layer_norm",
    ffn_norm="output_layer_norm",
)


def _albert(entry: Architecture, config: Config) -> Architecture:
    if (config.integer("inner_group_num") or 1) > 1:
        raise Unsupported(f"{config.source}: ALBERT with several blocks in a group is not read")
    return entry


ALBERT = replace(
    BERT,
    family="albert",
    model_types=("albert",),
    prefixes=("albert.", ""),
    block="encoder.albert_layer_groups.{i}.albert_layers.0.",
    shared_blocks=True,
    q="attention.query",
    k="attention.key",
    v="attention.value",
    o="attention.dense",
    up="ffn",
    down="ffn_output",
    attn_norm="attention.LayerNorm",
    ffn_norm="full_layer_layer_norm",
    embedding_norm=None,  # it acts before the projection
    embedding_projection="encoder.embedding_hidden_mapping_in",
    adapt=_albert,
)

NOMIC = replace(
    BERT,
    family="nomic_bert",
    model_types=("nomic_bert",),
    prefixes=("nomic_bert.", "bert.", ""),
    block="encoder.layers.{i}.",
    q=None,
    k=None,
    v=None,
    qkv="attn.Wqkv",
    o="attn.out_proj",
    up="mlp.fc11",
    gate="mlp.fc12",
    down="mlp.fc2",
    attn_norm="norm1",
    ffn_norm="norm2",
    embedding_norm="emb_ln",
    rotary="half",
)

MODERNBERT = Architecture(
    family="modernbert",
    model_types=("modernbert",),
    prefixes=("model.", ""),
    embedding="embeddings.tok_embeddings",
    block="layers.{i}.",
    qkv="attn.Wqkv",
    o="attn.Wo",
    gate_up="mlp.Wi",
    down="mlp.Wo",
    norm="layer",
    attn_norm="attn_norm",
    ffn_norm="mlp_norm",
    row_norm="embeddings.norm",
    rotary="half",
    optional=("attn_norm",),  # the first block reads the embedding's norm
)

T5 = Architecture(
    family="t5",
    model_types=("t5", "mt5", "umt5"),
    prefixes=("",),
    embedding="shared",
    block="encoder.block.{i}.",
    q="layer.0.SelfAttention.q",
    k="layer.0.SelfAttention.k",
    v="layer.0.SelfAttention.v",
    o="layer.0.SelfAttention.o",
    up="layer.1.DenseReluDense.wi",
    down="layer.1.DenseReluDense.wo",
    norm="rms",
    attn_norm="layer.0.layer_norm",
    ffn_norm="layer.1.layer_norm",
    ignored=("layer.0.SelfAttention.relative_attention_bias.weight",),
)
T5_GATED = replace(T5, up="layer.1.DenseReluDense.wi_1", gate="layer.1.DenseReluDense.wi_0")

ARCHITECTURES: tuple[Architecture, ...] = (
    *(BERT, ELECTRA, DEBERTA, MPNET, DISTILBERT, ALBERT, NOMIC, MODERNBERT, T5, T5_GATED),
    *(replace(entry, embedding="encoder.embed_tokens") for entry in (T5, T5_GATED)),
)
