"""Every fact that a layout does not use has its one value, or there is no program."""

from __future__ import annotations

import json
from typing import Any

import pytest

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import Facts
from huref.common.errors import UsageError
from tests.vectors.make_relation_vectors import FILE

CASES: dict[str, dict[str, Any]] = {
    case["name"]: case for case in json.loads(FILE.read_text(encoding="utf-8"))
}
HEADS: dict[str, Any] = {"raw_query": 1, "raw_key": -1, "query_gain": 1, "key_gain": 2}
BEHIND: dict[str, Any] = {
    key: [0, 1] for key in ("gained", "read_gain", "read", "written", "write_gain", "branch", "scaled")
}
ONCE: dict[str, Any] = {"lifted": 1, "final": [0, 0, 1]}
PLAIN: dict[str, Any] = {"gate": 1, "up_outliers": [[3, 1]], "theta": 10001, "stretch": 2}
UNUSED: dict[str, dict[str, Any]] = {
    "llama, small rows": HEADS | BEHIND | ONCE,
    "qwen3": BEHIND | ONCE,
    "gpt2": HEADS | BEHIND | ONCE | PLAIN,
    "gemma2": HEADS,
}


def compiled(name: str, fact: str, value: Any) -> None:
    facts = json.loads(json.dumps(CASES[name]["inference"]))
    (facts if fact in facts else facts["layers"][1])[fact] = value
    compile_inference(ModelShape.from_dict(CASES[name]["shape"]), Facts.from_dict(facts), 1)


@pytest.mark.parametrize("name", UNUSED)
def test_facts_of_another_layout_are_refused(name: str) -> None:
    for fact, value in UNUSED[name].items():
        where = fact if fact in ONCE else rf"layers\[1\]\.{fact}"
        with pytest.raises(UsageError, match=rf"^inference\.{where}: this layout has no use for it"):
            compiled(name, fact, value)


def test_a_layout_of_its_own_has_them() -> None:
    compiled("llama, small rows", "theta", 10001)
    compiled("llama, small rows", "stretch", 2)
    compiled("gemma3", "scaled", [1, 0])
