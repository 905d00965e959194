"""The exported checkpoint holds the committed integers exactly, and its class loads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import Activation
from huref.common.errors import Unsupported
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.run.inference.calibrate import calibrate
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.export import write_checkpoint
from huref.prover.run.inference.settings import read_settings
from huref.prover.run.inference.weights import integer_weights
from tests.support import tiny_models
from tests.support.whole_models import load_integers


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("tied")
    tiny_models.random_model("llama", tie_word_embeddings=True).save_pretrained(folder)
    return open_model(folder)


@pytest.mark.parametrize("shard_bytes", [5 * 10**9, 40_000])
def test_the_class_loads_it_and_every_number_is_exact(tied: Model, tmp_path: Path, shard_bytes: int) -> None:
    settings, weights = read_settings(tied), integer_weights(whole_model(tied))
    write_checkpoint(weights, tied.shape, settings, tmp_path, shard_bytes=shard_bytes)
    assert ((tmp_path / "model.safetensors.index.json").exists()) == (shard_bytes < 10**9)
    loaded, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    integers = {rounded.name: rounded for rounded in whole_model(tied)}
    real = tiny_models.random_model("llama", tie_word_embeddings=True)
    expected = load_integers(real, integers)
    state = loaded.state_dict()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    ids = torch.arange(30)[None]
    with torch.no_grad():
        assert torch.allclose(loaded.eval()(ids).logits, expected(ids).logits, atol=1e-5)
    opened = open_model(tmp_path)
    assert opened.shape == tied.shape and read_settings(opened) == settings
    np.testing.assert_array_equal(opened.embedding_rows([3, 5]), integers["embed"].real()[[3, 5]])


@pytest.mark.parametrize(
    ("family", "overrides"),
    [
        ("qwen2", {}),
        ("qwen3", {"head_dim": 16}),
        ("llama", {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu_pytorch_tanh"}),
        ("phi3", {}),
    ],
)
def test_other_layouts_are_what_the_program_runs(
    family: str, overrides: dict[str, Any], tmp_path: Path
) -> None:
    tiny_models.random_model(family, **overrides).save_pretrained(tmp_path / "model")
    model = open_model(tmp_path / "model")
    settings, weights = read_settings(model), integer_weights(whole_model(model))
    ids = np.random.default_rng(3).integers(0, model.vocab, 25)
    facts = calibrate(model.shape, settings, weights, [ids.tolist()])
    program = compile_inference(model.shape, facts, len(ids))
    expected = execute_inference(program, weights, ids.tolist()).values["head"] / 2.0**facts.logits
    (tmp_path / "out").mkdir()
    write_checkpoint(weights, model.shape, settings, tmp_path / "out")
    loaded, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    with torch.no_grad():
        found = loaded.eval()(torch.tensor(ids)[None]).logits[0].numpy()
    assert np.std(found - expected) < 0.01 * np.std(expected)
    assert read_settings(open_model(tmp_path / "out")).activation == settings.activation


def test_what_no_class_has_is_not_exported(tmp_path: Path) -> None:
    tiny_models.random_model("gpt2").save_pretrained(tmp_path)
    model = open_model(tmp_path)
    with pytest.raises(Unsupported, match="norms without means"):
        write_checkpoint(integer_weights(whole_model(model)), model.shape, read_settings(model), tmp_path)


def test_no_file_is_larger_than_a_shard(tied: Model, tmp_path: Path) -> None:
    """But for one whose only tensor is: the index names every tensor once and counts the bytes."""
    weights = integer_weights(whole_model(tied))
    write_checkpoint(weights, tied.shape, read_settings(tied), tmp_path, shard_bytes=40_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    files = sorted(tmp_path.glob("*.safetensors"))
    assert sorted(set(index["weight_map"].values())) == [file.name for file in files] and len(files) > 3
    total = 0
    for file in files:
        data = file.read_bytes()
        size = len(data) - 8 - int.from_bytes(data[:8], "little")
        inside = [name for name, where in index["weight_map"].items() if where == file.name]
        assert size <= 40_000 or len(inside) == 1
        total += size
    assert index["metadata"]["total_size"] == total


def test_rows_come_in_blocks(tied: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, settings = integer_weights(whole_model(tied)), read_settings(tied)
    for name in ("whole", "blocks"):
        (tmp_path / name).mkdir()
        write_checkpoint(weights, tied.shape, settings, tmp_path / name)
        monkeypatch.setattr("huref.prover.run.inference.export._ROWS", 7)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "blocks")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "change", [{"rotary": "interleaved"}, {"rotary_dim": 8}, {"norm": "layer"}, {"gated": False}]
)
def test_what_the_class_has_not_is_refused(
    tied: Model, tmp_path: Path, change: dict[str, Activation]
) -> None:
    weights = integer_weights(whole_model(tied))
    with pytest.raises(Unsupported):
        write_checkpoint(weights, replace(tied.shape, **change), read_settings(tied), tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
