"""Verdicts put together from frozen files as if they had verified, for tests of what is said of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from huref.circuits.argument.security import SecurityReport, Term
from huref.circuits.inference_statement import InferenceStatement
from huref.common.files import bundle as form
from huref.common.files.bundle import read_bundle
from huref.verifier.image import ImageVerdict
from huref.verifier.inference import InferenceVerdict, scores
from huref.verifier.verdict import Verdict
from huref.verifier.verification import read_claim
from tests import ROOT

SECURITY = SecurityReport((Term("loose", "", 300.0), Term("tight", "", 96.6, 21)))
MATCHES = ImageVerdict("matches", "the picture is the one", "ab" * 32, False, "exact")
UNCHECKED = ImageVerdict("not checked", "image not checked", "ab" * 32, False)


@cache
def frozen(name: str) -> Verdict:
    """The verdict of a frozen bundle as if it had verified."""
    bundle = read_bundle(ROOT / "tests/vectors/bundles" / f"{name}.huref")
    statement, commitment = read_claim(bundle)
    answered = None
    if form.INFERENCE in bundle.files:
        said = InferenceStatement.decode(bundle.files[form.INFERENCE], form.INFERENCE)
        found = tuple(scores(answer, 6) for answer in said.answers)
        answered = InferenceVerdict(said, SecurityReport((Term("answer", "", 111.0),)), found, 4321)
    return Verdict(
        bundle.digest.hex(), statement, commitment, SECURITY, MATCHES, None, (), (), None, 1234, 567, {"all": 1.23456},
        inference=answered,
    )  # fmt: skip


def made(name: str, **changes: Any) -> Verdict:
    """The same with other fields."""
    return replace(frozen(name), **changes)


def begin(found: list[str], expected: list[str]) -> None:
    """These lines and no others, in this order, each known by its beginning."""
    assert len(found) == len(expected), found
    for line, wanted in zip(found, expected, strict=True):
        assert line.startswith(wanted), line
