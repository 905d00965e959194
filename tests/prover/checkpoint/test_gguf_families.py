"""GGUF files hold the same model as the Hugging Face folder they were converted from, bit for bit.

Names come from the `gguf` package's own map; the layout changes of the published converter (permuted rotary
rows, regrouped q,k,v, 1+γ, transposed Conv1D) are redone here.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from huref.common.errors import InputOutputError, Malformed
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.families import Model, open_model
from tests.support import published_layouts, tiny_models
from tests.support.same_model import assert_same

Rows = NDArray[np.float32]


def _permute(rows: Rows, heads: int) -> Rows:
    """Rotary planes from halves to neighbours, as the converter does for LLaMA."""
    return rows.reshape(heads, 2, -1, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)


def _llama(name: str, tensor: Rows, model: Model) -> Rows:
    if ".q_proj." in name:
        return _permute(tensor, model.shape.heads)
    return _permute(tensor, model.shape.kv_heads) if ".k_proj." in name else tensor


def _gemma(name: str, tensor: Rows, model: Model) -> Rows:
    return tensor + np.float32(1) if "norm" in name and name.endswith("weight") else tensor


def _conv1d(name: str, tensor: Rows, model: Model) -> Rows:
    linear = any(part in name for part in ("c_attn", "c_proj", "c_fc"))
    return np.ascontiguousarray(tensor.T) if linear else tensor


def _regroup(name: str, tensor: Rows, model: Model) -> Rows:
    """Fused q,k,v of NeoX, BLOOM and Falcon to all q, all k, all v."""
    if "query_key_value" not in name:
        return tensor
    s = model.shape
    fused = tensor.reshape(s.kv_heads, s.group + 2, s.head_dim, -1)
    parts = (fused[:, :-2], fused[:, -2], fused[:, -1])
    return np.concatenate([part.reshape(-1, tensor.shape[-1]) for part in parts])


def _same(name: str, tensor: Rows, model: Model) -> Rows:
    return tensor


def _internlm2(name: str, tensor: Rows, model: Model) -> Rows | dict[str, Rows]:
    if "wqkv" not in name:
        return tensor
    s = model.shape
    fused = tensor.reshape(s.kv_heads, s.group + 2, s.head_dim, -1)
    q, k, v = (part.reshape(-1, tensor.shape[-1]) for part in (fused[:, :-2], fused[:, -2], fused[:, -1]))
    parts = {"wq": _permute(q, s.heads), "wk": _permute(k, s.kv_heads), "wv": v}
    return {name.replace("wqkv", part): rows for part, rows in parts.items()}


def _baichuan(name: str, tensor: Rows, model: Model) -> Rows | dict[str, Rows]:
    if "W_pack" not in name:
        return tensor
    q, k, v = np.split(tensor, 3)
    heads = model.shape.heads
    parts = {"q_proj": _permute(q, heads), "k_proj": _permute(k, heads), "v_proj": v}
    return {name.replace("W_pack", part): rows for part, rows in parts.items()}


_ARCH = gguf.MODEL_ARCH
CASES: dict[str, tuple[gguf.MODEL_ARCH, Any]] = {
    "llama": (_ARCH.LLAMA, _llama),
    "qwen2": (_ARCH.QWEN2, _same),
    "qwen3": (_ARCH.QWEN3, _same),
    "gemma": (_ARCH.GEMMA, _gemma),
    "gemma2": (_ARCH.GEMMA2, _gemma),
    "gemma3": (_ARCH.GEMMA3, _gemma),
    "phi3": (_ARCH.PHI3, _same),
    "glm4": (_ARCH.GLM4, _same),
    "gpt2": (_ARCH.GPT2, _conv1d),
    "gptj": (_ARCH.GPTJ, _same),
    "gpt_neox": (_ARCH.GPTNEOX, _regroup),
    "gpt_neox-sequential": (_ARCH.GPTNEOX, _regroup),
    "gpt_bigcode": (_ARCH.STARCODER, _same),
    "bloom": (_ARCH.BLOOM, _regroup),
    "falcon-7b": (_ARCH.FALCON, _regroup),
    "falcon-40b": (_ARCH.FALCON, _regroup),
    "mpt": (_ARCH.MPT, _same),
    "stablelm": (_ARCH.STABLELM, _same),
    "starcoder2": (_ARCH.STARCODER2, _same),
    "phi": (_ARCH.PHI2, _same),
    "cohere": (_ARCH.COMMAND_R, _same),
    "cohere-qknorm": (_ARCH.COMMAND_R, _same),
    "bert": (_ARCH.BERT, _same),
    "granite": (_ARCH.GRANITE, _llama),
    "smollm3": (_ARCH.SMOLLM3, _llama),
    "cohere2": (_ARCH.COHERE2, _same),
    "olmo": (_ARCH.OLMO, _llama),
    "olmo2": (_ARCH.OLMO2, _same),
    "exaone4": (_ARCH.EXAONE4, _same),
    "arcee": (_ARCH.ARCEE, _llama),
    "nemotron": (_ARCH.NEMOTRON, _gemma),
    "seed_oss": (_ARCH.SEED_OSS, _same),
    "ernie4_5": (_ARCH.ERNIE4_5, _same),
    "hunyuan": (_ARCH.HUNYUAN_DENSE, _same),
    "apertus": (_ARCH.APERTUS, _same),
    "qwen2_vl": (_ARCH.QWEN2VL, _same),
    "qwen3_vl": (_ARCH.QWEN3VL, _same),
}
PUBLISHED_CASES: dict[str, tuple[gguf.MODEL_ARCH, Any]] = {
    "internlm2": (_ARCH.INTERNLM2, _internlm2),
    "baichuan-7b": (_ARCH.BAICHUAN, _baichuan),
    "qwen": (_ARCH.QWEN, _same),
    "chatglm2": (_ARCH.CHATGLM, _same),
}
_BASE_CLASS = (_ARCH.QWEN2VL, _ARCH.QWEN3VL)
_UNPREFIXED = (_ARCH.BLOOM, _ARCH.CHATGLM)  # the map knows these without "transformer."


def convert(
    folder: Path,
    target: Path,
    architecture: gguf.MODEL_ARCH,
    change: Any,
    quantize: bool = False,
    split: int = 0,
) -> None:
    """Write the model in `folder` as GGUF, float32 (or Q8_0 where rows allow it), `split` tensors to a file."""
    model, checkpoint = open_model(folder), open_checkpoint(folder)
    shape, config = model.shape, checkpoint.config
    writer = gguf.GGUFWriter(target, gguf.MODEL_ARCH_NAMES[architecture], split_max_tensors=split)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    if shape.rotary is not None:
        writer.add_rope_dimension_count(shape.rotary_dim)
    if "use_parallel_residual" in config:
        writer.add_parallel_residual(config["use_parallel_residual"])
    if config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    names = gguf.get_tensor_name_map(architecture, shape.layers)
    for name in checkpoint.names():
        stored = checkpoint.read(name)
        bias = name.endswith(".bias") and stored.ndim == 1
        changed = change(name, stored[:, None] if bias else stored, model)
        for new, tensor in (changed if isinstance(changed, dict) else {name: changed}).items():
            tensor = tensor.reshape(-1) if bias else tensor
            short = new.removeprefix("bert.")
            short = short.removeprefix("transformer.") if architecture in _UNPREFIXED else short
            short = f"model.{short}" if architecture in _BASE_CLASS else short
            target_name = names.get_name(short, try_suffixes=(".weight", ".bias"))
            if target_name is None:
                continue  # heads of the pretraining task
            if quantize and tensor.ndim == 2 and tensor.shape[1] % 32 == 0:
                kind = gguf.GGMLQuantizationType.Q8_0
                writer.add_tensor(target_name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
            else:
                writer.add_tensor(target_name, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("family", CASES | PUBLISHED_CASES)
def test_gguf_equals_hugging_face(family: str, tmp_path: Path) -> None:
    folder, target = tmp_path / "hf", tmp_path / "model.gguf"
    if family in CASES:
        tiny_models.build(family, folder)
    else:
        published_layouts.build(family, folder)
    convert(folder, target, *(CASES | PUBLISHED_CASES)[family])
    assert_same(open_model(target), open_model(folder))


def test_quantized_rows_equal_the_whole_tensor(tmp_path: Path) -> None:
    folder, target = tiny_models.build("llama", tmp_path / "hf"), tmp_path / "q8.gguf"
    convert(folder, target, *CASES["llama"], quantize=True)
    checkpoint, exact = open_checkpoint(target), open_checkpoint(folder)
    whole = checkpoint.read("token_embd.weight")
    np.testing.assert_array_equal(checkpoint.read_rows("token_embd.weight", [7, 300, 7]), whole[[7, 300, 7]])
    original = exact.read("model.embed_tokens.weight")
    assert 0 < np.abs(whole - original).max() < np.abs(original).max() / 100


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A llama, and its GGUF in parts of ten tensors."""
    folder = tmp_path_factory.mktemp("split")
    tiny_models.build("llama", folder / "hf")
    (folder / "parts").mkdir()
    convert(folder / "hf", folder / "parts" / "m.gguf", *CASES["llama"], split=10)
    return folder / "hf", folder / "parts"


def test_parts_of_a_split_file_are_one_model(split: tuple[Path, Path], tmp_path: Path) -> None:
    expected, parts = open_model(split[0]), sorted(split[1].iterdir())
    assert [part.name for part in parts] == [f"m-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    for given in (split[1], *parts):
        assert_same(open_model(given), expected)
    model = open_model(split[1])
    assert set(model.source_files(3)) == set(parts) == set(model.checkpoint.source_files)
    assert parts[1] not in model.source_files(1)
    copy = Path(shutil.copytree(split[1], tmp_path / "copy"))
    (copy / parts[1].name).unlink()
    with pytest.raises(
        InputOutputError, match=r"m-00002-of-00003\.gguf: this part of the split GGUF is missing"
    ):
        open_model(copy)
    shutil.copy(copy / parts[2].name, copy / parts[1].name)
    with pytest.raises(Malformed, match="is in another part too"):
        open_model(copy)
    (copy / parts[0].name).rename(copy / "renamed.gguf")
    with pytest.raises(InputOutputError, match="one of 3 parts of a split GGUF, but not named"):
        open_model(copy / "renamed.gguf")
