"""Relations in every layout are those written down, which an implementation from the document alone gave as well."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.vectors.make_relation_vectors import FILE, SHAPES, digests

CASES: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_relations_are_those_written_down(case: dict[str, Any]) -> None:
    assert digests(case) == case["sha256"]


def test_every_layout_is_there() -> None:
    assert [case["name"] for case in CASES] == list(SHAPES)
