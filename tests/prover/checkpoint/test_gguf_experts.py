"""Mixtures of experts, latents and hybrids as GGUF: shape and factors of the Hugging Face folder, bit for bit.

Names come from the `gguf` package's own map; what the published converter does beside (stacked experts, gate and up
apart, permuted rotary rows of LLaMA's kin, the two halves of DeepSeek's expansion) is redone here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from huref.common.errors import Malformed, Unsupported
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import Model, open_model
from tests.prover.checkpoint.test_gguf_families import Rows, _permute
from tests.support import tiny_experts

_ARCH = gguf.MODEL_ARCH
ARCHITECTURES: dict[str, gguf.MODEL_ARCH] = {
    "mixtral": _ARCH.LLAMA,
    "qwen2_moe": _ARCH.QWEN2MOE,
    "qwen3_moe": _ARCH.QWEN3MOE,
    "olmoe": _ARCH.OLMOE,
    "granitemoe": _ARCH.GRANITE_MOE,
    "granitemoeshared": _ARCH.GRANITE_MOE,
    "phimoe": _ARCH.PHIMOE,
    "deepseek_v2": _ARCH.DEEPSEEK2,
    "deepseek_v2-lite": _ARCH.DEEPSEEK2,
    "deepseek_v3": _ARCH.DEEPSEEK2,
    "glm4_moe": _ARCH.GLM4_MOE,
    "gpt_oss": _ARCH.GPT_OSS,
    "llama4_text": _ARCH.LLAMA4,
    "ernie4_5_moe": _ARCH.ERNIE4_5_MOE,
    "hunyuan_v1_moe": _ARCH.HUNYUAN_MOE,
    "minimax_m2": _ARCH.MINIMAXM2,
    "dots1": _ARCH.DOTS1,
    "exaone_moe": _ARCH.EXAONE_MOE,
    "minicpm3": _ARCH.MINICPM3,
    "lfm2": _ARCH.LFM2,
    "lfm2_moe": _ARCH.LFM2MOE,
    "jamba": _ARCH.JAMBA,
}
PERMUTED = (_ARCH.LLAMA, _ARCH.GRANITE_MOE)
PROJECTIONS = {
    "w1.weight": "gate_proj.weight",
    "w2.weight": "down_proj.weight",
    "w3.weight": "up_proj.weight",
}
FLAT = ("minicpm3", "lfm2")
CHANGES: dict[str, dict[str, Any]] = {
    "qwen2_moe": {"mlp_only_layers": []},  # GGUF has no dense layers there
    "lfm2_moe": {"tie_word_embeddings": True},  # and no head here
    "llama4_text": {"no_rope_layers": [1, 1]},  # and every fourth layer without rotary embedding
}


def stacked(model: Model) -> dict[str, Rows]:
    """The tensors of a folder, experts in one tensor, gate and up apart, as the published converter has them."""
    tensors: dict[str, Rows] = {}
    groups: dict[str, dict[int, Rows]] = {}
    for name in model.checkpoint.names():
        head, found, tail = name.partition(".experts.")
        if found and tail[0].isdigit():
            number, _, part = tail.partition(".")
            part = PROJECTIONS.get(part, part) if model.shape.family == "lfm2_moe" else part
            groups.setdefault(f"{head}.experts.{part}", {})[int(number)] = model.checkpoint.read(name)
        else:
            tensors |= apart(name, model.checkpoint.read(name))
    return tensors | {name: np.stack([parts[i] for i in range(len(parts))]) for name, parts in groups.items()}


def apart(name: str, tensor: Rows) -> dict[str, Rows]:
    """A fused tensor of gate and up as two, out before in."""
    block = name.rpartition(".experts.")[0] or name.rpartition(".block_sparse_moe.")[0]
    if name.endswith("sinks"):
        return {f"{name}.weight": tensor}
    if name.endswith("experts.down_proj"):  # (E, in, out) in GPT-OSS and Llama 4
        return {f"{name}.weight": tensor.swapaxes(1, 2)}
    if name.endswith("experts.gate_up_proj"):
        rows = tensor.swapaxes(1, 2)
        turns = ".mlp." in name
        gate, up = (rows[:, ::2], rows[:, 1::2]) if turns else np.split(rows, 2, axis=1)
        return {f"{block}.experts.gate_proj.weight": gate, f"{block}.experts.up_proj.weight": up}
    if name.endswith("block_sparse_moe.input_linear.weight"):
        gate, up = np.split(tensor, 2, axis=1)
        return {f"{block}.mlp.experts.gate_proj.weight": gate, f"{block}.mlp.experts.up_proj.weight": up}
    if name.endswith("shared_mlp.input_linear.weight"):
        block = name.rpartition(".shared_mlp.")[0]
        gate, up = np.split(tensor, 2)
        return {
            f"{block}.mlp.shared_experts.gate_proj.weight": gate,
            f"{block}.mlp.shared_experts.up_proj.weight": up,
        }
    return {name: tensor}


def split_expansion(name: str, tensor: Rows) -> dict[str, Rows]:
    """kv_b as newer files have it: keys transposed, values apart."""
    if "kv_b_proj" not in name:
        return {name: tensor}
    both = tensor.reshape(tiny_experts.HEADS, 8 + 6, -1)
    return {
        name.replace("kv_b_proj", "k_b_proj"): both[:, :8].swapaxes(1, 2),
        name.replace("kv_b_proj", "v_b_proj"): both[:, 8:],
    }


def write(
    folder: Path,
    target: Path,
    architecture: gguf.MODEL_ARCH,
    metadata: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
    *,
    split: bool = False,
) -> None:
    model = open_model(folder)
    writer = gguf.GGUFWriter(target, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_embedding_length(tiny_experts.HIDDEN)
    writer.add_block_count(model.layers)
    writer.add_head_count(tiny_experts.HEADS)
    metadata(writer)
    config = model.checkpoint.config
    if "kv_lora_rank" in config:
        describe_latent(writer, config, split=split)
    else:
        kv = tiny_experts.KV_HEADS
        hybrid = config["model_type"] in ("lfm2", "lfm2_moe", "jamba")
        writer.add_head_count_kv([0, kv] if hybrid else kv)
        writer.add_key_length(8)
    if rotary := config.get("rotary_dim"):
        writer.add_rope_dimension_count(rotary)
    if config.get("model_type") not in FLAT:
        writer.add_expert_count(tiny_experts.EXPERTS)
    if scale := config.get("routed_scaling_factor"):
        writer.add_expert_weights_scale(scale)
    names = gguf.get_tensor_name_map(architecture, model.layers)
    for name, tensor in stacked(model).items():
        if name.endswith((".bias", "_bias", "conv1d.weight", "conv.conv.weight")):
            continue
        if architecture in PERMUTED and name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = _permute(tensor, tiny_experts.HEADS if "q_proj" in name else tiny_experts.KV_HEADS)
        for part, values in (split_expansion(name, tensor) if split else {name: tensor}).items():
            target_name = names.get_name(part, try_suffixes=(".weight",))
            if target_name is None and ".mamba." in part:
                continue  # parts of the state-space block without a suffix
            assert target_name is not None, part
            writer.add_tensor(target_name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def describe_latent(writer: gguf.GGUFWriter, config: dict[str, Any], *, split: bool) -> None:
    """Sizes of attention through latents; newer files also say those of the latent's own keys and values."""
    plain, rotary, value = (config[f"{n}_head_dim"] for n in ("qk_nope", "qk_rope", "v"))
    writer.add_kv_lora_rank(config["kv_lora_rank"])
    if config.get("q_lora_rank"):
        writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_rope_dimension_count(rotary)
    writer.add_head_count_kv(1 if split else tiny_experts.HEADS)
    if split:
        writer.add_key_length(config["kv_lora_rank"] + rotary)
        writer.add_value_length(config["kv_lora_rank"])
        writer.add_key_length_mla(plain + rotary)
        writer.add_value_length_mla(value)
    else:
        writer.add_key_length(plain + rotary)
        writer.add_value_length(value)
    if config["model_type"] == "deepseek_v3":
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def assert_equal(got: Model, expected: Model) -> None:
    """The same shape, terms and committed integers."""
    assert replace(got.shape, family=expected.shape.family) == expected.shape
    np.testing.assert_array_equal(got.embedding_rows([3, 1]), expected.embedding_rows([3, 1]))
    for layer in range(expected.layers):
        assert got.layer_shape(layer).rotary == expected.layer_shape(layer).rotary
        ours, theirs = got.layer_terms(layer), expected.layer_terms(layer)
        assert [term.kind for term in ours] == [term.kind for term in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert (one.left_heads, one.right_heads) == (other.left_heads, other.right_heads)
            for pair, same in zip(one.pairs(), other.pairs(), strict=True):
                np.testing.assert_array_equal(pair[0], same[0], err_msg=one.kind)
                np.testing.assert_array_equal(pair[1], same[1], err_msg=one.kind)
    for tensor, again in zip(whole_model(got), whole_model(expected), strict=True):
        assert tensor.name == again.name
        np.testing.assert_array_equal(tensor.values, again.values, err_msg=tensor.name)
        np.testing.assert_array_equal(tensor.steps, again.steps, err_msg=tensor.name)


def build(name: str, folder: Path) -> Path:
    tiny_experts.random_model(name, **CHANGES.get(name, {})).float().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gguf_equals_hugging_face(name: str, tmp_path: Path) -> None:
    folder = build(name, tmp_path / "hf")
    write(folder, tmp_path / "m.gguf", ARCHITECTURES[name])
    assert_equal(open_model(tmp_path / "m.gguf"), open_model(folder))


@pytest.mark.parametrize("name", ["deepseek_v2", "deepseek_v2-lite", "deepseek_v3"])
def test_an_expansion_in_two_tensors(name: str, tmp_path: Path) -> None:
    folder = build(name, tmp_path / "hf")
    write(folder, tmp_path / "m.gguf", _ARCH.DEEPSEEK2, split=True)
    assert_equal(open_model(tmp_path / "m.gguf"), open_model(folder))


def test_layers_for_the_token_after_the_next_are_counted_with_the_others(tmp_path: Path) -> None:
    folder = build("glm4_moe", tmp_path / "hf")
    path = tmp_path / "m.gguf"
    write(folder, path, _ARCH.GLM4_MOE, lambda writer: writer.add_nextn_predict_layers(1))
    assert open_model(path).layers == 1


def test_latents_without_the_sizes_of_a_key(tmp_path: Path) -> None:
    folder = build("minicpm3", tmp_path / "hf")
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "minicpm3")
    for name, tensor in stacked(open_model(folder)).items():
        writer.add_tensor(name, tensor)
    writer.add_kv_lora_rank(10)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(Malformed, match="without the sizes of a key"):
        open_model(tmp_path / "m.gguf")


@pytest.mark.parametrize("architecture", ["falcon-h1", "qwen3next", "t5", "gemma3n"])
def test_layouts_that_are_not_read(architecture: str, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", architecture)
    writer.add_tensor("token_embd.weight", np.ones((4, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(Unsupported, match=f"{architecture} models are not read"):
        open_model(tmp_path / "m.gguf")
