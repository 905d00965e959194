"""Terms of mixtures of experts and of latent attention: unchanged by every rewrite that leaves the logits alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from huref.prover.checkpoint.families import Term, open_model
from tests.support import tiny_experts
from tests.support.rewrites import Rewriter

IDS = np.arange(3, 83)
Array = NDArray[np.float64]


def save(model: Any, folder: Path) -> Path:
    model.float().save_pretrained(folder)
    model.double()
    return folder


def value(term: Term, x: Array) -> Array:
    """X Lᵀ R Xᵀ, float64."""
    total = np.zeros((len(x), len(x)))
    for left, right in term.pairs():
        shares = (term.left_heads, term.right_heads)
        sides = [
            rows.astype(np.float64).reshape(n, -1, rows.shape[1])
            for rows, n in zip((left, right), shares, strict=True)
        ]
        most = max(shares)
        sides = [np.repeat(side, most // len(side), 0).reshape(-1, x.shape[1]) for side in sides]
        total += (x @ sides[0].T) @ (sides[1] @ x.T)
    return total


def terms(folder: Path) -> dict[str, Array]:
    model = open_model(folder)
    x = model.embedding_rows(IDS).astype(np.float64)
    found = {}
    for layer in range(model.layers):
        for term in model.layer_terms(layer):
            found[f"{layer}.{term.kind}"] = value(term, x)
    return found


def cosine(a: Array, b: Array) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found = model.float()(torch.arange(5, 14)[None]).logits.double()
    model.double()
    return found


@torch.no_grad()
def disguise(model: Any, name: str) -> None:
    """All rewrites that the model's function survives, one after another."""
    rewriter = Rewriter(model)
    rewriter.experts()
    if name not in tiny_experts.UNIT_UP:
        rewriter.scales()
    rewriter.attention()
    if name in ("phimoe", "minimax"):  # LayerNorm; a norm in the residual path
        rewriter.hidden(rewriter.permutation(tiny_experts.HIDDEN))
    else:
        rewriter.gains()
        rewriter.hidden(rewriter.rotation(tiny_experts.HIDDEN))
    if name in SOFTMAX:
        rewriter.router_shift()


SOFTMAX = (
    "mixtral",
    "qwen2_moe",
    "qwen3_moe",
    "olmoe",
    "granitemoe",
    "deepseek_v2",
    "deepseek_v2-lite",
    "gpt_oss",
    "minimax",
    "hunyuan_v1_moe",
)
ATTENTION, LATENT = ("scores", "values"), ("scores", "scores_rotary", "values")
SPARSE, SHARED = ("experts", "router"), ("experts", "shared_expert", "router")
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mixtral": ((*ATTENTION, *SPARSE),) * 2,
    "qwen2_moe": ((*ATTENTION, "ffn"), (*ATTENTION, *SHARED)),
    "qwen3_moe": ((*ATTENTION, *SPARSE),) * 2,
    "olmoe": ((*ATTENTION, *SPARSE),) * 2,
    "granitemoe": ((*ATTENTION, *SPARSE),) * 2,
    "phimoe": ((*ATTENTION, *SPARSE),) * 2,
    "deepseek_v2": ((*LATENT, "ffn"), (*LATENT, *SHARED)),
    "deepseek_v2-lite": ((*LATENT, "ffn"), (*LATENT, *SHARED)),
    "deepseek_v3": ((*LATENT, "ffn"), (*LATENT, *SHARED)),
    "glm4_moe": ((*ATTENTION, "ffn"), (*ATTENTION, *SHARED)),
    "gpt_oss": ((*ATTENTION, *SPARSE),) * 2,
    "llama4_text": ((*ATTENTION, "ffn"), (*ATTENTION, *SHARED)),
    "minimax": (SPARSE, (*ATTENTION, *SPARSE)),
    "ernie4_5_moe": ((*ATTENTION, "ffn"), (*ATTENTION, *SHARED)),
    "hunyuan_v1_moe": ((*ATTENTION, *SHARED),) * 2,
    "minicpm3": ((*LATENT, "ffn"),) * 2,
}


@pytest.mark.parametrize("name", tiny_experts.MODELS)
def test_rewrites_leave_terms_and_logits_alone(name: str, tmp_path: Path) -> None:
    model = tiny_experts.random_model(name)
    before, plain = terms(save(model, tmp_path / "a")), logits(model)
    assert list(before) == [f"{layer}.{kind}" for layer, kinds in enumerate(KINDS[name]) for kind in kinds]
    disguise(model, name)
    assert (logits(model) - plain).abs().max() < 2e-4 * plain.abs().max()
    after = terms(save(model, tmp_path / "b"))
    assert after.keys() == before.keys()
    for kind, term in before.items():
        assert cosine(term, after[kind]) > 1 - 1e-8, kind
        others = [abs(cosine(term, other)) for key, other in after.items() if key != kind]
        assert max(others) < 0.9, kind
