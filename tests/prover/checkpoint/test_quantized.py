"""Quantized weights are read back exactly: packed here number by number, each format from its own description."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from huref.common.errors import HurefError, InputOutputError, Malformed, Unsupported
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.families import open_model
from tests.support import tiny_models

WEIGHTS = "model.safetensors"
NAME = "model.layers.2.mlp.up_proj"
OUT, IN = 88, 64
Parts = dict[str, torch.Tensor]
Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llama", tmp_path_factory.mktemp("llama"))


def integers(low: int, high: int, *shape: int) -> NDArray[np.int64]:
    return np.random.default_rng(7).integers(low, high, shape)


def positive(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    values = 0.01 + torch.rand(shape, generator=torch.Generator().manual_seed(11))
    return values.to(dtype)


def into_words(numbers: NDArray[np.int64], bits: int, order: list[int] | None = None) -> torch.Tensor:
    """Successive numbers along the last axis into 32-bit words; number order[i] goes to place i."""
    per_word = 32 // bits
    groups = numbers.reshape(*numbers.shape[:-1], -1, per_word)[..., order or range(per_word)]
    words = (groups << (bits * np.arange(per_word))).sum(-1)
    return torch.from_numpy(words.astype(np.uint32).view(np.int32).copy())


def fp8(scale: tuple[int, ...], ending: str, block: tuple[int, int] | None = None, **config: Any) -> Any:
    def build() -> tuple[Parts, Array, dict[str, Any]]:
        stored = torch.randn(OUT, IN, generator=torch.Generator().manual_seed(3)).to(torch.float8_e4m3fn)
        scales = positive(*scale)
        rows, cols = block or (OUT, IN)
        spread = scales.reshape(1, 1) if scales.numel() == 1 else scales.reshape(len(scales), -1)
        spread = spread.repeat_interleave(rows, 0)[:OUT].repeat_interleave(cols, 1)[:, :IN]
        want = stored.float() * spread
        return {".weight": stored, ending: scales}, want.numpy(), config

    return build


def bitsandbytes() -> tuple[Parts, Array, dict[str, Any]]:
    numbers, scales = integers(-127, 128, OUT, IN), positive(OUT)
    want = (numbers * (scales.double().numpy()[:, None] / 127)).astype(np.float32)
    parts = {".weight": torch.from_numpy(numbers.astype(np.int8)), ".SCB": scales}
    return parts | {".weight_format": torch.zeros((), dtype=torch.uint8)}, want, {}


def int8(zero: bool) -> Any:
    def build() -> tuple[Parts, Array, dict[str, Any]]:
        numbers, scales, zeros = (
            integers(-128, 128, OUT, IN),
            positive(OUT, 1),
            integers(-9, 9, OUT, 1) * zero,
        )
        want = (numbers - zeros).astype(np.float32) * scales.numpy()
        parts = {".weight": torch.from_numpy(numbers.astype(np.int8)), ".weight_scale": scales}
        if zero:
            parts[".weight_zero_point"] = torch.from_numpy(zeros.astype(np.int8))
        return parts, want, {}

    return build


def gptq(bits: int, group: int, *, shuffled: bool = False, second: bool = False) -> Any:
    """auto-gptq: inputs packed along the first axis, zero points one too small (not in its second format)."""

    def build() -> tuple[Parts, Array, dict[str, Any]]:
        groups, top = IN // group, 1 << bits
        numbers, zeros = integers(0, top, IN, OUT), integers(1, top, groups, OUT)
        scales = positive(groups, OUT, dtype=torch.float16)
        index = np.arange(IN) // group
        if shuffled:
            index = np.random.default_rng(5).permutation(index)
        want = (numbers - zeros[index]).astype(np.float32) * scales.float().numpy()[index]
        parts = {
            ".qweight": into_words(numbers.T, bits).T.contiguous(),
            ".qzeros": into_words(zeros - (not second), bits),
            ".scales": scales,
            ".g_idx": torch.from_numpy(index.astype(np.int32)),
        }
        settings = {"quant_method": "gptq", "bits": bits, "group_size": group}
        return parts, want.T, settings | ({"checkpoint_format": "gptq_v2"} if second else {})

    return build


def awq() -> tuple[Parts, Array, dict[str, Any]]:
    group = 32
    numbers, zeros = integers(0, 16, IN, OUT), integers(0, 16, IN // group, OUT)
    scales = positive(IN // group, OUT, dtype=torch.float16)
    index = np.arange(IN) // group
    want = (numbers - zeros[index]).astype(np.float32) * scales.float().numpy()[index]
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    parts = {
        ".qweight": into_words(numbers, 4, order),
        ".qzeros": into_words(zeros, 4, order),
        ".scales": scales,
    }
    return parts, want.T, {"quant_method": "awq", "bits": 4}


def compressed(bits: int, group: int, *, zero: bool = False, shuffled: bool = False) -> Any:
    def build() -> tuple[Parts, Array, dict[str, Any]]:
        half, groups = 1 << (bits - 1), IN // group
        numbers, zeros = integers(-half, half, OUT, IN), integers(-half, half, OUT, groups) * zero
        scales = positive(OUT, groups, dtype=torch.bfloat16)
        index = np.arange(IN) // group
        if shuffled:
            index = np.random.default_rng(5).permutation(index)
        want = (numbers - zeros[:, index]).astype(np.float32) * scales.float().numpy()[:, index]
        parts = {".weight_packed": into_words(numbers + half, bits), ".weight_scale": scales}
        parts[".weight_shape"] = torch.tensor([OUT, IN])
        if zero:
            parts[".weight_zero_point"] = into_words((zeros + half).T, bits).T.contiguous()
        if shuffled:
            parts[".weight_g_idx"] = torch.from_numpy(index.astype(np.int32))
        settings = {
            "quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": {"num_bits": bits}}},
        }
        return parts, want, settings

    return build


FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def nvfp4(ending: str, divides: bool) -> Any:
    def build() -> tuple[Parts, Array, dict[str, Any]]:
        codes = integers(0, 16, OUT, IN)
        scales, whole = positive(OUT, IN // 16).to(torch.float8_e4m3fn), torch.tensor([7.0])
        each = scales.float().numpy() / 7 if divides else scales.float().numpy() * 7
        want = FP4[codes] * each.repeat(16, 1)
        packed = torch.from_numpy((codes[:, ::2] | codes[:, 1::2] << 4).astype(np.uint8))
        main, other = (
            (".weight_packed", ".weight_global_scale") if divides else (".weight", ".weight_scale_2")
        )
        return {main: packed, ".weight_scale": scales, other: whole}, want.astype(np.float32), {}

    return build


FORMATS: dict[str, Callable[[], tuple[Parts, Array, dict[str, Any]]]] = {
    "fp8 per tensor": fp8((), ".weight_scale"),
    "fp8 per tensor, one entry": fp8((1,), ".weight_scale"),
    "fp8 per row": fp8((OUT, 1), ".weight_scale", (1, IN)),
    "fp8 per row, .scale": fp8((OUT,), ".scale", (1, IN)),
    "fp8 per row, .weight.scale": fp8((OUT,), ".weight.scale", (1, IN)),
    "fp8 blocks": fp8((3, 2), ".weight_scale_inv", (32, 32), weight_block_size=[32, 32]),
    "fp8 one block": fp8((1, 1), ".weight_scale_inv"),
    "bitsandbytes int8": bitsandbytes,
    "int8": int8(False),
    "int8 with zero points": int8(True),
    "gptq 4": gptq(4, 32),
    "gptq 8": gptq(8, 64),
    "gptq act-order": gptq(4, 16, shuffled=True),
    "gptq v2": gptq(4, 32, second=True),
    "awq": awq,
    "compressed-tensors 4": compressed(4, 32),
    "compressed-tensors 2": compressed(2, 16),
    "compressed-tensors 8": compressed(8, 64),
    "compressed-tensors zero points": compressed(4, 16, zero=True),
    "compressed-tensors act-order": compressed(4, 16, shuffled=True),
    "nvfp4": nvfp4(".weight_global_scale", True),
    "nvfp4 of ModelOpt": nvfp4(".weight_scale_2", False),
}


def write(folder: Path, llama: Path, parts: Parts, settings: dict[str, Any]) -> Path:
    shutil.copytree(llama, folder)
    tensors = load_file(folder / WEIGHTS)
    del tensors[f"{NAME}.weight"]
    save_file(tensors | {f"{NAME}{ending}": tensor for ending, tensor in parts.items()}, folder / WEIGHTS)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | ({"quantization_config": settings} if settings else {}))
    )
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_values_are_exact(name: str, llama: Path, tmp_path: Path) -> None:
    parts, want, settings = FORMATS[name]()
    model = open_model(write(tmp_path / "m", llama, parts, settings))
    np.testing.assert_array_equal(model.layer(2).up, want)
    checkpoint = model.checkpoint
    assert checkpoint.shape(f"{NAME}.weight") == (OUT, IN)
    np.testing.assert_array_equal(checkpoint.read_rows(f"{NAME}.weight", [3, 80, 3]), want[[3, 80, 3]])
    np.testing.assert_array_equal(checkpoint.read_transposed(f"{NAME}.weight"), want.T)
    assert [n for n in checkpoint.names() if n.startswith(NAME)] in (
        [f"{NAME}.weight"], [f"{NAME}.weight", f"{NAME}.weight_format"])  # fmt: skip


def test_mxfp4_experts(tmp_path: Path) -> None:
    """GPT-OSS: blocks of 32 numbers in 16 bytes and an exponent each; inputs before outputs once dequantized."""
    experts, out, groups = 3, 8, 2
    codes = integers(0, 16, experts, out, groups, 32)
    exponents = integers(110, 140, experts, out, groups)
    want = (FP4[codes] * 2.0 ** (exponents - 127)[..., None]).reshape(experts, out, -1).swapaxes(1, 2)
    packed = torch.from_numpy((codes[..., ::2] | codes[..., 1::2] << 4).astype(np.uint8))
    save_file(
        {"e.up_blocks": packed, "e.up_scales": torch.from_numpy(exponents.astype(np.uint8))},
        tmp_path / WEIGHTS,
    )
    (tmp_path / "config.json").write_text("{}")
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.names() == ("e.up",) and checkpoint.shape("e.up") == (3, 64, 8)
    np.testing.assert_array_equal(checkpoint.read("e.up"), want)
    np.testing.assert_array_equal(checkpoint.read_rows("e.up", [2]), want[[2]])


def changed(name: str, ending: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Any:
    parts, _, settings = FORMATS[name]()
    new = change(parts.pop(ending))
    return parts | ({} if new is None else {ending: new}), settings


BROKEN: list[tuple[str, str, Callable[[torch.Tensor], torch.Tensor | None], type[HurefError], str]] = [
    ("fp8 per row", ".weight_scale", lambda t: t[:-1].contiguous(), Malformed, "does not fit"),
    ("fp8 blocks", ".weight_scale_inv", lambda t: positive(3, 3), Malformed, "does not fit"),
    ("gptq 4", ".qzeros", lambda t: t[:, :-1].contiguous(), Malformed, "does not fit"),
    ("gptq 4", ".scales", lambda t: None, Unsupported, "without matching qzeros and scales"),
    ("gptq 4", ".g_idx", lambda t: t + 1, Malformed, "names groups outside"),
    ("gptq 4", ".qweight", lambda t: t[:, :-1].contiguous(), Malformed, "does not fit"),
    ("awq", ".qweight", lambda t: t.long(), Unsupported, "packs 4 bits"),
    ("compressed-tensors 4", ".weight_scale", lambda t: t[1:].contiguous(), Malformed, "does not fit"),
    ("compressed-tensors 4", ".weight_scale", lambda t: None, Unsupported, "without a matching"),
    ("nvfp4", ".weight_global_scale", lambda t: None, Unsupported, "not known here"),
    ("nvfp4", ".weight_scale", lambda t: t[:, :-1].contiguous(), Malformed, "does not fit"),
    ("int8", ".weight_scale", lambda t: None, Unsupported, "has dtype I8"),
    ("int8", ".weight_scale", lambda t: t * float("nan"), Malformed, "NaN"),
]


@pytest.mark.parametrize(("name", "ending", "change", "error", "text"), BROKEN)
def test_parts_that_do_not_fit(
    name: str, ending: str, change: Any, error: type[HurefError], text: str, llama: Path, tmp_path: Path
) -> None:
    parts, settings = changed(name, ending, change)
    with pytest.raises(error, match=text) as caught:
        open_model(write(tmp_path / "m", llama, parts, settings)).layer(2)
    assert "\n" not in caught.value.message and NAME in caught.value.message


@pytest.mark.parametrize(
    ("endings", "scheme"),
    [
        ((".weight", ".weight.absmax", ".weight.quant_map"), "bitsandbytes 4-bit"),
        ((".W_q", ".meta"), "HQQ"),
        ((".codes", ".codebooks", ".scales"), "AQLM"),
        ((".Qidxs", ".SU", ".SV"), "QuIP#"),
        ((".q_weight", ".q_invperm", ".q_scale"), "EXL2"),
        ((".weight._data", ".weight._scale"), "Quanto"),
    ],
)
def test_other_formats_are_refused_by_name(
    endings: tuple[str, ...], scheme: str, llama: Path, tmp_path: Path
) -> None:
    parts = {ending: torch.zeros(4, 4, dtype=torch.uint8) for ending in endings}
    with pytest.raises(Unsupported, match=f"quantized with {scheme}") as caught:
        open_model(write(tmp_path / "m", llama, parts, {}))
    assert caught.value.hint is not None and "bfloat16" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("gptq 4", {"bits": 3}, "packs 3 bits"),
        ("gptq 4", {"checkpoint_format": "marlin"}, "in marlin order"),
        ("gptq 4", {"is_marlin_format": True}, "in marlin order"),
        ("awq", {"version": "GEMV"}, "in GEMV order"),
    ],
)
def test_other_orders_are_refused(
    name: str, change: dict[str, Any], text: str, llama: Path, tmp_path: Path
) -> None:
    parts, _, settings = FORMATS[name]()
    with pytest.raises(Unsupported, match=text):
        open_model(write(tmp_path / "m", llama, parts, settings | change))


def test_a_scale_in_a_shard_that_is_missing(llama: Path, tmp_path: Path) -> None:
    """Without it the weight would be read in the wrong size."""
    parts, _, settings = FORMATS["fp8 per row"]()
    folder = write(tmp_path / "m", llama, parts, settings)
    tensors = load_file(folder / WEIGHTS)
    scale = f"{NAME}.weight_scale"
    (folder / WEIGHTS).rename(folder / "a.safetensors")
    save_file({n: t for n, t in tensors.items() if n != scale}, folder / "a.safetensors")
    homes = {n: "b.safetensors" if n == scale else "a.safetensors" for n in tensors}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": homes}))
    with pytest.raises(InputOutputError, match="the shard is missing"):
        open_model(folder).layer(2)
