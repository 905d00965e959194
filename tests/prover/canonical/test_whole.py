"""The whole model as integers: the list of its shape, the function, edits that change nothing, pinned bits."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from huref.circuits.model.tensors import matrices
from huref.common.errors import Malformed, Unsupported
from huref.prover.canonical.steps import Rounded
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import open_model
from tests import ROOT
from tests.support import tiny_models
from tests.support.whole_models import load_integers

HEADLESS = {"bert", "deberta-v2", "t5-gated", "opt-350m"}


def stream(folder: Path) -> dict[str, Rounded]:
    return {rounded.name: rounded for rounded in whole_model(open_model(folder))}


def saved(model: Any, folder: Path) -> dict[str, Rounded]:
    model.save_pretrained(folder)
    return stream(folder)


@pytest.mark.parametrize(
    "family",
    [
        *("llama", "qwen2", "qwen3", "gemma3", "phi3", "smollm3-unrotated", "gpt2", "gpt_neox", "falcon-40b"),
        *("olmo2", "arcee", "glm", *sorted(HEADLESS)),
    ],
)
def test_stream_and_shape_agree(family: str, tmp_path: Path) -> None:
    model = open_model(tiny_models.build(family, tmp_path))
    assert model.shape.head == (family not in HEADLESS)
    declared, found = matrices(model.shape), list(whole_model(model))
    assert [(t.name, t.rows, t.cols) for t in declared] == [(r.name, *r.values.shape) for r in found]
    for rounded in found:
        assert rounded.values.dtype == rounded.steps.dtype == np.int8
        assert rounded.steps.shape == (len(rounded.values),)
        assert int(rounded.values.min()) >= -127
        if len(rounded.values) > 2 and not rounded.name.endswith("_bias"):
            assert rounded.values.any(axis=1).mean() > 0.9


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_the_integers_compute_what_the_model_computes(family: str, tied: bool, tmp_path: Path) -> None:
    model = tiny_models.random_model(family, tie_word_embeddings=tied, vocab_size=320)
    integers = saved(model, tmp_path)
    ids = torch.arange(1, 41)[None]
    with torch.no_grad():
        expected = model(ids).logits[0]
        found = load_integers(model, integers)(ids).logits[0]
    error = float((found - expected).std() / expected.std())
    assert 0.001 < error < 0.05  # int8, not exact
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.8


def test_a_model_without_its_head_has_none(tmp_path: Path) -> None:
    model = tiny_models.random_model("llama")
    model.model.save_pretrained(tmp_path)
    opened = open_model(tmp_path)
    assert not opened.shape.head
    with pytest.raises(Unsupported, match="no language-model head"):
        opened.head()
    assert [rounded.name for rounded in whole_model(opened)][-1] == "l2.down"


@torch.no_grad()
def edited(model: Any, factor: float) -> None:
    """Scales moved where the function does not see them."""
    for n, layer in enumerate(model.model.layers):
        attention, ffn = layer.self_attn, layer.mlp
        ffn.up_proj.weight[n::3] *= factor
        ffn.down_proj.weight[:, n::3] /= factor
        layer.input_layernorm.weight[::2] *= factor
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            projection.weight[:, ::2] /= factor
        half = attention.head_dim // 2
        q, k = (p.weight.view(-1, 2, half, 64) for p in (attention.q_proj, attention.k_proj))
        q[:, :, 1] *= factor
        k[:, :, 1] /= factor
        attention.v_proj.weight[3] *= factor
        attention.o_proj.weight.view(64, 2, 2, -1)[:, 0, :, 3] /= factor
    model.lm_head.weight[:, 5] *= factor
    model.model.norm.weight[5] /= factor


@pytest.mark.parametrize("factor", [3.7, 0.01])
def test_edits_that_leave_the_function_alone_leave_the_integers_alone(factor: float, tmp_path: Path) -> None:
    model = tiny_models.random_model("llama")
    before = saved(model, tmp_path / "before")
    expected = model(torch.arange(20)[None]).logits
    edited(model, factor)
    assert torch.allclose(model(torch.arange(20)[None]).logits, expected, atol=1e-2)
    after = saved(model, tmp_path / "after")
    for name, rounded in before.items():
        assert (rounded.steps == after[name].steps).mean() > 0.99, name
        same = rounded.steps == after[name].steps
        difference = np.abs(rounded.values[same].astype(int) - after[name].values[same])
        assert difference.max() <= 1 and (difference != 0).mean() < 0.002, name


@pytest.mark.parametrize(
    ("tensor", "named"),
    [
        ("model.layers.1.mlp.gate_proj.weight", "gate_proj"),
        ("model.norm.weight", r"model\.norm"),
        ("lm_head.weight", "lm_head"),
    ],
)
def test_nan_is_refused_by_name(tensor: str, named: str, tmp_path: Path) -> None:
    model = tiny_models.random_model("llama")
    dict(model.named_parameters())[tensor].data.view(-1)[7] = float("nan")
    with pytest.raises(Malformed, match=f"{named}.* NaN or infinity"):
        saved(model, tmp_path)


def test_an_overflow_in_folding_is_refused_by_name(tmp_path: Path) -> None:
    model = tiny_models.random_model("llama")
    model.model.layers[2].post_attention_layernorm.weight.data[:] = 1e38
    model.model.layers[2].mlp.gate_proj.weight.data[:] = 1e3
    with pytest.raises(Malformed, match=r"tensor l2\.gate holds NaN or infinity"):
        saved(model, tmp_path)


def test_bits_are_the_same_interpreted_and_on_any_number_of_threads(tmp_path: Path) -> None:
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "intermediate_size": 10, "vocab_size": 130}
    for family in ("llama", "qwen3"):
        tiny_models.build(family, tmp_path / family, **sizes, head_dim=8)
    code = (
        "import hashlib, sys\n"
        "from huref.prover.canonical.whole import whole_model\n"
        "from huref.prover.checkpoint.families import open_model\n"
        "d = hashlib.sha256()\n"
        "for folder in sys.argv[1:]:\n"
        "    for r in whole_model(open_model(folder)):\n"
        "        d.update(r.values.tobytes() + r.steps.tobytes())\n"
        "print(d.hexdigest())"
    )
    digests = set()
    for settings in ({}, {"HUREF_THREADS": "1"}, {"HUREF_THREADS": "3"}, {"NUMBA_DISABLE_JIT": "1"}):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "llama"), str(tmp_path / "qwen3")],
            check=True,
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin", **settings},
            cwd=ROOT,
        )
        digests.add(done.stdout)
    assert len(digests) == 1
    shutil.rmtree(tmp_path / "llama")
