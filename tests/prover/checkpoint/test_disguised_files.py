"""Files whose names say little or the wrong thing, adapters beside weights, formats of other libraries."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from huref.common.errors import InputOutputError, Malformed, Unsupported
from huref.prover.checkpoint.families import open_model
from tests.prover.checkpoint.test_gguf_families import CASES, convert
from tests.support import tiny_models
from tests.support.same_model import assert_same

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
Q = "model.layers.1.self_attn.q_proj"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture
def copy(llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llama, tmp_path / "copy"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model", "weights.pt", "consolidated.00.pth"])
def test_a_folder_whose_weights_are_called_otherwise(name: str, llama: Path, copy: Path) -> None:
    (copy / WEIGHTS).rename(copy / name)
    assert_same(open_model(copy), open_model(llama))


@pytest.mark.parametrize("name", ["ggml-model-q4_0.bin", "sha256-0123abcd"])
def test_a_folder_with_a_gguf_called_otherwise(name: str, llama: Path, tmp_path: Path) -> None:
    convert(llama, tmp_path / "m.gguf", *CASES["llama"])
    expected = open_model(tmp_path / "m.gguf")
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(tmp_path / "m.gguf", folder / name)
    assert_same(open_model(folder), expected)
    shutil.copy(tmp_path / "m.gguf", folder / "model-mmproj-f16.gguf")  # the image side by its name
    shutil.copy(tmp_path / "m.gguf", folder / "model.gguf")
    assert_same(open_model(folder), expected)


@pytest.mark.parametrize(
    ("head", "text"),
    [(b"GGUF\x03\0\0\0", "it is a gguf file"), (b"PK\x03\x04", "it is a pickle file")],
)
def test_other_files_called_safetensors(head: bytes, text: str, copy: Path) -> None:
    (copy / WEIGHTS).write_bytes(head + bytes(100))
    with pytest.raises(Malformed, match=text) as caught:
        open_model(copy)
    assert caught.value.hint


def test_a_pickle_that_is_a_pointer_is_a_pickle(copy: Path) -> None:
    (copy / WEIGHTS).unlink()
    (copy / "pytorch_model.bin").write_bytes(
        b"version https://git-lfs.example/spec/v1\noid sha256:4d\nsize 1\n"
    )
    with pytest.raises(Unsupported, match="pickled"):
        open_model(copy)


@pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack", "rust_model.ot", "weights.npz"])
def test_weights_of_other_libraries(name: str, copy: Path) -> None:
    (copy / WEIGHTS).unlink()
    (copy / name).write_bytes(b"PK\x03\x04" if name.endswith("npz") else b"\x89HDF\r\n\x1a\n")
    with pytest.raises(Unsupported, match=f"{name}: weights of TensorFlow, Flax, Rust or MLX") as caught:
        open_model(copy)
    assert caught.value.hint is not None and "safetensors" in caught.value.hint


def test_an_index_of_another_name(llama: Path, tmp_path: Path) -> None:
    folder = tiny_models.build("llama", tmp_path / "sharded", max_shard_size="30KB")
    (folder / INDEX).rename(folder / "model.fp16.safetensors.index.json")
    assert_same(open_model(folder), open_model(llama))
    shutil.copy(folder / "model.fp16.safetensors.index.json", folder / INDEX)  # then the usual one counts
    assert_same(open_model(folder), open_model(llama))


def test_a_hub_cache_two_folders_above(llama: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / "0123"
    shutil.copytree(llama, snapshot)
    with pytest.raises(InputOutputError, match="no checkpoint here") as caught:
        open_model(tmp_path)
    assert caught.value.hint == f"did you mean {snapshot}?"


@pytest.mark.parametrize(
    "changes",
    [
        {f"{Q}.base_layer.weight": 0, f"{Q}.lora_A.default.weight": 1, f"{Q}.lora_B.default.weight": 1},
        {f"{Q}.weight": 0, f"{Q}.lora_A.weight": 1, f"{Q}.lora_B.weight": 1},
        {
            "model.embed_tokens.original_module.weight": 0,
            "model.embed_tokens.modules_to_save.default.weight": 1,
        },
        {f"{Q}.weight": 0, "model.embed_tokens.lora_embedding_A.default": 1},
        {
            f"{Q}.base_layer.weight": 0,
            f"{Q}.lora_A.default.weight": 1,
            f"{Q}.lora_magnitude_vector.default.weight": 1,
        },
    ],
)
def test_adapters_beside_the_weights(changes: dict[str, int], copy: Path) -> None:
    """As PEFT saves a model that was never merged; beside the embedding no block would tell."""
    tensors = {f"base_model.model.{name}": tensor for name, tensor in load_file(copy / WEIGHTS).items()}
    for name, new in changes.items():
        full = f"base_model.model.{name}"
        old = next(n for n in tensors if n.startswith(full.partition("_module")[0][:40].rsplit(".", 1)[0]))
        tensors[full] = torch.ones(8) if new else tensors[old].clone()
    save_file(tensors, copy / WEIGHTS)
    with pytest.raises(Unsupported, match="an adapter that is not merged: ") as caught:
        open_model(copy)
    assert caught.value.hint is not None and "merge_and_unload" in caught.value.hint


@pytest.mark.parametrize(
    ("endings", "scheme"),
    [
        ((".scales", ".biases"), "MLX"),
        (("._weight_qdata", "._weight_scale"), "torchao"),
        ((".absmax",), "4-bit"),
    ],
)
def test_quantized_by_other_libraries(endings: tuple[str, ...], scheme: str, copy: Path) -> None:
    tensors = load_file(copy / WEIGHTS)
    tensors |= {f"{Q}{ending}": torch.zeros(4, 4, dtype=torch.uint8) for ending in endings}
    save_file(tensors, copy / WEIGHTS)
    with pytest.raises(Unsupported, match=rf"quantized with .*{scheme}.*{Q}"):
        open_model(copy)


@pytest.mark.parametrize(("order", "read"), [("auto_round:auto_gptq", True), ("auto_round:other", False)])
def test_auto_round_says_how_it_packs(order: str, read: bool, llama: Path, tmp_path: Path) -> None:
    from tests.prover.checkpoint.test_quantized import FORMATS, write

    parts, want, settings = FORMATS["gptq 4"]()
    folder = write(
        tmp_path / "m", llama, parts, settings | {"quant_method": "auto-round", "packing_format": order}
    )
    if read:
        assert (open_model(folder).layer(2).up == want).all()
        return
    with pytest.raises(Unsupported, match=f"in {order} order"):
        open_model(folder)


def test_a_config_without_an_architecture_says_so(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"text_config": 3, "model_type": ["llama"]}))
    with pytest.raises(Malformed, match="no model_type"):
        open_model(copy)
