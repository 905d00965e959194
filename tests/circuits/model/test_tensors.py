"""The list of committed tensors that follows from a shape."""

from __future__ import annotations

from dataclasses import replace

from huref.circuits.model.tensors import Tensor, matrices, whole_model
from tests.support.shapes import SMOL

SHAPE = replace(
    SMOL, hidden=64, heads=4, kv_heads=2, head_dim=24, ffn=88, vocab=320, layers=2, rotary_dim=24, head=True
)


def test_every_tensor_with_its_steps_in_order() -> None:
    found = whole_model(SHAPE)
    assert found[:4] == (
        Tensor("embed", 320, 64),
        Tensor("embed.step", 1, 320),
        Tensor("l0.q", 96, 64),
        Tensor("l0.q.step", 1, 96),
    )
    assert [tensor.name for tensor in matrices(SHAPE)] == [
        "embed",
        *(f"l{n}.{name}" for n in (0, 1) for name in ("q", "k", "v", "o", "gate", "up", "down")),
        "head",
    ]
    assert {tensor.name: (tensor.rows, tensor.cols) for tensor in found[-6:]} == {
        "l1.up": (88, 64),
        "l1.up.step": (1, 88),
        "l1.down": (88, 64),
        "l1.down.step": (1, 88),
        "head": (320, 64),
        "head.step": (1, 320),
    }
    assert all(tensor.rows == 48 for tensor in found if tensor.name in ("l0.k", "l1.v"))


def test_what_a_shape_lacks_is_left_out_and_gains_are_tensors() -> None:
    names = [tensor.name for tensor in matrices(replace(SHAPE, gated=False, head=False, layers=1))]
    assert names == ["embed", *(f"l0.{name}" for name in ("q", "k", "v", "o", "up", "down"))]
    found = {tensor.name: tensor for tensor in matrices(replace(SHAPE, qk_norm=True))}
    assert (found["l0.q_gain"].rows, found["l0.q_gain"].cols) == (2, 96)
    assert (found["l1.k_gain"].rows, found["l1.k_gain"].cols) == (2, 48)
