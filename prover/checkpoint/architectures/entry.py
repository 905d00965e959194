"""The declarative entry of an architecture: where its tensors are and how they are laid out.

Names are relative: full name = prefix + block.format(i=layer) + name + ".weight". Conventions:

- `qkv` fused layouts: "concat" stacks all q rows, then all k, then all v; "grouped" repeats, per kv head,
  its group of query heads, then its k head, then its v head. With kv_heads == heads the latter is the
  per-head interleaving of GPT-NeoX and BLOOM; with kv_heads == 1 it is Falcon's multi-query layout.
- `gate_up` fused: gate rows first, then up rows.
- `transposed`: linear weights are stored (in, out), as GPT-2's Conv1D does.
- `q_norm`, `k_norm` with "{h}" name one vector per head; otherwise one vector of length head_dim, or one
  matrix (heads, head_dim).
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
    up: str | None = None
    gate: str | None = None
    gate_up: str | None = None
    transposed: bool = False

    norm: Norm
    norm_position: Literal["pre", "post", "kept"] = "pre"
    attn_norm: str | None = None
    ffn_norm: str | None = None
    attn_output_norm: str | None = None
    ffn_output_norm: str | None = None
    q_norm: str | None = None
    k_norm: str | None = None
    gain_offset: float = 0.0
    embedding_norm: str | None = None  # norm on the sum of all embeddings ("post" models)
    row_norm: str | None = None  # LayerNorm directly on the token embedding (BLOOM)
    embedding_projection: str | None = None
    parallel: bool = False

    rotary: Rotary | None = None
    rotary_fraction: float = 1.0
    rotary_sections: int = 1
    rotary_permuted: bool = False  # q,k rows stored with interleaved planes, as GGUF's "llama" does
    kv_heads: int | None = None  # overrides the config

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
            *(self.q_norm, self.k_norm),
        )
        return tuple(name for name in names if name is not None and "{h}" not in name)
