"""The declarative entry of an architecture: where its tensors are and how they are laid out.

Names are relative: full name = prefix + block.format(i=layer) + name + ".weight". Conventions:

- `qkv` fused layouts: "concat" stacks all q rows, then all k, then all v; "grouped" repeats, per kv head,
  its group of query heads, then its k head, then its v head. With kv_heads == heads the latter is the
  per-head interleaving of GPT-NeoX and BLOOM; with kv_heads == 1 it is Falcon's multi-query layout.
- `gate_up` fused: gate rows first, then up rows.
- `transposed`: linear weights are stored (in, out), as GPT-2's Conv1D does.
- `q_norm`, `k_norm` with "{h}" name one vector per head; otherwise one vector of length head_dim, one
  matrix (heads, head_dim), or with `whole_norm` one vector over all heads.
- With `experts`, a layer that lacks the router is a dense one and has the names of `up`, `gate`, `down`.
- `head` names the language-model head from the start, whatever the prefix; where it is not stored and the config ties
  it, it is the embedding. `final_norm` is the norm before it, None where that norm has no gain.
- `norm_position`: "pre": the norm feeds only the sub-layer. "post": the norm follows the residual sum and
  `attn_norm`, `ffn_norm` name the norms *after* attention and FFN. "kept": the norm feeds both the
  sub-layer and the residual sum (ChatGLM-6B).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from huref.circuits.fingerprint.shape import Norm, Rotary
from huref.prover.checkpoint.architectures.config import Config


@dataclass(frozen=True, kw_only=True)
class Latent:
    """Attention through latents (DeepSeek): q = q_b(norm(q_a x)), or `Architecture.q` without latent queries.

    `kv_a` gives the latent of k and v, then the one key with positions that all heads share; `kv_b` gives per head the
    key without positions, then the value. In place of `kv_b` GGUF may have `k_b` (heads, latent, rows) and `v_b`
    (heads, rows, latent).
    """

    q_a: str | None = "self_attn.q_a_proj"
    q_a_norm: str | None = "self_attn.q_a_layernorm"
    q_b: str | None = "self_attn.q_b_proj"
    kv_a: str = "self_attn.kv_a_proj_with_mqa"
    kv_a_norm: str = "self_attn.kv_a_layernorm"
    kv_b: str | None = "self_attn.kv_b_proj"
    k_b: str | None = None
    v_b: str | None = None

    def names(self) -> tuple[str, ...]:
        """Relative names of its tensors."""
        names = (self.q_a, self.q_a_norm, self.q_b, self.kv_a, self.kv_a_norm, self.kv_b, self.k_b, self.v_b)
        return tuple(name for name in names if name is not None)


@dataclass(frozen=True, kw_only=True)
class Experts:
    """The mixture of experts of a layer. Weights are named "{e}" one by one, or all experts are one tensor.

    `stacked`: how that one tensor lies: "rows" (E, out, in), "columns" (E, in, out).
    `fused`: order of a tensor with gate and up: gate first, or row by row in turn.
    `softmax`: the router's scores pass a softmax, so that a common shift has no effect.
    `unit_up`: a constant is added to up, so that no scale can move between up and down.
    """

    router: str
    down: str
    gate: str | None = None
    up: str | None = None
    gate_up: str | None = None
    stacked: Literal["rows", "columns"] | None = None
    fused: Literal["halves", "turns"] = "halves"
    softmax: bool = True
    unit_up: bool = False
    shared_gate: str | None = None
    shared_up: str | None = None
    shared_gate_up: str | None = None
    shared_down: str | None = None


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One family. See the module docstring for the conventions; None means "has no such tensor"."""

    family: str
    model_types: tuple[str, ...]
    prefixes: tuple[str, ...]
    embedding: str
    block: str
    o: str
    down: str
    q: str | None = None
    k: str | None = None
    v: str | None = None
    qkv: str | None = None
    qkv_layout: Literal["concat", "grouped"] = "concat"
    latent: Latent | None = None
    up: str | None = None
    gate: str | None = None
    gate_up: str | None = None
    experts: Experts | None = None
    transposed: bool = False

    norm: Norm
    norm_position: Literal["pre", "post", "kept"] = "pre"
    attn_norm: str | None = None
    ffn_norm: str | None = None
    attn_output_norm: str | None = None
    ffn_output_norm: str | None = None
    q_norm: str | None = None
    k_norm: str | None = None
    qk_normed: bool = False  # q and k pass a norm without gains
    whole_norm: bool = False  # the norm on q and k sees all heads at once
    gain_offset: float = 0.0
    embedding_norm: str | None = None  # norm on the sum of all embeddings ("post" models)
    row_norm: str | None = None  # LayerNorm directly on the token embedding (BLOOM)
    embedding_projection: str | None = None
    head: str | None = None
    final_norm: str | None = None
    positions: str | None = None  # learned position embedding, behind the prefix
    parallel: bool = False

    rotary: Rotary | None = None
    rotary_fraction: float = 1.0
    rotary_sections: int = 1
    rotary_permuted: bool = False  # q,k rows stored with interleaved planes, as GGUF's "llama" does
    unrotated: Callable[[Config, int], bool] | None = None  # whether a layer has no rotary embedding
    other_mixer: str | None = None  # a weight of the layers that have something else in place of attention
    q_gate: bool = False  # every head's rows of q are followed by as many that gate what the head reads
    alone: bool = False  # a layer is an attention, an FFN or another mixer, and nothing else
    beside: bool = False  # attention is not the only mixer of a layer
    shared_blocks: bool = False  # layers share blocks, config num_hidden_groups of them
    kv_heads: int | None = None  # overrides the config
    ignored: tuple[str, ...] = ()  # patterns of further tensors of a block that enter no term
    optional: tuple[str, ...] = ()  # names that some layers lack

    adapt: Callable[[Architecture, Config], Architecture] | None = None  # variants the config selects

    @property
    def gated(self) -> bool:
        """Whether the FFN multiplies by a gate branch."""
        return self.gate is not None or self.gate_up is not None

    def block_names(self) -> tuple[str, ...]:
        """Relative names of all tensors of a block, per-head ones excepted."""
        names = (
            *(self.q, self.k, self.v, self.qkv, self.o, self.up, self.gate, self.gate_up, self.down),
            *(self.attn_norm, self.ffn_norm, self.attn_output_norm, self.ffn_output_norm),
            *(self.q_norm, self.k_norm, *(self.latent.names() if self.latent else ())),
        )
        return tuple(name for name in names if name is not None and "{h}" not in name)
