"""Mixtures of experts, latents and layers without attention under `hardened-2`, on tiny models of the real classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.vector import similarity
from huref.circuits.fingerprint.profiles import get_profile
from huref.circuits.model.tensors import matrices
from huref.common.errors import UsageError
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import Model, Term, open_model
from huref.prover.kernels import pinned
from huref.prover.run.fingerprint import derive
from tests.support import tiny_experts
from tests.support.rewrites import disguise
from tests.support.tiny_tokenizer import write_tokenizer

VOCAB = 384
QUICK = ("mixtral", "deepseek_v3", "granitemoehybrid-experts")
NAMES = [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in tiny_experts.MODELS]
Array = NDArray[np.float64]


def save(model: Any, folder: Path) -> Path:
    model.float().save_pretrained(folder)
    model.double()
    write_tokenizer(folder, model.config.vocab_size)
    return folder


def outputs(folder: Path) -> Array:
    return derive(open_model(folder), get_profile("hardened")).trace.v


@pytest.mark.parametrize("name", NAMES)
def test_rewrites_leave_the_fingerprint_alone(name: str, tmp_path: Path) -> None:
    model = tiny_experts.random_model(name, vocab_size=VOCAB)
    before = outputs(save(model, tmp_path / "a"))
    disguise(model, name)
    after = outputs(save(model, tmp_path / "b"))
    stranger = tiny_experts.random_model(name, 7, vocab_size=VOCAB)
    other = outputs(save(stranger, tmp_path / "c"))
    same, foreign = similarity(before, after), similarity(before, other)
    assert min(same.terms["qk"], same.terms["vo"]) > 0.95, (
        same
    )  # of a dozen heads each counts in half octaves
    assert same.terms["ud"] > 0.88, same  # octaves of rows of only 32 entries; dense models lose as much
    assert max(map(abs, foreign.terms.values())) < 0.3, foreign


def mixed(term: Term, width: int) -> Array:
    """Σ Lᵀ R of a term in the committed space."""
    total = np.zeros((width, width))
    for left, right in term.pairs():
        sides = []
        for rows, share in ((left, term.left_heads), (right, term.right_heads)):
            heads = rows.reshape(share, -1, width)
            sides.append(
                np.repeat(heads, max(term.left_heads, term.right_heads) // share, 0).reshape(-1, width)
            )
        total += turned(sides[0]).T @ turned(sides[1])
    return total


def turned(rows: NDArray[np.float32]) -> Array:
    return pinned.mix(rows.astype(np.float32).copy(), "hidden").astype(np.float64)


def committed(model: Model, kind: tuple[str, str], layer: int, group: int) -> Array:
    found = {
        t.name: t.real().astype(np.float64) for t in whole_model(model) if t.name.startswith(f"l{layer}.")
    }
    left, right = (found[f"l{layer}.{name}"] for name in kind)
    if group > 1:
        size = model.shape.head_dim
        right = np.repeat(right.reshape(-1, size, right.shape[1]), group, 0).reshape(left.shape)
    return left.T @ right


@pytest.mark.parametrize("name", tiny_experts.MODELS)
def test_committed_rows_are_the_terms(name: str, tmp_path: Path) -> None:
    """Sums over all heads and over all experts, in the right proportion, up to the rounding to 8 bits."""
    model = open_model(save(tiny_experts.random_model(name), tmp_path))
    shape = model.shape
    layer, feeding = shape.attending[-1], shape.feeding[-1]
    terms = {term.kind: mixed(term, shape.hidden) for term in model.layer_terms(layer)}
    if not shape.qk_norm:  # the gains of such norms are tensors of their own
        scores = terms["scores"] + terms.get("scores_rotary", 0)
        assert cosine(committed(model, ("q", "k"), layer, shape.group), scores) > 0.999
    assert cosine(committed(model, ("o", "v"), layer, shape.group), terms["values"].T) > 0.999
    terms = {term.kind: mixed(term, shape.hidden) for term in model.layer_terms(feeding)}
    feeds = sum(terms.get(kind, 0) for kind in ("ffn", "experts", "shared_expert"))
    assert cosine(committed(model, ("up", "down"), feeding, 1), feeds) > 0.999


def cosine(a: Array, b: Any) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("name", tiny_experts.MODELS)
def test_tensors_are_those_of_the_shape(name: str, tmp_path: Path) -> None:
    model = open_model(save(tiny_experts.random_model(name), tmp_path))
    found = [(t.name, *t.values.shape) for t in whole_model(model)]
    assert found == [(t.name, t.rows, t.cols) for t in matrices(model.shape)]


def test_the_factor_of_routed_experts_may_move_into_them(tmp_path: Path) -> None:
    """DeepSeek V3 multiplies what routed experts write by 2.5; an owner can put that into their weights."""
    model = tiny_experts.random_model("deepseek_v3", vocab_size=VOCAB)
    before = outputs(save(model, tmp_path / "a"))
    model.config.routed_scaling_factor = 1.0
    model.model.layers[1].mlp.experts.down_proj.data *= 2.5
    after = outputs(save(model, tmp_path / "b"))
    assert min(similarity(before, after).terms.values()) > 0.999


def test_an_expert_that_is_shut_off_and_loud_costs_little(tmp_path: Path) -> None:
    """One of eight, its neurons counting twice the median: √(7 / (7 + 4)) is left. An unbounded one leaves nothing."""
    model = tiny_experts.random_model("mixtral", vocab_size=VOCAB, num_local_experts=8)
    before = outputs(save(model, tmp_path / "a"))
    for layer in model.model.layers:
        for weight in (layer.mlp.experts.gate_up_proj, layer.mlp.experts.down_proj):
            weight.data[3] = 30 * weight.data[3].roll(1, -1)
    after = outputs(save(model, tmp_path / "b"))
    assert similarity(before, after).terms["ud"] > 0.65


@pytest.mark.parametrize("name", ["mixtral", "lfm2", "falcon_h1"])
def test_paper_reads_none_of_them(name: str, tmp_path: Path) -> None:
    model = open_model(save(tiny_experts.random_model(name, vocab_size=600), tmp_path))
    with pytest.raises(UsageError, match="one attention and one FFN each"):
        derive(model, get_profile("paper"), k=512)


def test_no_scale_moves_where_experts_add_one_to_up(tmp_path: Path) -> None:
    """GPT-OSS: what is committed of up is up, though down is far larger; in other mixtures the two are balanced."""
    for name, moved in (("gpt_oss", False), ("mixtral", True)):
        model = tiny_experts.random_model(name)
        for layer in model.model.layers:
            layer.post_attention_layernorm.weight.data.fill_(1.0)
            layer.mlp.experts.down_proj.data *= 64
        opened = open_model(save(model, tmp_path / name))
        stored = np.linalg.norm(opened.layer(0).up, axis=1)
        found = next(t for t in whole_model(opened) if t.name == "l0.up").real()
        ratio = np.linalg.norm(found, axis=1) / stored
        assert (ratio.min() > 1.5) == moved and (np.abs(ratio - 1).max() < 0.05) != moved
