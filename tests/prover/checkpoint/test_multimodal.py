"""The text part of multimodal models of the real classes: every tensor is that of the class's own decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from huref.prover.checkpoint.families import open_model
from huref.prover.run.inference.settings import read_settings

_TEXT = {
    "vocab_size": 384,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 88,
    "pad_token_id": 0,
    "layer_types": ["sliding_attention", "full_attention"],
    "no_rope_layers": [1, 0],
    "num_experts": 4,
    "num_local_experts": 4,
    "moe_intermediate_size": 12,
    "intermediate_size_mlp": 88,
    "moe_layers": [1],
}
_SIGHT = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 28,
    "patch_size": 14,
    "depth": 1,
    "num_heads": 2,
    "embed_dim": 32,
    "out_hidden_size": 64,
    "vision_output_dim": 32,
    "projector_input_dim": 32,
    "projector_output_dim": 32,
}
CLASSES = {
    "llava": "LlavaForConditionalGeneration",
    "llava_onevision": "LlavaOnevisionForConditionalGeneration",
    "mistral3": "Mistral3ForConditionalGeneration",
    "qwen2_vl": "Qwen2VLForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
    "qwen3_vl": "Qwen3VLForConditionalGeneration",
    "qwen3_vl_moe": "Qwen3VLMoeForConditionalGeneration",
    "qwen3_5": "Qwen3_5ForConditionalGeneration",
    "llama4": "Llama4ForConditionalGeneration",
    "gemma3": "Gemma3ForConditionalGeneration",
    "idefics3": "Idefics3ForConditionalGeneration",
    "smolvlm": "SmolVLMForConditionalGeneration",
    "paligemma": "PaliGemmaForConditionalGeneration",
    "aya_vision": "AyaVisionForConditionalGeneration",
    "lfm2_vl": "Lfm2VlForConditionalGeneration",
}
MIXTURES = ("qwen3_vl_moe", "llama4")
HYBRID = {"qwen3_5": ["linear_attention", "full_attention"], "lfm2_vl": ["conv", "full_attention"]}


def fill(config: Any, values: dict[str, Any]) -> None:
    """Set what the config has."""
    for name, value in values.items():
        if getattr(config, name, None) is not None:
            setattr(config, name, value)


@pytest.mark.parametrize("model_type", CLASSES)
def test_the_text_part(model_type: str, tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model(model_type)
    fill(config.text_config, _TEXT)
    if model_type in HYBRID:
        config.text_config.layer_types = HYBRID[model_type]
    fill(config.vision_config, _SIGHT)
    real = getattr(transformers, CLASSES[model_type])(config)
    real.save_pretrained(tmp_path)
    model = open_model(tmp_path)
    text = real.get_decoder()
    text = getattr(text, "model", text)
    assert model.shape.layers == model.layers == 2
    np.testing.assert_array_equal(model.embedding_rows([3, 9]), text.embed_tokens.weight[[3, 9]].detach())
    head = real.get_output_embeddings().weight
    np.testing.assert_array_equal(model.head().rows([5]), head[[5]].detach())
    layer, own = model.layer(1), text.layers[1]
    attention = own.self_attn
    np.testing.assert_array_equal(layer.k, attention.k_proj.weight.detach())
    np.testing.assert_array_equal(layer.v, attention.v_proj.weight.detach())
    written = getattr(attention, "o_proj", None) or attention.out_proj
    np.testing.assert_array_equal(layer.o, written.weight.detach().T)
    if model_type in MIXTURES:
        assert layer.router is not None and len(layer.router) == 4
    elif model_type != "lfm2_vl":
        np.testing.assert_array_equal(layer.up, own.mlp.up_proj.weight.detach())


def test_an_inference_program_is_that_of_the_text_part(tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model("gemma3")
    fill(
        config.text_config, {**_TEXT, "sliding_window": 48, "query_pre_attn_scalar": 40, "rms_norm_eps": 1e-5}
    )
    fill(config.vision_config, _SIGHT)
    config.text_config.rope_parameters["full_attention"] |= {"rope_type": "linear", "factor": 8.0}
    transformers.Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path)
    settings = read_settings(open_model(tmp_path))
    assert settings.turns == ((10000, 1), (1000000, 8))
    assert (settings.window, settings.score_square, settings.epsilon) == (48, 40, "1e-05")


def test_a_config_whose_outer_part_ties(tmp_path: Path) -> None:
    """Mistral 3 ties by its own config, whatever the text's says, and then stores no head."""
    folder = tmp_path
    config = transformers.AutoConfig.for_model("mistral3")
    fill(config.text_config, _TEXT)
    fill(config.vision_config, _SIGHT)
    transformers.Mistral3ForConditionalGeneration(config).save_pretrained(folder)
    stored = json.loads((folder / "config.json").read_text())
    for outer, inner, head in ((True, False, True), (False, True, True), (False, False, False)):
        stored["tie_word_embeddings"], stored["text_config"]["tie_word_embeddings"] = outer, inner
        (folder / "config.json").write_text(json.dumps(stored))
        assert open_model(folder).shape.head is head
