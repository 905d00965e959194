"""GGUF's tensor names: one scheme for all architectures, so entries differ in a few facts only.

GGUF converters undo most layouts: fused q,k,v is always "concat", Conv1D is stored (out, in), Gemma's 1+γ
is stored as such. LLaMA-like q,k rows are permuted so that rotary planes are interleaved; we undo it.
"""

from __future__ import annotations

from dataclasses import replace

from prover.architectures.entry import Architecture

_GATED = Architecture(
    family="llama",
    model_types=("llama", "smollm3"),
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
    rotary="half",
    rotary_permuted=True,
)
_BERT = replace(
    _GATED,
    family="bert",
    model_types=("bert",),
    gate=None,
    norm="layer",
    norm_position="post",
    attn_norm="attn_output_norm",
    ffn_norm="layer_output_norm",
    embedding_norm="token_embd_norm",
    rotary=None,
    rotary_permuted=False,
)

ARCHITECTURES: tuple[Architecture, ...] = (_GATED, _BERT)
