"""`ModelShape` is read from untrusted statements: it round-trips, and nothing inconsistent gets through."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from huref.circuits.fingerprint.shape import ModelShape
from huref.common.errors import Malformed
from tests.support.shapes import SMOL


def test_derived_facts() -> None:
    assert (SMOL.group, SMOL.q_rows, SMOL.kv_rows, SMOL.subtracts_mean) == (3, 576, 192, False)
    assert replace(SMOL, norm="layer").subtracts_mean


def test_round_trip_through_json() -> None:
    assert ModelShape.from_dict(json.loads(json.dumps(SMOL.to_dict()))) == SMOL


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": 0},
        {"hidden": True},
        {"hidden": 64.0},
        {"vocab": 1 << 40},
        {"kv_heads": 2},
        {"gated": 1},
        {"family": ""},
        {"family": "x" * 65},
        {"family": 3},
        {"norm": "batch"},
        {"norm_position": "both"},
        {"rotary": "spiral"},
        {"rotary_dim": 63},
        {"rotary_dim": 66},
        {"rotary_dim": 0},
        {"rotary_dim": None},
        {"rotary_sections": 2},
        {"rotary": None},
        {"surprise": 1},
    ],
)
def test_inconsistent_shapes_are_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        ModelShape.from_dict(SMOL.to_dict() | change)


def test_missing_field_is_malformed() -> None:
    value = SMOL.to_dict()
    del value["ffn"]
    with pytest.raises(Malformed, match="ffn"):
        ModelShape.from_dict(value)
