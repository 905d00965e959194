"""Terms of mixtures of experts and of latent attention: unchanged by every rewrite that leaves the logits alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.families import Term, open_model
from tests.support import tiny_experts
from tests.support.rewrites import disguise
from tests.support.same_model import assert_same, wrapped_shards

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


ATTENTION, LATENT = ("scores", "values"), ("scores", "scores_rotary", "values")
SPARSE, SHARED = ("experts", "router"), ("experts", "shared_expert", "router")
KINDS: dict[str, tuple[tuple[str, ...], ...]] = {
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
    "youtu": ((*LATENT, "ffn"),) * 2,
    "granitemoehybrid": (("ffn",), (*ATTENTION, "ffn")),
    "granitemoehybrid-experts": (SHARED, (*ATTENTION, *SHARED)),
    "jamba": (("ffn",), (*ATTENTION, *SPARSE)),
    "falcon_h1": ((*ATTENTION, "ffn"),) * 2,
    "lfm2": (("ffn",), (*ATTENTION, "ffn")),
    "lfm2_moe": (("ffn",), (*ATTENTION, *SPARSE)),
    "bamba": (("ffn",), (*ATTENTION, "ffn")),
    "qwen3_next": (SHARED, (*ATTENTION, *SHARED)),
    "qwen3_5_text": (("ffn",), (*ATTENTION, "ffn")),
    "qwen3_5_moe_text": (SHARED, (*ATTENTION, *SHARED)),
    "nemotron_h": ((), ATTENTION, ("ffn",), SHARED),
    "glm4_moe_lite": ((*LATENT, "ffn"), (*LATENT, *SHARED)),
    "deepseek_v32": ((*LATENT, "ffn"), (*LATENT, *SHARED)),
    "glm_moe_dsa": ((*LATENT, "ffn"), (*LATENT, *SHARED)),
    "dots1": ((*ATTENTION, "ffn"), (*ATTENTION, *SHARED)),
    "exaone_moe": ((*ATTENTION, "ffn"), (*ATTENTION, *SHARED)),
    "solar_open": ((*ATTENTION, *SHARED),) * 2,
    "minimax_m2": ((*ATTENTION, *SPARSE),) * 2,
    "hy_v3": ((*ATTENTION, "ffn"), (*ATTENTION, *SHARED)),
    "granitemoeshared": ((*ATTENTION, *SHARED),) * 2,
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


@pytest.mark.parametrize("name", tiny_experts.MODELS)
def test_wrapped_names_in_shards_give_the_same_tensors(name: str, tmp_path: Path) -> None:
    folder = save(tiny_experts.random_model(name, vocab_size=384), tmp_path / "plain")
    assert_same(open_model(wrapped_shards(folder, tmp_path / "wrapped")), open_model(folder))


def edited(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


EXPERT = "model.layers.1.block_sparse_moe.experts"
BROKEN: list[tuple[str, Callable[[dict[str, torch.Tensor]], Any], str]] = [
    ("mixtral", lambda t: t.pop(f"{EXPERT}.3.w2.weight"), "experts.3.w2.weight is missing"),
    ("mixtral", lambda t: t.update({f"{EXPERT}.4.w2.weight": torch.ones(32, 24)}), "its router has 4 outputs"),
    ("mixtral", lambda t: t.update({f"{EXPERT}.1.w3.weight": torch.ones(24, 31)}), "has shape"),
    ("mixtral", lambda t: t.update({f"{EXPERT}.1.w2.weight": torch.ones(32, 23)}), "has shape"),
    ("mixtral", lambda t: t.update({f"{EXPERT}.1.w4.weight": torch.ones(1)}), "experts.1.w4"),
    ("granitemoe", lambda t: t.update({"model.layers.0.block_sparse_moe.router.layer.weight": torch.ones(5, 32)}),
     "input_linear.weight has shape"),
    ("granitemoe", lambda t: t.update({"model.layers.0.block_sparse_moe.output_linear.weight": torch.ones(4, 32, 23)}),
     "output_linear.weight has shape"),
    ("deepseek_v3", lambda t: t.update({"model.layers.1.mlp.shared_experts.up_proj.weight": torch.ones(11, 32)}),
     "shared_experts.up_proj.weight has shape"),
    ("deepseek_v3", lambda t: t.update({"model.layers.1.self_attn.kv_b_proj.weight": torch.ones(56, 9)}),
     "kv_b_proj.weight has shape"),
    ("deepseek_v3", lambda t: t.update({"model.layers.1.self_attn.o_proj.weight": torch.ones(32, 23)}),
     "o_proj.weight has shape"),
    ("deepseek_v3", lambda t: t.update({"model.layers.1.mlp.up_proj.weight": torch.ones(24, 32)}),
     "layer 1 has tensors that the layout of deepseek_v3 has not: mlp.up_proj.weight"),
    ("deepseek_v3", lambda t: t.pop("model.layers.1.mlp.gate.weight"), "has another layout: found mlp.experts.0"),
    ("mixtral", lambda t: t.update({f"{EXPERT}.1.w3.weight": torch.full((24, 32), 1e30),
                                    "model.layers.1.post_attention_layernorm.weight": torch.full((32,), 1e10)}),
     "layer 1 overflows when norms are folded in"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "text"), BROKEN)
def test_mixtures_that_do_not_fit(
    name: str, change: Callable[[dict[str, torch.Tensor]], None], text: str, tmp_path: Path
) -> None:
    with pytest.raises((Malformed, Unsupported)) as caught:
        terms(edited(save(tiny_experts.random_model(name), tmp_path), change))
    assert text in caught.value.message and "\n" not in caught.value.message


@pytest.mark.parametrize("factor", [1e308, 10**400, float("inf"), 0, "2"])
def test_a_factor_on_experts_that_float32_does_not_hold(factor: object, tmp_path: Path) -> None:
    folder = save(tiny_experts.random_model("deepseek_v3"), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"routed_scaling_factor": factor}))
    with pytest.raises(Malformed, match="routed_scaling_factor must be a positive number"):
        terms(folder)


def test_experts_of_four_bits_in_the_form_of_gpt_oss(tmp_path: Path) -> None:
    """The same terms from MXFP4 blocks as from the numbers they stand for; up is every second row."""
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    model = save(tiny_experts.random_model("gpt_oss", num_local_experts=2), plain)
    shutil.copytree(plain, packed)
    draw = np.random.default_rng(4)
    values = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)

    def blocks(tensors: dict[str, torch.Tensor], *, whole: bool) -> None:
        name = "model.layers.1.mlp.experts.gate_up_proj"
        if whole:
            tensors[name] = torch.from_numpy(numbers.reshape(2, 48, 32).swapaxes(1, 2).copy())
            return
        del tensors[name]
        tensors[f"{name}_blocks"] = torch.from_numpy(codes[..., ::2] | codes[..., 1::2] << 4)
        tensors[f"{name}_scales"] = torch.from_numpy(exponents)

    codes = draw.integers(0, 16, (2, 48, 1, 32)).astype(np.uint8)
    exponents = draw.integers(120, 130, (2, 48, 1)).astype(np.uint8)
    numbers = values[codes] * np.float32(2.0) ** (exponents[..., None].astype(np.float32) - 127)
    first = terms(edited(plain, lambda tensors: blocks(tensors, whole=True)))
    second = terms(edited(packed, lambda tensors: blocks(tensors, whole=False)))
    for kind, term in first.items():
        np.testing.assert_array_equal(term, second[kind], err_msg=kind)
    experts = next(term for term in open_model(model).layer_terms(1) if term.kind == "experts")
    gain = load_file(plain / "model.safetensors")["model.layers.1.post_attention_layernorm.weight"].numpy()
    for number, (left, _) in enumerate(experts.pairs()):
        np.testing.assert_allclose(left, numbers[number, 1::2, 0] * gain, rtol=1e-6)


def test_the_shape_says_what_every_layer_has(tmp_path: Path) -> None:
    """Neurons of all experts, the shared one's too; where all layers are alike nothing is listed."""
    found = {}
    for name in ("mixtral", "deepseek_v3", "lfm2", "falcon_h1", "minicpm3"):
        shape = open_model(save(tiny_experts.random_model(name), tmp_path / name)).shape
        found[name] = [astuple(block) for block in shape.blocks], shape.ffn, shape.other_mixers
    assert found == {
        "mixtral": ([(True, 96, 4)] * 2, 96, False),
        "deepseek_v3": ([(True, 24, 0), (True, 60, 4)], 60, False),
        "lfm2": ([(False, 24, 0), (True, 24, 0)], 24, True),
        "falcon_h1": ([], 24, True),
        "minicpm3": ([], 24, False),
    }


def test_a_layer_is_read_with_all_its_experts_or_without_attention(tmp_path: Path) -> None:
    layer = open_model(save(tiny_experts.random_model("deepseek_v3"), tmp_path / "a")).layer(1)
    assert layer.up.shape == layer.down.shape == (60, 32) and layer.gate is not None
    assert layer.router is not None and layer.router.shape == (4, 32)
    assert layer.q.shape == layer.k.shape == layer.v.shape == layer.o.shape == (48, 32)
    layer = open_model(save(tiny_experts.random_model("lfm2"), tmp_path / "b")).layer(0)
    assert layer.q.shape == layer.o.shape == (0, 32) and layer.q_gain is None and layer.router is None
    assert layer.up.shape == (24, 32)


def test_models_without_terms_of_attention_are_refused(tmp_path: Path) -> None:
    folder = save(tiny_experts.random_model("lfm2", layer_types=["conv", "conv"]), tmp_path)
    with pytest.raises(Unsupported, match=r"no layer has attention.*\(lfm2\)"):
        open_model(folder)


def test_values_longer_than_keys_are_refused(tmp_path: Path) -> None:
    model = open_model(save(tiny_experts.random_model("minicpm3", v_head_dim=16), tmp_path))
    with pytest.raises(Unsupported, match="values of 16 entries per head and keys of 12"):
        model.layer(0)


def test_layers_that_guess_the_token_after_the_next(tmp_path: Path) -> None:
    """Published DeepSeek and GLM files append such layers, with an embedding and a head of their own."""
    folder = save(tiny_experts.random_model("deepseek_v3"), tmp_path)
    before = terms(folder)

    def append(tensors: dict[str, torch.Tensor]) -> None:
        block = {name: tensor for name, tensor in tensors.items() if name.startswith("model.layers.1.")}
        tensors |= {name.replace("layers.1.", "layers.2."): tensor.clone() for name, tensor in block.items()}
        for name in ("embed_tokens", "shared_head.head", "eh_proj"):
            tensors[f"model.layers.2.{name}.weight"] = torch.ones(tiny_experts.VOCAB, tiny_experts.HIDDEN)

    edited(folder, append)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_nextn_predict_layers": 1}))
    after = terms(folder)
    assert after.keys() == before.keys()
    for kind, term in before.items():
        np.testing.assert_array_equal(term, after[kind])
    for none in (0, None):
        (folder / "config.json").write_text(json.dumps(config | {"num_nextn_predict_layers": none}))
        with pytest.raises(Malformed, match="though the config says 2 layers"):
            terms(folder)
