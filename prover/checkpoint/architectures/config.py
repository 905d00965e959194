"""Typed access to a checkpoint's config, whose keys differ between families."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from huref.common.errors import Malformed
from huref.common.text import shorten
from huref.prover.checkpoint.architectures.defaults import DEFAULTS, Defaults

HIDDEN = ("hidden_size", "n_embd", "n_embed", "d_model", "dim")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
HEAD_DIM = ("head_dim", "kv_channels", "d_kv")
ROTARY_FRACTION = ("partial_rotary_factor", "rotary_pct", "rope_pct")

_LARGEST = float(np.finfo(np.float32).max)
_MOST = 1 << 53
"""No size reaches this; what is larger is no number that floats hold."""

_NESTED = ("text_config", "llm_config", "language_config")
_TEXT_MODEL = {
    "gemma3": "gemma3_text",
    "idefics3": "llama",
    "internvl_chat": "qwen2",
    "llava": "llama",
    "llava_next": "llama",
    "mistral3": "mistral",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "smolvlm": "llama",
}
"""The language model's type where a multimodal config leaves it out."""


class Config:
    """A config.json (or GGUF metadata under the same key names); null counts as absent."""

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        outer = values.get("thinker_config", values)
        outer = outer if isinstance(outer, dict) else values
        text = next((outer[key] for key in _NESTED if isinstance(outer.get(key), dict)), None)
        # multimodal checkpoints keep the language model's facts one level down, and leave out its class's defaults
        self.values: Mapping[str, Any] = values if text is None else text
        self.nested = text is not None
        self.outer = values
        self.source = source

    def model_type(self) -> str:
        """The language model's type. Raises `Malformed` without one."""
        value = self.get("model_type")
        if value is None and self.nested:
            outer = self.outer.get("model_type")
            value = _TEXT_MODEL.get(outer, outer) if isinstance(outer, str) else outer
        if not isinstance(value, str):
            raise Malformed(f"{self.source}: config has no model_type")
        return value

    def get(self, *keys: str) -> Any:
        """The first of `keys` that is present and not null, or None."""
        return next((self.values[key] for key in keys if self.values.get(key) is not None), None)

    def integer(self, *keys: str) -> int | None:
        """A positive integer under one of `keys`, or None. Raises `Malformed` for anything else there."""
        value = self.get(*keys)
        if value is None:
            return None
        if type(value) is not int or not 0 < value < _MOST:
            raise Malformed(
                f"{self.source}: config {keys[0]} must be a positive integer, got {shorten(repr(value), 40)}"
            )
        return value

    def required(self, *keys: str) -> int:
        """Like `integer`, but absence is `Malformed`."""
        value = self.integer(*keys)
        if value is None:
            raise Malformed(f"{self.source}: config has no {keys[0]}")
        return value

    def number(self, *keys: str, default: float) -> float:
        """A positive number that float32 holds. Raises `Malformed` for anything else."""
        value = self.get(*keys)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LARGEST:
            raise Malformed(
                f"{self.source}: config {keys[0]} must be a positive number, got {shorten(repr(value), 40)}"
            )
        return float(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean (0 and 1 count). Raises `Malformed` for anything else."""
        value = self.get(key)
        if value is None:
            return default
        if value not in (True, False):
            raise Malformed(f"{self.source}: config {key} must be true or false, got {value!r}")
        return bool(value)

    @property
    def defaults(self) -> Defaults:
        """What the class takes for granted."""
        return DEFAULTS.get(self.model_type(), Defaults())

    def tied(self) -> bool:
        """Whether embedding and head are one tensor: of nested configs either may say so."""
        outer = self.outer.get("tie_word_embeddings") if self.nested else None
        if outer is not None and self.get("tie_word_embeddings") is not True:
            return Config({"tie_word_embeddings": outer}, self.source).flag("tie_word_embeddings")
        return self.flag("tie_word_embeddings", self.defaults.tied)

    def rotary_fraction(self, default: float) -> float:
        """Share of a head that rotary embeddings turn, in (0, 1]."""
        value = self.get(*ROTARY_FRACTION)
        rope = self.get("rope_parameters")
        if value is None and isinstance(rope, dict):
            value = rope.get("partial_rotary_factor")
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
            raise Malformed(f"{self.source}: config partial_rotary_factor must lie in (0, 1], got {value!r}")
        return float(value)
