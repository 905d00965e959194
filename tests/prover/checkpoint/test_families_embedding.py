"""X, the embedding rows, and the config variants that choose between layouts of one family."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.families import open_model
from tests.support import tiny_experts, tiny_models

IDS = [3, 319, 0, 17, 3]


def embedded(model: torch.nn.Module, name: str) -> np.ndarray:
    """Output of the named sub-module when the model reads IDS."""
    kept: list[torch.Tensor] = []
    handle = model.get_submodule(name).register_forward_hook(lambda m, a, out: kept.append(out.detach()))
    with torch.no_grad():
        model(torch.tensor([IDS]))
    handle.remove()
    return kept[0][0].numpy()


@pytest.mark.parametrize(
    ("family", "module"),
    [
        ("llama", "model.embed_tokens"),
        ("gpt2", "transformer.wte"),
        ("bert", "bert.embeddings.word_embeddings"),
        ("opt", "model.decoder.embed_tokens"),
        ("opt-350m", "model.decoder.project_in"),
        ("bloom", "transformer.word_embeddings_layernorm"),
    ],
)
def test_rows_are_what_the_model_computes_per_token(family: str, module: str, tmp_path: Path) -> None:
    reference = tiny_models.random_model(family)
    reference.save_pretrained(tmp_path)
    got = open_model(tmp_path).embedding_rows(IDS)
    assert got.dtype == np.float32 and got.shape == (len(IDS), tiny_models.HIDDEN)
    np.testing.assert_allclose(got, embedded(reference, module), rtol=0, atol=1e-5)


DEBERTA = {
    "alone": ({"position_biased_input": False, "type_vocab_size": 0}, "embeddings"),
    "projected": ({"embedding_size": 40}, "embeddings.embed_proj"),
    "with positions": ({}, "embeddings.word_embeddings"),
}


@pytest.mark.parametrize("name", DEBERTA)
def test_deberta_norms_or_projects_words_in_some_versions(name: str, tmp_path: Path) -> None:
    changes, module = DEBERTA[name]
    reference = tiny_models.random_model("deberta-v2", **changes)
    if name == "projected":
        reference.deberta.embeddings.position_embeddings.weight.data.zero_()  # added before the projection
    reference.save_pretrained(tmp_path)
    model = open_model(tmp_path)
    got = model.embedding_rows(IDS)
    np.testing.assert_allclose(got, embedded(reference, f"deberta.{module}"), rtol=0, atol=1e-5)
    gain = reference.deberta.embeddings.LayerNorm.weight.detach()
    np.testing.assert_array_equal(model.layer(0).attn_stream_gain, gain)


def test_deberta_with_a_convolution_is_refused(tmp_path: Path) -> None:
    tiny_models.random_model("deberta-v2", conv_kernel_size=3, conv_act="gelu").save_pretrained(tmp_path)
    with pytest.raises(Unsupported, match="a convolution behind its first block is not read"):
        open_model(tmp_path)


@pytest.mark.parametrize("name", ["deepseek_v3", "youtu"])
def test_rotary_planes_of_latents_lie_as_the_config_says(name: str, tmp_path: Path) -> None:
    """Rows of q and of the shared key reordered, with the flag turned: the same logits."""
    ids = torch.arange(3, 12)[None]
    found = []
    for turned in (False, True):
        model = tiny_experts.random_model(name, rope_interleave=not turned).float()
        for layer in model.model.layers if turned else ():
            attention = layer.self_attn
            for weight, heads in ((attention.q_b_proj.weight, 4), (attention.kv_a_proj_with_mqa.weight, 1)):
                rows = weight.data.reshape(heads, -1, weight.shape[1])
                rows[:, -4:] = rows[:, [-4, -2, -3, -1]]
        with torch.no_grad():
            found.append(model(ids).logits)
        model.save_pretrained(tmp_path / str(turned))
        assert open_model(tmp_path / str(turned)).shape.rotary == ("half" if turned else "interleaved")
    assert (found[0] - found[1]).abs().max() < 1e-4 * found[0].abs().max()


def test_bloom_rows_ignore_the_scale_of_the_stored_rows(tmp_path: Path) -> None:
    """BLOOM normalizes each embedding row, so scaling stored rows is function-preserving; X must not move."""
    reference = tiny_models.random_model("bloom")
    reference.save_pretrained(tmp_path / "a")
    with torch.no_grad():
        reference.transformer.word_embeddings.weight[::2] *= 1000.0
    reference.save_pretrained(tmp_path / "b")
    a, b = (open_model(tmp_path / name).embedding_rows(range(384)) for name in "ab")
    np.testing.assert_allclose(a, b, atol=2e-3)  # the norm's epsilon is felt by the unscaled rows


def test_bert_stream_gain_is_that_of_the_norm_read(tmp_path: Path) -> None:
    """Post-norm: attention reads the previous layer's closing norm (layer 0: the embedding's)."""
    tiny_models.build("bert", tmp_path)
    model = open_model(tmp_path)
    read = model.checkpoint.read
    first, second = model.layer(0), model.layer(1)
    assert first.attn_gain is None and first.ffn_gain is None
    np.testing.assert_array_equal(first.attn_stream_gain, read("bert.embeddings.LayerNorm.weight"))
    name = "bert.encoder.layer.0.output.LayerNorm.weight"
    np.testing.assert_array_equal(second.attn_stream_gain, read(name))
    name = "bert.encoder.layer.1.attention.output.LayerNorm.weight"
    np.testing.assert_array_equal(second.ffn_stream_gain, read(name))


@pytest.mark.parametrize("family", ["gemma", "vaultgemma", "gemma2", "gemma3"])
def test_gemma_gains_have_one_added(family: str, tmp_path: Path) -> None:
    tiny_models.build(family, tmp_path)
    model = open_model(tmp_path)
    stored = model.checkpoint.read("model.layers.1.input_layernorm.weight")
    np.testing.assert_array_equal(model.layer(1).attn_gain, stored + np.float32(1))


SHAPES = {
    "llama": {"kv_heads": 2, "gated": True, "norm": "rms", "rotary": "half", "rotary_dim": 16},
    "qwen3": {"head_dim": 24, "qk_norm": True, "rotary_dim": 24},
    "gemma3": {"output_norm": True, "qk_norm": True, "head_dim": 24},
    "glm4": {"rotary": "interleaved", "rotary_dim": 12, "output_norm": True, "gated": True, "ffn": 88},
    "phi3": {"gated": True, "ffn": 88, "kv_heads": 2},
    "gpt2": {"gated": False, "norm": "layer", "rotary": None, "kv_heads": 4, "ffn": 88},
    "gptj": {"parallel": True, "rotary": "interleaved", "rotary_dim": 8},
    "gpt_neox": {"parallel": True, "rotary": "half", "rotary_dim": 4},
    "gpt_neox-sequential": {"parallel": False},
    "falcon-7b": {"kv_heads": 1, "parallel": True, "rotary": "half"},
    "falcon-rw": {"kv_heads": 4, "parallel": False, "rotary": None},
    "falcon-40b": {"kv_heads": 2, "parallel": True},
    "opt-350m": {"norm_position": "post", "hidden": 64, "ffn": 88},
    "stablelm-12b": {"parallel": True, "qk_norm": True, "rotary_dim": 4},
    "bert": {"norm_position": "post", "norm": "layer", "gated": False, "rotary": None},
}


@pytest.mark.parametrize("family", SHAPES)
def test_shape_facts(family: str, tmp_path: Path) -> None:
    shape = open_model(tiny_models.build(family, tmp_path)).shape
    assert {key: getattr(shape, key) for key in SHAPES[family]} == SHAPES[family]
    assert shape.layers == 3 and shape.vocab == 384


def test_old_config_spellings(tmp_path: Path) -> None:
    """Falcon's first configs: model_type RefinedWebModel, n_head, n_layer, no parallel_attn alternatives."""
    tiny_models.build("falcon-7b", tmp_path)
    expected = open_model(tmp_path)
    old = {
        "model_type": "RefinedWebModel",
        "hidden_size": 64,
        "n_head": 4,
        "n_layer": 3,
        "multi_query": True,
        "parallel_attn": True,
        "alibi": False,
    }
    (tmp_path / "config.json").write_text(json.dumps(old))
    model = open_model(tmp_path)
    assert model.shape == expected.shape
    np.testing.assert_array_equal(model.layer(2).k, expected.layer(2).k)


def test_configs_that_leave_heads_out(tmp_path: Path) -> None:
    """Published Gemma 3 configs rely on class defaults for heads, kv heads and head size."""
    tiny_models.build("gemma3", tmp_path)
    expected, config = open_model(tmp_path).shape, json.loads((tmp_path / "config.json").read_text())
    for key in ("num_attention_heads", "num_key_value_heads", "head_dim"):
        del config[key]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert open_model(tmp_path).shape == expected


def test_old_bert_files_call_gains_gamma(tmp_path: Path) -> None:
    tiny_models.build("bert", tmp_path)
    expected = open_model(tmp_path)
    read = expected.checkpoint.read
    layers = [expected.layer(i) for i in range(3)]
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): read(
            name
        )
        for name in expected.checkpoint.names()
    }
    save_file(renamed, tmp_path / "model.safetensors")
    model = open_model(tmp_path)
    assert "bert.embeddings.LayerNorm.gamma" in model.checkpoint
    for got, want in zip((model.layer(i) for i in range(3)), layers, strict=True):
        np.testing.assert_array_equal(got.attn_stream_gain, want.attn_stream_gain)
        np.testing.assert_array_equal(got.ffn_stream_gain, want.ffn_stream_gain)


def test_base_class_checkpoints_have_no_prefix(tmp_path: Path) -> None:
    reference = tiny_models.random_model("gpt2")
    reference.save_pretrained(tmp_path / "lm")
    reference.base_model.save_pretrained(tmp_path / "base")
    a, b = open_model(tmp_path / "lm"), open_model(tmp_path / "base")
    assert "h.0.attn.c_attn.weight" in b.checkpoint and "h.0.attn.c_attn.weight" not in a.checkpoint
    np.testing.assert_array_equal(a.layer(1).o, b.layer(1).o)


@pytest.mark.parametrize(
    ("family", "change", "error", "text"),
    [
        ("mpt", {"attn_config": {"qk_ln": True}}, Unsupported, "qk_ln"),
        ("gpt_neox", {"use_parallel_residual": "yes"}, Malformed, "use_parallel_residual"),
        ("gpt_neox", {"rope_parameters": {"partial_rotary_factor": 3.0}}, Malformed, "partial_rotary_factor"),
        ("gptj", {"rotary_dim": 18}, Malformed, "rotary_dim 18"),
        ("gptj", {"rotary_dim": 7}, Malformed, "rotary_dim 7"),
    ],
)
def test_config_values_are_checked(
    family: str, change: dict[str, object], error: type[Exception], text: str, tmp_path: Path
) -> None:
    tiny_models.build(family, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(error, match=text):
        open_model(tmp_path)


def test_experts_in_a_family_that_has_none(tmp_path: Path) -> None:
    import transformers

    sizes = {"hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.AutoConfig.for_model(
        "mixtral", vocab_size=64, num_key_value_heads=2, num_local_experts=2, **sizes
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text()) | {"model_type": "llama"}
    for count in (2, None):
        (tmp_path / "config.json").write_text(json.dumps(stored | {"num_local_experts": count}))
        with pytest.raises(Unsupported, match="mixture-of-experts models of type llama are not read"):
            open_model(tmp_path)


def test_layers_that_share_blocks(tmp_path: Path) -> None:
    """ALBERT: three layers on two blocks; a file that lacks one of them is refused, however many layers are said."""
    tiny_models.build("albert", tmp_path, num_hidden_groups=2)
    model = open_model(tmp_path)
    same = [np.array_equal(model.layer(0).q, model.layer(i).q) for i in (1, 2)]
    assert same == [True, False]
    config = json.loads((tmp_path / "config.json").read_text())
    for changes in ({"num_hidden_groups": 3}, {"num_hidden_groups": 1 << 23, "num_hidden_layers": 1 << 23}):
        (tmp_path / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(Malformed, match=r"albert_layer_groups.* is missing"):
            open_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_groups": 1}))
    with pytest.raises(Malformed, match="though the config says 3 layers"):
        open_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"inner_group_num": 2}))
    with pytest.raises(Unsupported, match="several blocks in a group"):
        open_model(tmp_path)
