"""Damaged checkpoints: one clear line and a typed error that names the file and the tensor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from huref.common.errors import HurefError, InputOutputError, Malformed, Unsupported, UsageError
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.families import open_model
from tests.prover.checkpoint.test_gguf_families import CASES, convert
from tests.support import tiny_models

DOWN = "model.layers.2.mlp.down_proj.weight"
GAIN = "model.layers.1.input_layernorm.weight"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llama", tmp_path_factory.mktemp("llama"))


def edit_config(**changes: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(config))

    return apply


def edit_tensor(name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        checkpoint = open_checkpoint(folder)
        tensors = {n: torch.from_numpy(checkpoint.read(n)) for n in checkpoint.names()}
        changed = change(tensors.pop(name))
        save_file(tensors | ({} if changed is None else {name: changed}), folder / "model.safetensors")

    return apply


def poison(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def apply(tensor: torch.Tensor) -> torch.Tensor:
        tensor.flatten()[7] = value
        return tensor

    return apply


def add_tensor(name: str, tensor: torch.Tensor) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        checkpoint = open_checkpoint(folder)
        tensors = {n: torch.from_numpy(checkpoint.read(n)) for n in checkpoint.names()}
        save_file({**tensors, name: tensor}, folder / "model.safetensors")

    return apply


def rewrite(file: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / file).write_bytes(change((folder / file).read_bytes()))

    return apply


def no_weights_but(file: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / file).write_bytes(b"\x80\x04N.")

    return apply


def delete(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def add(file: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / file).write_bytes(b"GGUF")

    return apply


def two_nameless_files(folder: Path) -> None:
    shutil.copy(folder / WEIGHTS, folder / "a.safetensors")
    (folder / WEIGHTS).rename(folder / "b.safetensors")


def index(weight_map: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return apply


BROKEN: list[tuple[str, Callable[[Path], None], type[HurefError], str]] = [
    ("missing tensor", edit_tensor(DOWN, lambda t: None), Malformed, f"{DOWN} is missing"),
    ("missing gain", edit_tensor(GAIN, lambda t: None), Malformed, f"{GAIN} is missing"),
    ("misshapen", edit_tensor(DOWN, lambda t: t[:, :-1].contiguous()), Malformed, f"{DOWN} has shape"),
    ("long gain", edit_tensor(GAIN, lambda t: torch.ones(65)), Malformed, f"{GAIN} has shape"),
    ("NaN", edit_tensor(DOWN, poison(float("nan"))), Malformed, f"{DOWN} holds NaN or infinity"),
    ("infinity", edit_tensor(GAIN, poison(float("inf"))), Malformed, f"{GAIN} holds NaN or infinity"),
    ("integers", edit_tensor(DOWN, lambda t: t.to(torch.int8)), Unsupported, f"{DOWN} has dtype I8"),
    ("overflow", edit_tensor(DOWN, lambda t: t.double() * 1e300), Malformed, "NaN or infinity"),
    ("truncated", rewrite(WEIGHTS, lambda b: b[:-5]), Malformed, "truncated or padded"),
    ("trailing bytes", rewrite(WEIGHTS, lambda b: b + b"x"), Malformed, "truncated or padded"),
    ("short header", rewrite(WEIGHTS, lambda b: b[:300]), Malformed, "truncated"),
    ("empty", rewrite(WEIGHTS, lambda b: b""), Malformed, "not a safetensors file"),
    ("garbage", rewrite(WEIGHTS, lambda b: b"\xff" * 4096), Malformed, "not a safetensors file"),
    ("no JSON", rewrite(WEIGHTS, lambda b: b[:8] + b"[" + b[9:]), Malformed, "header is not JSON"),
    ("config not JSON", rewrite("config.json", lambda b: b[:-9]), Malformed, "not valid JSON"),
    ("config a list", rewrite("config.json", lambda b: b"[]"), Malformed, "expected a JSON object"),
    ("no config", delete("config.json"), InputOutputError, "no config.json"),
    ("unknown family", edit_config(model_type="zebra"), Unsupported, "unknown architecture 'zebra'"),
    (
        "encoder and decoder",
        edit_config(model_type="mbart", is_encoder_decoder=True),
        Unsupported,
        "mbart models are not read: of those with an encoder and a decoder only T5's encoder is",
    ),
    ("no family", edit_config(model_type=None), Malformed, "no model_type"),
    ("experts", edit_config(num_local_experts=8), Unsupported, "mixture-of-experts"),
    ("quantized", add_tensor(f"{DOWN}.absmax", torch.ones(4)), Unsupported, "bitsandbytes 4-bit"),
    ("heads in words", edit_config(num_attention_heads="4"), Malformed, "num_attention_heads"),
    ("zero heads", edit_config(num_attention_heads=0), Malformed, "num_attention_heads"),
    ("no width", edit_config(hidden_size=None), Malformed, "no hidden_size"),
    ("wrong width", edit_config(hidden_size=60), Malformed, "embedding is (384, 64)"),
    ("odd groups", edit_config(num_key_value_heads=3), Malformed, "3 kv heads"),
    ("too many layers", edit_config(num_hidden_layers=4), Malformed, "layers.3"),
    ("too few layers", edit_config(num_hidden_layers=2), Malformed, "says 2 layers"),
    ("pickle", no_weights_but("pytorch_model.bin"), Unsupported, "pickled"),
    ("adapter", no_weights_but("adapter_model.safetensors"), Unsupported, "LoRA adapter"),
    ("nothing", delete(WEIGHTS), InputOutputError, "no checkpoint here"),
    ("two formats", add("x.gguf"), UsageError, "several"),
    ("unnamed shards", two_nameless_files, UsageError, "2 safetensors"),
    ("lost shard", index({DOWN: "model-2.safetensors"}), InputOutputError, "shard is missing"),
    ("index lies", index({"x": "model-1.safetensors"}), Malformed, "tensor x is missing"),
    ("index escapes", index({DOWN: "../a.safetensors"}), Malformed, "not a file name"),
    ("index empty", index({}), Malformed, "no weight_map"),
]


@pytest.mark.parametrize(("damage", "error", "text"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_one_clear_error(
    damage: Callable[[Path], None], error: type[HurefError], text: str, llama: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(llama, tmp_path / "copy"))
    damage(copy)
    with pytest.raises(error) as caught:
        model = open_model(copy)
        for layer in range(model.shape.layers):
            model.layer(layer)
    assert text in caught.value.message and "\n" not in caught.value.message
    assert str(copy) in caught.value.message


def test_mutated_headers_and_configs() -> None:
    """A small sample of benchmarks/fuzz_checkpoint.py, with a fixed seed: anything but a typed error propagates."""
    from benchmarks.fuzz_checkpoint import run

    found = run(300, seed=5)
    assert found.total() == 300 and found["read"] > 10 and found["Malformed, exit 3"] > 100


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 2000), byte=st.integers(0, 255), cut=st.booleans())
def test_damaged_safetensors_headers_raise_typed_errors_only(
    llama: Path, tmp_path: Path, at: int, byte: int, cut: bool
) -> None:
    blob = bytearray((llama / WEIGHTS).read_bytes())
    blob[at] = byte
    shutil.copy(llama / "config.json", tmp_path / "config.json")
    (tmp_path / WEIGHTS).write_bytes(blob[: at + 1] if cut else blob)
    try:
        model = open_model(tmp_path)
    except HurefError as error:
        assert "\n" not in error.message
    else:
        found = replace(model.shape, head=True)  # a header that calls the head something else leaves none
        assert found == open_model(llama).shape


@pytest.fixture(scope="module")
def gguf_file(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    convert(llama, path, *CASES["llama"])
    return path


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 3000), byte=st.integers(0, 255), cut=st.booleans())
def test_damaged_gguf_headers_raise_typed_errors_only(
    gguf_file: Path, tmp_path: Path, at: int, byte: int, cut: bool
) -> None:
    blob = bytearray(gguf_file.read_bytes())
    blob[at] = byte
    (tmp_path / "m.gguf").write_bytes(blob[: at + 1] if cut else blob)
    try:
        model = open_model(tmp_path)
        model.layer(0)
    except HurefError as error:
        assert "\n" not in error.message


def test_truncated_gguf_is_malformed(gguf_file: Path, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf_file.read_bytes()[:-1000])
    with pytest.raises(Malformed, match="truncated: tensor"):
        open_checkpoint(tmp_path / "m.gguf")
