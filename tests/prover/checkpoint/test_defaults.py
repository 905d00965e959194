"""What our tables take for granted is what the `transformers` classes take for granted."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from huref.prover.checkpoint.architectures.defaults import DEFAULTS
from huref.prover.checkpoint.architectures.refused import REFUSED, REFUSED_GGUF
from huref.prover.checkpoint.architectures.registry import GGUF, HUGGING_FACE

_LATENT = (
    *("deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa", "minicpm3", "youtu"),
)


def config_of(model_type: str, **changes: Any) -> Any:
    """The class's config with `changes` to its common attributes."""
    names = type(transformers.AutoConfig.for_model(model_type)).attribute_map
    return transformers.AutoConfig.for_model(model_type, **{names.get(k, k): v for k, v in changes.items()})


@pytest.mark.parametrize("model_type", DEFAULTS)
def test_defaults_are_those_of_the_class(model_type: str) -> None:
    plain = config_of(model_type)
    more = config_of(model_type, num_attention_heads=2 * plain.num_attention_heads)
    wide = config_of(model_type, hidden_size=2 * plain.hidden_size)
    ours = DEFAULTS[model_type]
    assert ours.heads == plain.num_attention_heads
    assert ours.tied == bool(getattr(plain, "tie_word_embeddings", False))
    if model_type in _LATENT:
        return
    kv_heads = getattr(plain, "num_key_value_heads", None)
    follows = getattr(more, "num_key_value_heads", None) == more.num_attention_heads
    assert ours.kv_heads == (None if follows else kv_heads)
    size = getattr(plain, "head_dim", None)
    assert ours.head_dim == (size if getattr(wide, "head_dim", None) == size else None)


def test_every_type_of_transformers_has_its_defaults() -> None:
    known = set(transformers.CONFIG_MAPPING.keys())
    aliases = {
        "xlm-roberta",
        "camembert",
        "qwen2_vl",
        "qwen2_5_vl",
        "qwen3_vl",
        "gemma3",
        "mt5",
        "umt5",
        "qwen3_vl_moe_text",
    }
    assert {name for name in HUGGING_FACE if name in known} - aliases <= set(DEFAULTS)


def test_no_type_is_both_read_and_refused() -> None:
    assert not set(REFUSED) & set(HUGGING_FACE)
    assert not (set(REFUSED) | set(REFUSED_GGUF)) & set(GGUF)
