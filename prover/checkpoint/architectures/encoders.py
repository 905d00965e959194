"""BERT-like encoders: LayerNorm after each residual sum, its gain part of the residual path."""

from __future__ import annotations

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

ARCHITECTURES: tuple[Architecture, ...] = (BERT,)
