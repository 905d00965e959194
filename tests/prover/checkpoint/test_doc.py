"""docs/checkpoints.md names every type that is read or refused."""

from __future__ import annotations

import re

import pytest

from huref.prover.checkpoint.architectures.refused import REFUSED, REFUSED_GGUF
from huref.prover.checkpoint.architectures.registry import GGUF, HUGGING_FACE
from tests import ROOT

DOC = (ROOT / "docs" / "checkpoints.md").read_text()
READ, REFUSALS = DOC.split("### Refused types")
INNER = ("_text",)
"""Endings of the text part's own type, where the whole model's is named."""


def named(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


@pytest.mark.parametrize("name", sorted(HUGGING_FACE.keys() | GGUF.keys()))
def test_a_type_that_is_read_is_named(name: str) -> None:
    assert named(name, READ) or any(
        named(name.removesuffix(end), READ) for end in INNER if name.endswith(end)
    )


@pytest.mark.parametrize("name", sorted(REFUSED.keys() | REFUSED_GGUF.keys()))
def test_a_type_that_is_refused_is_named(name: str) -> None:
    assert named(name, REFUSALS)
