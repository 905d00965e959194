"""Checkpoint files: formats, dtypes, laziness, and one clear typed error for everything that can be wrong."""

from __future__ import annotations

import json
import shutil
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from huref.common.errors import InputOutputError, Unsupported, UsageError
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.families import open_model
from huref.prover.checkpoint.formats.folder import SafetensorsCheckpoint
from tests.support import tiny_models


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture
def copy(llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llama, tmp_path / "copy"))


def write(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2],
)
def test_float_dtypes_decode_exactly(dtype: torch.dtype, tmp_path: Path) -> None:
    values = (torch.randn(9, 5, generator=torch.Generator().manual_seed(1)) * 3).to(dtype)
    values[0, :2] = torch.tensor([0.0, 2.0**-9]).to(dtype)  # a subnormal of the 8-bit formats
    checkpoint = open_checkpoint(write(tmp_path, {"w": values, "other": torch.zeros(3)}))
    assert checkpoint.names() == ("other", "w") and checkpoint.shape("w") == (9, 5)
    got = checkpoint.read("w")
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, values.to(torch.float32).numpy())
    rows = checkpoint.read_rows("w", [8, 0, 8, 3])
    np.testing.assert_array_equal(rows, got[[8, 0, 8, 3]])


def test_every_8_bit_code_decodes_as_in_torch(tmp_path: Path) -> None:
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu):
        codes = torch.arange(256, dtype=torch.uint8).view(dtype)
        finite = codes[torch.isfinite(codes.float())]
        checkpoint = open_checkpoint(write(tmp_path / str(dtype), {"w": finite}))
        np.testing.assert_array_equal(checkpoint.read("w"), finite.float().numpy())


def test_shards_equal_the_single_file(llama: Path, tmp_path: Path) -> None:
    sharded = tiny_models.build("llama", tmp_path, max_shard_size="100KB")
    assert len(list(sharded.glob("*.safetensors"))) > 2
    one, many = open_checkpoint(llama), open_checkpoint(sharded)
    assert one.names() == many.names() and len(many.source_files) > 2
    for name in one.names():
        np.testing.assert_array_equal(one.read(name), many.read(name))
    assert open_model(one).shape == open_model(many).shape


def test_files_that_the_last_layers_are_read_from(tmp_path: Path) -> None:
    model = open_model(tiny_models.build("llama", tmp_path, max_shard_size="30KB"))
    checkpoint = model.checkpoint
    assert isinstance(checkpoint, SafetensorsCheckpoint)
    described = set(model.source_files(1))
    model.embedding_rows([1])
    model.layer(model.shape.layers - 1)
    read = {shard.path for shard in checkpoint._home.values() if shard._map is not None}
    assert read <= described < set(checkpoint.source_files)
    assert set(model.source_files(model.shape.layers)) == set(checkpoint.source_files)


def test_one_file_or_its_folder(llama: Path) -> None:
    by_file = open_checkpoint(llama / "model.safetensors")
    assert by_file.names() == open_checkpoint(llama).names()
    assert by_file.config["model_type"] == "llama"


def test_multimodal_nesting_and_other_prefix(copy: Path) -> None:
    """Vision-language checkpoints keep the language model one level down, in names and config."""
    config, checkpoint = json.loads((copy / "config.json").read_text()), open_checkpoint(copy)
    names = (n for n in checkpoint.names() if n.startswith("model."))
    nested = {f"language_model.{name}": torch.from_numpy(checkpoint.read(name)) for name in names}
    expected = open_model(copy).layer(2).v
    save_file(nested, copy / "model.safetensors")
    (copy / "config.json").write_text(json.dumps({"model_type": "llava", "text_config": config}))
    np.testing.assert_array_equal(open_model(copy).layer(2).v, expected)


def test_a_7b_file_is_never_loaded_whole(tmp_path: Path) -> None:
    """A sparse 13.5 GB file in LLaMA-7B's shape: opening and reading stay within one layer's size."""
    config = {
        "model_type": "llama",
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "intermediate_size": 11008,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    block = {f"self_attn.{n}_proj": [4096, 4096] for n in "qkvo"}
    block |= {"mlp.gate_proj": [11008, 4096], "mlp.up_proj": [11008, 4096], "mlp.down_proj": [4096, 11008]}
    block |= {"input_layernorm": [4096], "post_attention_layernorm": [4096]}
    shapes = {"model.embed_tokens.weight": [32000, 4096]}
    shapes |= {f"model.layers.{i}.{name}.weight": shape for i in range(32) for name, shape in block.items()}
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    blob = json.dumps(header).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(blob)) + blob)
        file.truncate(8 + len(blob) + offset)
    tracemalloc.start()
    model = open_model(tmp_path)
    rows = model.embedding_rows(np.arange(31000, 32000))
    wide = model.checkpoint.read("model.layers.31.mlp.up_proj.weight")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows.shape == (1000, 4096) and wide.shape == (11008, 4096)
    assert model.shape.layers == 32 and model.shape.ffn == 11008
    assert peak < 4 * wide.nbytes


@pytest.mark.parametrize("name", ["m.bin", "m.pt", "m.pth", "m.ckpt", "m.pkl"])
def test_pickles_are_refused_unread(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(Unsupported, match="never opened") as caught:
        open_checkpoint(tmp_path / name)
    assert caught.value.hint is not None and "save_pretrained" in caught.value.hint


def test_paths_that_are_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(InputOutputError, match="no such file"):
        open_checkpoint(tmp_path / "absent")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(Unsupported, match="not a checkpoint format"):
        open_checkpoint(tmp_path / "a.txt")


def test_row_ids_are_checked(llama: Path) -> None:
    model = open_model(llama)
    for ids in ([0, 384], [-1, 3]):
        with pytest.raises(UsageError, match="outside"):
            model.embedding_rows(ids)
    with pytest.raises(UsageError, match="list of integers"):
        model.embedding_rows([0.5])
    assert model.embedding_rows(np.array([], np.int64)).shape == (0, 64)
    with pytest.raises(IndexError):
        model.layer(3)
