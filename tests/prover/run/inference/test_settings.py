"""What a checkpoint's config or metadata says about inference, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.families import open_model
from huref.prover.checkpoint.formats.gguf_reader import GgufCheckpoint
from huref.prover.run.inference.settings import _gguf, read_settings
from tests.support import tiny_models
from tests.support.shapes import SMOL


def test_configs_of_gemma3_as_they_were_and_are(tmp_path: Path) -> None:
    """Two bases and a pattern, or what every layer attends to and the turn of either kind."""
    folder = tiny_models.build("gemma3", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    for name in ("layer_types", "rope_parameters", "_sliding_window_pattern"):
        config.pop(name, None)

    def turns(**changes: Any) -> Any:
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        return read_settings(open_model(folder)).turns

    local, full = (10000, 1), (1000000, 1)
    assert turns() == (local,) * 3  # one of six layers sees all
    assert turns(sliding_window_pattern=2) == (local, full, local)
    scaled = {"factor": 8.0, "rope_type": "linear"}
    assert turns(sliding_window_pattern=3, rope_scaling=scaled, rope_theta=5e5, rope_local_base_freq=2e4) == (
        *((20000, 1),) * 2,
        (500000, 8),
    )
    kinds = ["full_attention", "full_attention", "sliding_attention"]
    rope = {"full_attention": {"rope_theta": 3e5}, "sliding_attention": {"rope_theta": 7e4}}
    assert turns(layer_types=kinds, rope_parameters=rope) == ((300000, 1), (300000, 1), (70000, 1))
    for changes, message in (
        ({"layer_types": kinds[:2]}, "layer_types must name"),
        ({"layer_types": [*kinds[:2], "chunked_attention"]}, "layer_types must name"),
        (
            {"layer_types": kinds, "rope_parameters": {"full_attention": {}}},
            "rotary base of None|says nothing of",
        ),
        ({"sliding_window_pattern": 0}, "positive integer"),
    ):
        with pytest.raises((Unsupported, Malformed), match=message):
            turns(**changes)


def test_caps_of_gemma2_that_its_config_does_not_say(tmp_path: Path) -> None:
    folder = tiny_models.build("gemma2", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    for given, expected in (
        ({"final_logit_softcapping": None}, (0, 0)),
        ({"final_logit_softcapping": 12}, (0, 12)),
        ({}, (50, 30)),
    ):
        changed = {key: value for key, value in config.items() if "softcapping" not in key} | given
        if given:
            changed["attn_logit_softcapping"] = None
        (folder / "config.json").write_text(json.dumps(changed))
        settings = read_settings(open_model(folder))
        assert (settings.score_cap, settings.logit_cap) == expected


class Metadata(GgufCheckpoint):
    """A GGUF file of which only the metadata is there."""

    def __init__(self, architecture: str, **values: Any) -> None:
        self.path = Path("model.gguf")
        self.metadata = {f"{architecture}.{name}": value for name, value in values.items()}
        self.metadata |= {
            "general.architecture": architecture,
            f"{architecture}.attention.layer_norm_rms_epsilon": 1e-6,
        }

    def names(self) -> tuple[str, ...]:
        return ()


@pytest.mark.parametrize(
    ("architecture", "values", "expected"),
    [
        ("gemma2", {}, (50, 30)),
        ("gemma2", {"attn_logit_softcapping": 20.0, "final_logit_softcapping": 15.0}, (20, 15)),
        ("gemma3", {"final_logit_softcapping": 25.0}, (0, 25)),
        ("llama", {}, (0, 0)),
    ],
)
def test_caps_of_a_gguf_file(architecture: str, values: dict[str, Any], expected: tuple[int, int]) -> None:
    settings = _gguf(Metadata(architecture, **values), SMOL)
    assert (settings.score_cap, settings.logit_cap) == expected and settings.score_square == 64
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        with pytest.raises(Unsupported, match=name):
            _gguf(Metadata(architecture, **{name: 0.5}), SMOL)


def test_positions_that_are_learned_are_not_turned() -> None:
    """Whatever a file says of a rotary embedding that its model has not."""
    shape = replace(SMOL, rotary=None, rotary_dim=0, positions=64, norm="layer")
    found = _gguf(Metadata("gpt2", **{"rope.freq_base": 5e5, "rope.freq_base_swa": 2e4}), shape)
    assert found.turns == ((10000, 1),) * SMOL.layers
    assert _gguf(Metadata("llama", **{"rope.freq_base": 5e5}), SMOL).turns == ((500000, 1),) * SMOL.layers


def test_the_largest_gemmas_divide_scores_by_something_else() -> None:
    shape = replace(SMOL, hidden=4608, heads=32, kv_heads=16, head_dim=128, layers=46)
    assert _gguf(Metadata("gemma2"), shape).score_square == 144
    assert _gguf(Metadata("gemma3"), shape).score_square == 128
    assert _gguf(Metadata("gemma3"), replace(shape, layers=62)).score_square == 144


@pytest.mark.parametrize(
    ("family", "overrides", "message"),
    [
        ("olmo2", {}, "olmo2 models"),
        ("glm4", {}, "glm4 models"),
        ("gemma2", {"attn_logit_softcapping": 50.5}, "attn_logit_softcapping of 50.5 is no integer"),
        ("gemma2", {"final_logit_softcapping": 300.0}, "final_logit_softcapping of 300.0 is no integer"),
        (
            "gemma3",
            {"attn_logit_softcapping": 50.0},
            "yet for attn_logit_softcapping",
        ),  # which the class ignores
        ("gemma", {"final_logit_softcapping": 30.0}, "yet for final_logit_softcapping"),
        ("gemma3", {"use_bidirectional_attention": True}, "attention to what follows"),
        ("starcoder2", {}, "starcoder2 models"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scaled attention"),
        ("gpt2", {"activation_function": "relu"}, "relu"),
        ("qwen2", {"sliding_window": -1, "use_sliding_window": True}, "sliding window of -1"),
        ("smollm3-unrotated", {}, "llama models of this kind"),
        ("granite", {}, "attention_multiplier|embedding_multiplier"),
        ("llama", {"hidden_act": "relu"}, "relu"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0}},
            "positions divided by 2.5",
        ),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}},
            "scaled rotary",
        ),
    ],
)
def test_what_the_program_does_not_know_is_refused(
    family: str, overrides: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model = open_model(tiny_models.build(family, tmp_path, **overrides))
    with pytest.raises((Unsupported, Malformed), match=message):
        read_settings(model)
