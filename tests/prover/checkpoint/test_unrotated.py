"""Layers without rotary embedding: any invertible map of q and k leaves the model alone, and so the canonical form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from huref.circuits.fingerprint.profiles import HARDENED
from huref.common.errors import Malformed
from huref.prover.canonical.canonical import canonical_layer
from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.architectures.recent import full_unrotated, listed_unrotated
from huref.prover.checkpoint.families import open_model
from tests.support import tiny_models


def canonical(folder: Path, layer: int) -> dict[str, np.ndarray]:
    model = open_model(folder)
    return {
        n: rows.copy() for n, rows in canonical_layer(model.layer(layer), model.layer_shape(layer), HARDENED)
    }


@torch.no_grad()
def test_an_ill_conditioned_map_of_an_unrotated_layer(tmp_path: Path) -> None:
    model = tiny_models.random_model("smollm3-unrotated", num_key_value_heads=4)
    model.save_pretrained(tmp_path / "a")
    ids = torch.arange(3, 12)[None]
    before = model(ids).logits
    generator = torch.Generator().manual_seed(2)
    attention = model.model.layers[2].self_attn
    turns = [
        torch.linalg.qr(torch.randn(4, 16, 16, generator=generator, dtype=torch.float64))[0] for _ in range(2)
    ]
    stretch = torch.logspace(0, 3, 16, dtype=torch.float64)  # condition 1000
    there = turns[0] @ torch.diag(stretch) @ turns[1]
    for weight, matrix in (
        (attention.q_proj.weight, there),
        (attention.k_proj.weight, torch.linalg.inv(there).mT),
    ):
        weight.copy_((matrix @ weight.double().view(4, 16, -1)).reshape(weight.shape))
    assert (model(ids).logits - before).abs().max() < 1e-3 * before.abs().max()
    model.save_pretrained(tmp_path / "b")
    assert open_model(tmp_path / "a").shape.rotary == "half"
    assert open_model(tmp_path / "a").layer_shape(2).rotary is None
    assert open_model(tmp_path / "a").layer_shape(0).rotary == "half"
    first, second = canonical(tmp_path / "a", 2), canonical(tmp_path / "b", 2)
    for name in ("q", "k"):
        a, b = first[name].astype(np.float64), second[name].astype(np.float64)
        assert (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b) > 0.999, name


def test_where_rotary_embeddings_are_left_out() -> None:
    def layers(rule: object, **config: object) -> str:
        return "".join(".x"[rule(Config(config, "c"), i)] for i in range(8))  # type: ignore[operator]

    assert layers(listed_unrotated) == "...x...x"
    assert layers(listed_unrotated, no_rope_layer_interval=2) == ".x.x.x.x"
    assert layers(listed_unrotated, no_rope_layers=[0, 1] * 4) == "x.x.x.x."
    with pytest.raises(Malformed, match="no_rope_layers"):
        layers(listed_unrotated, no_rope_layers=[1])
    kinds = ["sliding_attention", "full_attention"] * 4
    assert layers(full_unrotated, layer_types=kinds) == "........"
    assert layers(full_unrotated, layer_types=kinds, sliding_window=64) == ".x.x.x.x"
    assert layers(full_unrotated, sliding_window=64) == "...x...x"
    assert layers(full_unrotated, sliding_window=64, sliding_window_pattern="LLG") == "..x..x.."
