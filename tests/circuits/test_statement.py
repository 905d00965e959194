"""The statement, field by field: what each may hold, and what it is prepared with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from huref.circuits.argument.proof import Setup
from huref.circuits.statement import Statement, fingerprint_id, fingerprint_name, prepare_statement
from huref.common.errors import Malformed, Rejected
from huref.common.files.commitment_file import CommitmentFile
from huref.common.files.fingerprint_file import parse_fingerprint
from tests import ROOT
from tests.support.fields import Place, changed, renamed

BUNDLE = ROOT / "tests/vectors/bundles/signed.huref"
GOOD: dict[str, Any] = json.loads((BUNDLE / "manifest.json").read_bytes())["statement"]
COMMITMENT = CommitmentFile.decode((BUNDLE / "commitment.json").read_bytes(), "commitment.json")

ALLOWED: list[tuple[Place, Any]] = [
    (("shifts", "ys"), 0),
    (("shifts", "ys"), 30),
    (("calibration_sums", "ys"), [1, None]),
    (("v", 0), 10**40),
]
REFUSED: list[tuple[Place, Any]] = [
    (("format",), "huref-statement/2"),
    (("protocol",), "huref/proof/2"),
    (("kind",), "inference"),
    (("model_id",), str.upper),
    (("model_id",), "0" * 63),
    (("encoder",), "a b"),
    (("shifts", "ys"), -1),
    (("shifts", "ys"), 31),
    (("shifts", "ys"), True),
    (("calibration_sums", "ys"), [1]),
    (("calibration_sums", "ys"), [1, 2, 3]),
    (("calibration_sums", "ys"), [None, 1]),
    (("calibration_sums", "ys"), ["1", 1]),
    (("calibration_sums", "ys"), [1.0, 1]),
    (("calibration_sums", "ys"), [1, True]),
    (("v",), lambda v: v[1:]),
    (("v",), lambda v: [*v, 0]),
    (("v", 0), 1.0),
    (("generator",), str.upper),
    (("notes", "commitment"), "A" * 64),
    (("notes", "fingerprint"), "0" * 65),
    (("notes", "other"), "0" * 64),
]


def _name(case: tuple[Place, Any]) -> str:
    change = (
        "changed" if callable(case[1]) else repr(case[1])
    )  # a function's repr is another in every process
    return f"{'.'.join(map(str, case[0]))}={change}"[:60]


def prepared(content: Any) -> Setup:
    return prepare_statement(Statement.read(content, "statement"), COMMITMENT)


@pytest.mark.parametrize("case", ALLOWED, ids=_name)
def test_what_it_may_say(case: tuple[Place, Any]) -> None:
    """Whether a program goes with it is for `prepare_statement`."""
    content = changed(GOOD, *case)
    assert json.loads(Statement.read(content, "statement").encode()) == content


@pytest.mark.parametrize("case", REFUSED, ids=_name)
def test_what_it_may_not(case: tuple[Place, Any]) -> None:
    with pytest.raises(Malformed) as caught:
        Statement.read(changed(GOOD, *case), "statement")
    assert caught.value.message.startswith(f"statement.{case[0][0]}"), caught.value.message


@pytest.mark.parametrize("place", [("shifts",), ("calibration_sums",)])
def test_sites_have_identifiers(place: Place) -> None:
    with pytest.raises(Malformed, match=f"statement.{place[0]}"):
        Statement.read(renamed(GOOD, place, "a b"), "statement")


def test_it_is_prepared_with_its_own_commitment_alone() -> None:
    assert prepared(GOOD).public.v == GOOD["v"]
    with pytest.raises(Rejected) as caught:
        prepared({**GOOD, "model_id": "0" * 64})
    assert (caught.value.path, caught.value.expected) == ("statement.model_id", COMMITMENT.model_id)


@pytest.mark.parametrize("encoder", ["meanpool", "nobody"])
def test_the_encoder_is_one_of_the_profiles(encoder: str) -> None:
    with pytest.raises(Malformed, match="has no such encoder"):
        prepared({**GOOD, "encoder": encoder})


def test_one_function_names_a_vector() -> None:
    """The same name from statement and directory, from fingerprint.json, and from the four facts."""
    said, directory = Statement.read(GOOD, "statement"), COMMITMENT.directory
    file = parse_fingerprint((BUNDLE / "fingerprint.json").read_bytes(), "f")
    name = fingerprint_id(directory.profile, said.encoder, directory.k, said.v)
    assert fingerprint_name(said, directory) == fingerprint_name(file, file) == name
    assert name == json.loads((BUNDLE.parent / "signed.json").read_text())["fingerprint"]
    others = [("other", said.encoder, directory.k), (directory.profile, "other", directory.k),
              (directory.profile, said.encoder, directory.k + 1)]  # fmt: skip
    assert name not in {fingerprint_id(*facts, said.v) for facts in others}
