"""Mixtures under the names of their class: a state dict saved as it is holds all experts of a layer in two tensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from huref.common.errors import Malformed
from huref.prover.checkpoint.families import open_model
from tests.support import tiny_experts
from tests.support.same_model import assert_same

WEIGHTS = "model.safetensors"
STACKED = ".experts.gate_up_proj"


def both(name: str, folder: Path, **changes: Any) -> tuple[Path, Path]:
    """The published form, and the state dict as it is."""
    model = tiny_experts.random_model(name, vocab_size=384, **changes).float()
    model.save_pretrained(folder / "published")
    state = Path(shutil.copytree(folder / "published", folder / "state"))
    save_file({key: value.contiguous().clone() for key, value in model.state_dict().items()}, state / WEIGHTS)
    return folder / "published", state


@pytest.mark.parametrize("name", tiny_experts.MODELS)
def test_a_state_dict_gives_the_same_tensors(name: str, tmp_path: Path) -> None:
    published, state = both(name, tmp_path)
    assert_same(open_model(state), open_model(published))


@pytest.mark.parametrize("width", [tiny_experts.NARROW, tiny_experts.HIDDEN, tiny_experts.HIDDEN // 2])
def test_inputs_before_outputs(width: int, tmp_path: Path) -> None:
    """The first form of Qwen3-VL's mixtures; also where one size of a tensor is that of the other one's."""
    published, state = both("qwen3_moe", tmp_path, moe_intermediate_size=width)
    tensors = load_file(state / WEIGHTS)
    assert any(STACKED in name for name in tensors)
    turned = {n: t.mT.contiguous() if ".experts." in n else t for n, t in tensors.items()}
    save_file(turned, state / WEIGHTS)
    config = json.loads((state / "config.json").read_text())
    (state / "config.json").write_text(json.dumps(config | {"model_type": "qwen3_vl_moe_text"}))
    assert_same(open_model(state), open_model(published))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("gate_up_proj", (4, 24, 31)),
        ("gate_up_proj", (4, 23, 32)),
        ("down_proj", (4, 32, 11)),
        ("down_proj", (3, 32, 12)),
        ("gate_up_proj", None),
    ],
)
def test_tensors_that_do_not_fit(name: str, shape: tuple[int, ...] | None, tmp_path: Path) -> None:
    _, state = both("qwen3_moe", tmp_path)
    tensors = load_file(state / WEIGHTS)
    full = f"model.layers.1.mlp.experts.{name}"
    del tensors[full]
    save_file(tensors | ({} if shape is None else {full: torch.ones(shape)}), state / WEIGHTS)
    with pytest.raises(Malformed, match=f"experts.{name}") as caught:
        open_model(state)
    assert "\n" not in caught.value.message
