"""`ModelShape` is read from untrusted statements: it round-trips, and nothing inconsistent gets through."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from huref.circuits.fingerprint.shape import Block, ModelShape
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


MIXED = replace(
    SMOL,
    layers=3,
    ffn=96,
    blocks=(Block(True, 24), Block(False, 96, 4), Block(True, 0)),
    other_mixers=True,
)


def test_layers_that_differ() -> None:
    assert (MIXED.attending, MIXED.feeding, MIXED.neurons) == ([0, 2], [0, 1], 120)
    assert (SMOL.attending, SMOL.feeding) == (list(range(30)),) * 2
    assert SMOL.neurons == 30 * SMOL.ffn and SMOL.block(7) == Block(True, SMOL.ffn)
    assert ModelShape.from_dict(json.loads(json.dumps(MIXED.to_dict()))) == MIXED
    assert MIXED.to_dict()["blocks"] == [[True, 24, 0], [False, 96, 4], [True, 0, 0]]


def test_what_most_models_have_is_not_written() -> None:
    assert not {"blocks", "other_mixers"} & SMOL.to_dict().keys()
    assert replace(SMOL, other_mixers=True).to_dict()["other_mixers"] is True


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"blocks": []}, "says nothing"),
        ({"other_mixers": False}, "says nothing"),
        ({"other_mixers": 1}, "expected true or false"),
        ({"blocks": {}}, "expected a list"),
        ({"blocks": "abc"}, "expected a list"),
        ({"blocks": [[True, 24]] * 3}, "expected a list"),
        ({"blocks": [[True, 96, 0, 0]] * 3}, "expected a list"),
        ({"blocks": [[True, 96, 4]] * 2}, "2 blocks of 3 layers"),
        ({"blocks": [[True, 96, 0]] * 3}, "all are alike"),
        ({"blocks": [[True, 95, 4]] * 3}, "none has 96 neurons"),
        ({"blocks": [[True, 97, 4]] * 3}, "none has 96 neurons"),
        ({"blocks": [[False, 96, 4]] * 3}, "no layer has attention"),
        ({"blocks": [[1, 96, 4]] * 3}, "not a block"),
        ({"blocks": [[True, 96.0, 4]] * 3}, "not a block"),
        ({"blocks": [[True, 96, True]] * 3}, "not a block"),
        ({"blocks": [[True, 96, -1]] * 3}, "not a block"),
        ({"blocks": [[True, 1 << 25, 4]] * 3, "ffn": 1 << 24}, "not a block"),
        ({"blocks": [[True, 96, 97]] * 3}, "97 experts of 96 neurons"),
    ],
)
def test_inconsistent_blocks_are_malformed(change: dict[str, Any], text: str) -> None:
    with pytest.raises(Malformed, match=text):
        ModelShape.from_dict(MIXED.to_dict() | change)
