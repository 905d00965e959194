"""The public facts about a model's shape: part of the proof's statement, so plain Python and validated.

Nothing here says how a file stores the model (fused tensors, transposed weights, 1+γ gains): two files of
the same model have the same shape (protocol §2, fingerprint §2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any, Literal, get_args

from huref.common.errors import Malformed
from huref.common.text import IDENTIFIER, shorten

BIASES = ("q", "k", "o", "gate", "up", "down", "head")
"""What may have a committed bias: rows that read the stream, and what o and down write."""
Norm = Literal["rms", "layer"]
NormPosition = Literal["pre", "post"]
Rotary = Literal["half", "interleaved"]

MAX_DIMENSION = 1 << 24  # far above any model; keeps sizes derived from a hostile statement small


@dataclass(frozen=True)
class Block:
    """One layer of a model whose layers differ.

    `attention`: whether it has one. `neurons`: of its FFN, or of all experts of its mixture together, the shared one
    last; 0 without an FFN. `experts`: among how many a router chooses; 0 without a router.
    """

    attention: bool
    neurons: int
    experts: int = 0

    def __post_init__(self) -> None:
        numbers = (self.neurons, self.experts)
        if type(self.attention) is not bool or not all(
            type(x) is int and 0 <= x <= MAX_DIMENSION for x in numbers
        ):
            raise Malformed(f"shape.blocks: not a block: {shorten(repr(astuple(self)), 64)}")
        if self.experts > self.neurons:
            raise Malformed(f"shape.blocks: {self.experts} experts of {self.neurons} neurons")


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
    `blocks`: one per layer, where they are not all an attention and an FFN of `ffn` neurons; `ffn` is then the most
    neurons of a layer. Empty where all are alike.
    `other_mixers`: some layers mix tokens in ways that are not committed (state-space blocks, convolutions).
    `biases`: which of `BIASES` are committed; a value's bias is part of what o writes, a norm's of what reads it.
    `positions`: rows of a learned position embedding.
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
    blocks: tuple[Block, ...] = ()
    other_mixers: bool = False
    biases: tuple[str, ...] = ()
    positions: int = 0

    def block(self, layer: int) -> Block:
        """What a layer has."""
        return self.blocks[layer] if self.blocks else Block(True, self.ffn)

    @property
    def attending(self) -> list[int]:
        """The layers with attention, in order."""
        return [n for n in range(self.layers) if self.block(n).attention]

    @property
    def feeding(self) -> list[int]:
        """The layers with an FFN or experts, in order."""
        return [n for n in range(self.layers) if self.block(n).neurons]

    @property
    def neurons(self) -> int:
        """Neurons of all layers."""
        return sum(block.neurons for block in self.blocks) if self.blocks else self.layers * self.ffn

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
        for name in ("gated", "parallel", "output_norm", "qk_norm", "head", "other_mixers"):
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
        self._check_blocks()
        self._check_biases()

    def _check_biases(self) -> None:
        there = {"gate": self.gated, "head": self.head, "k": self.rotary is not None}
        known = [name for name in BIASES if there.get(name, True)]
        if not isinstance(self.biases, tuple) or [x for x in known if x in self.biases] != list(self.biases):
            raise Malformed(f"shape.biases: expected names out of {known} in this order")
        if type(self.positions) is not int or not 0 <= self.positions <= MAX_DIMENSION:
            raise Malformed(f"shape.positions: expected an integer in 0..{MAX_DIMENSION}")
        if self.positions and self.rotary is not None:
            raise Malformed("shape.positions: learned positions beside a rotary embedding")

    def _check_blocks(self) -> None:
        if not self.blocks:
            return
        if len(self.blocks) != self.layers:
            raise Malformed(f"shape.blocks: {len(self.blocks)} blocks of {self.layers} layers")
        if set(self.blocks) == {Block(True, self.ffn)}:
            raise Malformed("shape.blocks: all are alike, so none are to be listed")
        if self.ffn != max(block.neurons for block in self.blocks) or not self.attending:
            raise Malformed(f"shape.blocks: no layer has attention, or none has {self.ffn} neurons")

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
        """Plain JSON values, one per field; those of `_RARE` only where they say something."""
        value = asdict(self)
        value["blocks"] = [list(astuple(block)) for block in self.blocks]
        value["biases"] = list(self.biases)
        return {name: x for name, x in value.items() if name not in _RARE or x}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ModelShape:
        """Read back `to_dict`; unknown or missing fields, and rare ones that say nothing, raise `Malformed`."""
        expected = {field.name for field in fields(cls)}
        got = set(value)
        if got | _RARE != expected or not expected - got <= _RARE:
            unknown = shorten(sorted(got - expected), 200)
            raise Malformed(f"shape: missing {sorted(expected - got - _RARE)}, unknown {unknown}")
        empty = [name for name in sorted(_RARE & got) if value[name] in ([], (), False, 0)]
        if empty:
            raise Malformed(f"shape.{empty[0]}: says nothing, so it is to be left out")
        members = dict(value)
        if "blocks" in members:
            members["blocks"] = _blocks(members["blocks"])
        if "biases" in members:
            members["biases"] = _names(members["biases"])
        return cls(**members)


_RARE = {"blocks", "other_mixers", "biases", "positions"}
"""Fields that most models' shapes do not have."""


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise Malformed("shape.biases: expected a list of names")
    return tuple(value)


def _blocks(value: Any) -> tuple[Block, ...]:
    members = len(fields(Block))
    if not isinstance(value, list | tuple) or not all(
        isinstance(block, list | tuple) and len(block) == members for block in value
    ):
        raise Malformed(f"shape.blocks: expected a list of {members} values each")
    return tuple(Block(*block) for block in value)
