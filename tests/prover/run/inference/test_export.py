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
from huref.prover.run.inference.float_run import FloatRun
from huref.prover.run.inference.plain_run import PlainRun
from huref.prover.run.inference.products import OwnProducts
from huref.prover.run.inference.served import served
from huref.prover.run.inference.settings import Settings, layer_kinds, read_settings
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


GEMMAS: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma": ("gemma", {"hidden_size": 80}),
    "gemma with biases": ("gemma", {"attention_bias": True}),
    "vaultgemma": (
        "vaultgemma",
        {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 7.0, "query_pre_attn_scalar": 9},
    ),
    "gemma2": (
        "gemma2",
        {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 7.0, "query_pre_attn_scalar": 9},
    ),
    "gemma3": (
        "gemma3",
        {
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "sliding_window": 48,
            "hidden_size": 88,
            "query_pre_attn_scalar": 40,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        },
    ),
}


@pytest.mark.parametrize("case", GEMMAS)
def test_gemma_as_its_own_class(case: str, tmp_path: Path) -> None:
    """What the class computes is the float run of the committed integers; and it can be committed again."""
    family, overrides = GEMMAS[case]
    real = tiny_models.random_model(family, **overrides)
    with torch.no_grad():  # so small that the norm behind it sees its ε
        for layer in real.model.layers if family in ("gemma2", "gemma3") else ():
            layer.self_attn.o_proj.weight *= 1e-3
    (tmp_path / "model").mkdir()
    real.save_pretrained(tmp_path / "model")
    model = open_model(tmp_path / "model")
    settings, weights = read_settings(model), integer_weights(whole_model(model))
    ids = np.random.default_rng(3).integers(0, model.vocab, 25)
    own = OwnProducts(model) if model.shape.output_norm else None
    facts = calibrate(model.shape, settings, weights, [ids.tolist()], own=own)
    assert (Settings.of(facts)) == settings
    (tmp_path / "out").mkdir()
    more = {} if family == "gemma" else {"layer_types": layer_kinds(model.checkpoint, model.shape)}
    scaled = [layer.scaled for layer in facts.layers]
    write_checkpoint(weights, model.shape, Settings.of(facts), tmp_path / "out", more, scaled=scaled)
    loaded, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", dtype=torch.float32, output_loading_info=True
    )
    assert type(loaded) is type(real) and not info["missing_keys"] and not info["unexpected_keys"]
    with torch.no_grad():
        found = loaded.eval()(torch.tensor(ids)[None]).logits[0].numpy()
    expected = float_logits(model, settings, weights, ids, own)
    assert np.std(found - expected) < 1e-4 * np.std(expected)
    program = compile_inference(model.shape, facts, len(ids))
    values = execute_inference(program, weights, ids.tolist()).values[program.logits] / 2.0**facts.logits
    assert np.std(found - values) < 0.02 * np.std(values)
    again = open_model(tmp_path / "out")
    assert again.shape == model.shape and read_settings(again) == settings
    integers = integer_weights(whole_model(again))
    found = float_logits(again, settings, integers, ids, OwnProducts(again) if own else None)
    assert np.std(found - expected) < 0.06 * np.std(expected)  # eight bits, once more


def float_logits(model: Model, settings: Settings, weights: Any, ids: Any, own: OwnProducts | None) -> Any:
    """Those of the committed integers in float, as calibration runs them."""
    texts = [ids.tolist()]
    run: FloatRun = (
        PlainRun(model.shape, settings, weights, texts, own)
        if own
        else FloatRun(model.shape, settings, weights, texts)
    )
    for n in range(model.shape.layers):
        run.layer(n)
    logits = np.concatenate([run.reading("head") @ block.T for _, block in run.blocks("head")], axis=1)
    return settings.logit_cap * np.tanh(logits / settings.logit_cap) if settings.logit_cap else logits


def test_what_is_exact_is_stored_in_bfloat16(tmp_path: Path) -> None:
    """Gemma 1: all but biases. Gemma 2 and 3: nothing; gains stand between the stream and the rotated matrices."""
    for family, kinds in (("gemma", {"BF16"}), ("gemma2", {"F32"}), ("gemma3", {"F32"})):
        model = open_model(tiny_models.build(family, tmp_path / family))
        (tmp_path / f"{family}-out").mkdir()
        weights = integer_weights(whole_model(model))
        write_checkpoint(weights, model.shape, read_settings(model), tmp_path / f"{family}-out")
        data = (tmp_path / f"{family}-out" / "model.safetensors").read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        assert {tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"} == kinds
        if kinds == {"F32"}:  # the class adds one: in digits of small gains, bfloat16 would have none
            stored = open_model(tmp_path / f"{family}-out").checkpoint.read(
                "model.layers.1.input_layernorm.weight"
            )
            gain = weights["l1.attn_gain"].astype(int)
            np.testing.assert_array_equal(stored + 1, (gain[0] << 7) + gain[1])


@pytest.mark.parametrize(
    "family,change,message",
    [
        ("gemma", {"logit_cap": 30}, "no capped logits"),
        ("gemma", {"score_square": 25}, "root of a head's size"),
        ("gemma", {"embedding_square": 9}, "no factor of the embedding"),
        ("gemma2", {"embedding_square": 9}, "embedding times the root"),
        ("gemma2", {"turns": ((10000, 1), (10000, 1), (9000, 1))}, "layers that turn alike"),
        ("gemma3", {"score_cap": 30}, "no capped scores"),
        ("gemma3", {"turns": ((10000, 1), (10000, 1), (9000, 1))}, "attend alike turn differently"),
    ],
)
def test_what_gemmas_classes_have_not(
    family: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model = open_model(tiny_models.build(family, tmp_path))
    with pytest.raises(Unsupported, match=message):
        served(model.shape, replace(read_settings(model), **change), {})


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
