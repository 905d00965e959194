"""The compiler of inference programs: bounds, refusals, and the facts that it reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from huref.circuits.fingerprint.shape import Block, ModelShape
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import Facts, LayerFacts
from huref.circuits.inference.limits import norm_scale, product_high, stream_bits, turned_clamp
from huref.circuits.inference.sites import Cap, Write
from huref.common.algebra.field import P
from huref.common.errors import Malformed, Unsupported, UsageError
from tests.support.shapes import SMOL, all_shifts

SHAPE = replace(SMOL, vocab=1000, layers=2, head=True)
LAYER = LayerFacts(
    stream=(12, 11),
    query=7,
    key=7,
    query_shift=12,
    key_shift=12,
    value=7,
    mixed=20,
    gate=9,
    up=7,
    product=21,
    up_outliers=((5, 2),),
    product_outliers=((5, 3), (9, 4)),
)
FACTS = Facts(
    activation="silu",
    epsilon="1e-05",
    window=0,
    score_square=64,
    embedding=13,
    logits=9,
    shifts=all_shifts(2, 16),
    layers=(LAYER, LAYER),
)
LARGE = replace(SHAPE, hidden=4096, heads=32, kv_heads=32, head_dim=128, rotary_dim=128, ffn=11008)


@pytest.mark.parametrize("shape", [SHAPE, LARGE])
def test_every_bound_is_below_half_of_p(shape: ModelShape) -> None:
    program = compile_inference(shape, FACTS, 32)
    assert [site.name for site in program.sites[:3]] == ["embedded", "l0.attn_norm", "l0.q"]
    assert program.sites[-1].name == program.logits == "head"
    assert len(program.sites) == 1 + 2 * 18 + 2
    for site in program.sites:
        assert 2 * getattr(site, "bound", 0) < P and 2 * getattr(site, "squares", 0) < P, site


def test_widths_by_hand() -> None:
    assert (stream_bits(576), stream_bits(4096)) == (19, 17)
    assert (turned_clamp(64), turned_clamp(128), turned_clamp(8)) == (3965, 2804, 4095)
    assert (product_high(1536), product_high(11008)) == (1 << 11, 1 << 8)
    assert norm_scale(576) == 12  # c <= 24 · 2^6 = 1536, and 1536 · 2^19 < p/2


def test_outliers_reach_the_sites() -> None:
    sites = {site.name: site for site in compile_inference(SHAPE, FACTS, 8).sites}
    assert sites["l0.a"].extra == ((5, 1), (9, 4))  # type: ignore[union-attr]
    down = sites["l1.down"]
    assert isinstance(down, Write) and down.weight == ((5, 3), (9, 4))
    assert down.bound > 127 * 1536 * (1 << 11)


@pytest.mark.parametrize(
    "change",
    [
        {"norm": "layer", "qk_norm": True},
        {"norm_position": "post"},
        {"rotary": None, "rotary_dim": 0},
        {"head": False},
        {"parallel": True},
        {"output_norm": True, "biases": ("q",)},
        {"output_norm": True, "hidden": 6145},
        {"output_norm": True, "rotary": None, "rotary_dim": 0, "positions": 9},
        {"other_mixers": True},
        {"blocks": (Block(True, SHAPE.ffn, 4),) * SHAPE.layers},
    ],
)
def test_other_shapes_are_unsupported(change: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="inference program"):
        compile_inference(replace(SHAPE, **change), FACTS, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stream": (14, 11)}, "l1.o: these units need a negative shift"),
        ({"query_shift": 30}, "l1.scores: these units need a negative shift"),
        ({"product_outliers": ((5, 20),)}, "l1.down_low: the accumulator may exceed"),
        ({"product": 12, "stream": (12, 4)}, "l1.down"),
        ({"up_outliers": ((1536, 1),), "product_outliers": ((1536, 1),)}, "none of its 1536 rows"),
    ],
)
def test_units_that_do_not_go_together_are_refused(change: dict[str, Any], message: str) -> None:
    facts = replace(FACTS, layers=(LAYER, replace(LAYER, **change)))
    with pytest.raises(UsageError, match=message):
        compile_inference(SHAPE, facts, 8)


def test_a_secret_shift_has_one_solution_in_the_widest_model() -> None:
    wide = replace(SHAPE, hidden=15200)  # from 15301 on 128·d·514 exceeds p/2
    facts = replace(FACTS, layers=(replace(LAYER, product_outliers=()),) * 2)
    secret = [site for site in compile_inference(wide, facts, 8).sites if hasattr(site, "base")]
    assert {site.name for site in secret} >= {"l0.q", "l0.y", "l1.a", "head"}
    for site in secret:
        assert 2 * site.bound + (3 << 20) < P, site  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="q: the accumulator may exceed"):
        compile_inference(replace(wide, hidden=15301), facts, 8)


def test_tokens_and_layers_are_counted() -> None:
    with pytest.raises(UsageError, match="tokens, not 0"):
        compile_inference(SHAPE, FACTS, 0)
    with pytest.raises(UsageError, match="units of 1 layers for a model of 2"):
        compile_inference(SHAPE, replace(FACTS, layers=(LAYER,)), 8)


def test_facts_pass_through_json() -> None:
    import json

    assert Facts.from_dict(json.loads(json.dumps(FACTS.to_dict()))) == FACTS
    assert not {"score_cap", "logit_cap"} & set(FACTS.to_dict())
    capped = replace(FACTS, score_cap=50, logit_cap=30)
    assert Facts.from_dict(json.loads(json.dumps(capped.to_dict()))) == capped


def test_caps_reach_the_sites() -> None:
    program = compile_inference(SHAPE, replace(FACTS, score_cap=50, logit_cap=30), 8)
    sites = {site.name: site for site in program.sites}
    assert sites["l1.scores"].cap == 50  # type: ignore[union-attr]
    assert program.logits == "capped" and sites["capped"] == Cap(
        "capped", 1000, "head", 30, 9, 1 << 17, 2**15 - 1
    )
    with pytest.raises(UsageError, match="no unit above 1"):
        compile_inference(SHAPE, replace(FACTS, logit_cap=30, logits=-1), 8)


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "relu"},
        {"window": -1},
        {"window": True},
        {"epsilon": "1e-05x"},
        {"epsilon": 1e-5},
        {"score_square": 2},
        {"embedding_square": 2.5},
        {"embedding_square": 0},
        {"score_cap": 0},
        {"score_cap": 257},
        {"logit_cap": 2.5},
        {"logit_cap": True},
        {"logit_cap": -1},
        {"lifted": 41},
        {"final": [1, 2]},
        {"final": [1, 2, 41]},
        {"shifts": [3]},
        {"shifts": [5, 4]},
        {"shifts": [0, 21]},
        {"layers": 3},
        {"layers": [{}]},
        {"embedding": None},
        {"logits": True},
        {"more": 1},
    ],
)
def test_bad_facts_are_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="inference"):
        Facts.from_dict({**FACTS.to_dict(), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"query": 41},
        {"query": "7"},
        {"stream": [1]},
        {"stream": [1, 99]},
        {"branch": 3},
        {"written": [1, 41]},
        {"theta": 1},
        {"theta": 2.5},
        {"theta": 1 << 41},
        {"stretch": 0},
        {"stretch": True},
        {"up_outliers": [[1, 2, 3]]},
        {"up_outliers": [[5, 1], [4, 1]]},
        {"up_outliers": [[5, 0]]},
        {"product_outliers": 5},
    ],
)
def test_bad_units_are_malformed(change: dict[str, Any]) -> None:
    value = FACTS.to_dict()
    value["layers"] = [{**value["layers"][0], **change}]
    with pytest.raises(Malformed, match="inference"):
        Facts.from_dict(value)
