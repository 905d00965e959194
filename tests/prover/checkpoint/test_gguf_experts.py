"""Mixtures of experts as GGUF: the terms' factors are those of the Hugging Face folder, bit for bit."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from huref.common.errors import Unsupported
from huref.prover.checkpoint.families import Model, open_model
from tests.prover.checkpoint.test_gguf_families import Rows, _permute
from tests.support import tiny_experts

ARCHITECTURES = {
    "mixtral": gguf.MODEL_ARCH.LLAMA,
    "qwen2_moe": gguf.MODEL_ARCH.QWEN2MOE,
    "qwen3_moe": gguf.MODEL_ARCH.QWEN3MOE,
    "olmoe": gguf.MODEL_ARCH.OLMOE,
}


def stacked(model: Model) -> dict[str, Rows]:
    """The tensors of a folder, experts in one tensor, as the published converter stacks them."""
    tensors: dict[str, Rows] = {}
    groups: dict[str, dict[int, Rows]] = {}
    for name in model.checkpoint.names():
        head, found, tail = name.partition(".experts.")
        if found:
            number, _, part = tail.partition(".")
            groups.setdefault(f"{head}.experts.{part}", {})[int(number)] = model.checkpoint.read(name)
        else:
            tensors[name] = model.checkpoint.read(name)
    return tensors | {name: np.stack([parts[i] for i in range(len(parts))]) for name, parts in groups.items()}


def write(folder: Path, target: Path, architecture: gguf.MODEL_ARCH, heads: int, kv_heads: int) -> None:
    model = open_model(folder)
    writer = gguf.GGUFWriter(target, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_embedding_length(tiny_experts.HIDDEN)
    writer.add_block_count(model.layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(8)
    writer.add_expert_count(tiny_experts.EXPERTS)
    names = gguf.get_tensor_name_map(architecture, model.layers)
    for name, tensor in stacked(model).items():
        if name.endswith(".bias"):
            continue
        if architecture == gguf.MODEL_ARCH.LLAMA and name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = _permute(tensor, heads if "q_proj" in name else kv_heads)
        target_name = names.get_name(name, try_suffixes=(".weight",))
        assert target_name is not None, name
        writer.add_tensor(target_name, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_terms_equal_hugging_face(name: str, tmp_path: Path) -> None:
    changes = {"mlp_only_layers": []} if name == "qwen2_moe" else {}  # GGUF has no dense layers there
    tiny_experts.random_model(name, **changes).float().save_pretrained(tmp_path / "hf")
    write(
        tmp_path / "hf", tmp_path / "m.gguf", ARCHITECTURES[name], tiny_experts.HEADS, tiny_experts.KV_HEADS
    )
    expected, got = open_model(tmp_path / "hf"), open_model(tmp_path / "m.gguf")
    assert got.layers == expected.layers == 2
    np.testing.assert_array_equal(got.embedding_rows([3, 1]), expected.embedding_rows([3, 1]))
    for layer in range(2):
        ours, theirs = got.layer_terms(layer), expected.layer_terms(layer)
        assert [term.kind for term in ours] == [term.kind for term in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert (one.left_heads, one.right_heads) == (other.left_heads, other.right_heads)
            for pair, same in zip(one.pairs(), other.pairs(), strict=True):
                np.testing.assert_array_equal(pair[0], same[0], err_msg=one.kind)
                np.testing.assert_array_equal(pair[1], same[1], err_msg=one.kind)


def test_an_architecture_that_is_read_from_hugging_face_only(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "deepseek2")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(Unsupported, match="deepseek2 models are not read: its GGUF layout"):
        open_model(tmp_path / "m.gguf")
