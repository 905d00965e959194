"""A `transformers` model of LLaMA's layout that holds the committed integers."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch

from huref.prover.canonical.steps import Rounded


@torch.no_grad()
def load_integers(model: Any, integers: Mapping[str, Rounded]) -> Any:
    """A copy of `model` that computes with the dequantized integers: gains one, the head untied."""
    copy = deepcopy(model)
    copy.lm_head.weight = torch.nn.Parameter(copy.lm_head.weight.clone())
    weights = {name: torch.from_numpy(rounded.real()) for name, rounded in integers.items()}
    copy.model.embed_tokens.weight.copy_(weights["embed"])
    copy.lm_head.weight.copy_(weights["head"])
    copy.model.norm.weight.fill_(1)
    for n, layer in enumerate(copy.model.layers):
        layer.input_layernorm.weight.fill_(1)
        layer.post_attention_layernorm.weight.fill_(1)
        for block, names in ((layer.self_attn, ("q", "k", "v", "o")), (layer.mlp, ("gate", "up", "down"))):
            for name in names:
                rows = weights[f"l{n}.{name}"]
                getattr(block, f"{name}_proj").weight.copy_(rows.T if name in ("o", "down") else rows)
        for name in ("q", "k"):
            if f"l{n}.{name}_gain" in weights:
                gains = weights[f"l{n}.{name}_gain"].sum(dim=0).view(-1, layer.self_attn.head_dim)
                assert torch.equal(gains, gains[:1].expand_as(gains))  # the class has one gain for all heads
                getattr(layer.self_attn, f"{name}_norm").weight.copy_(gains[0])
    return copy
