"""The public facts about a model's shape: part of the proof's statement, so plain Python and validated.

Nothing here says how a file stores the model (fused tensors, transposed weights, 1+γ gains): two files of
the same model have the same shape (protocol §2, fingerprint §2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, cast, get_args

from huref.common.errors import Malformed
from huref.common.text import IDENTIFIER, shorten

Norm = Literal["rms", "layer"]
NormPosition = Literal["pre", "post"]
Rotary = Literal["half", "interleaved"]

MAX_DIMENSION = 1 << 24  # far above any model; keeps sizes derived from a hostile statement small


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Shape of a transformer, as the fingerprint program needs it. Raises `Malformed` when inconsistent.

    `norm`: "layer" subtracts the mean over the hidden dimension, "rms" does not.
    `norm_position`: "pre" reads the residual stream through a norm whose gain folds into q,k,v and
    gate,up; "post" keeps the norm (and its gain) in the residual path, so nothing folds.
    `output_norm`: the sub-layer's output passes a norm before it is added (Gemma 2/3, GLM-4).
    `qk_norm`: q and k pass a per-head norm before rotation (Qwen3, Gemma 3).
    `rotary`: planes of the rotary embedding inside a head: with r = rotary_dim, "half" turns entries
    (i, i+r/2) and "interleaved" (2i, 2i+1); entries from `rotary_sections`·r on are not turned. None:
    positions enter elsewhere (learned, ALiBi). `rotary_sections` blocks of r entries follow one
    another (2 in ChatGLM-6B, else 1).
    `head`: the model ends in a norm and a matrix of logits over the vocabulary (encoders have none).
    """

    family: str
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    layers: int
    gated: bool
    norm: Norm
    norm_position: NormPosition
    parallel: bool = False
    output_norm: bool = False
    qk_norm: bool = False
    rotary: Rotary | None = None
    rotary_dim: int = 0
    rotary_sections: int = 1
    head: bool = False

    @property
    def subtracts_mean(self) -> bool:
        """Whether the norms remove the mean over the hidden dimension."""
        return self.norm == "layer"

    @property
    def group(self) -> int:
        """Query heads per kv head; query head h pairs with kv head h // group."""
        return self.heads // self.kv_heads

    @property
    def q_rows(self) -> int:
        """Rows of q and o: heads · head_dim (not always the hidden size)."""
        return self.heads * self.head_dim

    @property
    def kv_rows(self) -> int:
        """Rows of k and v: kv_heads · head_dim."""
        return self.kv_heads * self.head_dim

    def __post_init__(self) -> None:
        for name in ("hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "layers", "rotary_sections"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= MAX_DIMENSION:
                raise Malformed(
                    f"shape.{name}: expected an integer in 1..{MAX_DIMENSION}, got {shorten(repr(value), 64)}"
                )
        for name in ("gated", "parallel", "output_norm", "qk_norm", "head"):
            if type(getattr(self, name)) is not bool:
                raise Malformed(
                    f"shape.{name}: expected true or false, got {shorten(repr(getattr(self, name)), 64)}"
                )
        if not isinstance(self.family, str) or not re.fullmatch(IDENTIFIER, self.family):
            raise Malformed(f"shape.family: expected a short name, got {shorten(ascii(self.family), 64)}")
        if self.heads % self.kv_heads:
            raise Malformed(f"shape: {self.heads} heads do not divide into {self.kv_heads} kv heads")
        if self.norm not in get_args(Norm) or self.norm_position not in get_args(NormPosition):
            raise Malformed(f"shape: unknown norm {shorten((self.norm, self.norm_position), 64)}")
        self._check_rotary()

    def _check_rotary(self) -> None:
        if type(self.rotary_dim) is not int:
            raise Malformed(
                f"shape.rotary_dim: expected an integer, got {shorten(repr(self.rotary_dim), 64)}"
            )
        if self.rotary is None:
            if self.rotary_dim != 0 or self.rotary_sections != 1:
                raise Malformed(f"shape: rotary_dim {self.rotary_dim} without a rotary embedding")
            return
        if self.rotary not in get_args(Rotary):
            raise Malformed(f"shape.rotary: unknown layout {shorten(repr(self.rotary), 64)}")
        turned = self.rotary_dim * self.rotary_sections
        if self.rotary_dim < 2 or self.rotary_dim % 2 or turned > self.head_dim:
            raise Malformed(f"shape: rotary_dim {self.rotary_dim} does not fit head_dim {self.head_dim}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, one per field."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ModelShape:
        """Read back `to_dict`; unknown or missing fields raise `Malformed`."""
        expected = {field.name for field in fields(cls)}
        got = set(value)
        if got != expected:
            unknown = shorten(sorted(got - expected), 200)
            raise Malformed(f"shape: missing {sorted(expected - got)}, unknown {unknown}")
        return cls(**cast(dict[str, Any], dict(value)))
