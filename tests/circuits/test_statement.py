"""The statement, field by field: what each may hold, and what it is prepared with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from huref.circuits.argument.proof import Setup
from huref.circuits.statement import Statement, fingerprint_id, fingerprint_name, prepare_statement
from huref.common.algebra.field import P
from huref.common.errors import Malformed, Rejected
from huref.common.files.commitment_file import CommitmentFile
from huref.common.files.fingerprint_file import parse_fingerprint
from tests import ROOT
from tests.support.fields import Place, case_name, changed, renamed

BUNDLE = ROOT / "tests/vectors/bundles/signed.huref"
GOOD: dict[str, Any] = json.loads((BUNDLE / "manifest.json").read_bytes())["statement"]
COMMITMENT = CommitmentFile.decode((BUNDLE / "commitment.json").read_bytes(), "commitment.json")
PAPER_BUNDLE = BUNDLE.with_name("paper.huref")
PAPER: dict[str, Any] = json.loads((PAPER_BUNDLE / "manifest.json").read_bytes())["statement"]
PAPER_COMMITMENT = CommitmentFile.decode((PAPER_BUNDLE / "commitment.json").read_bytes(), "commitment.json")

ALLOWED: list[tuple[Place, Any]] = [
    (("shifts", "ys"), 0),
    (("shifts", "ys"), 30),
    (("calibration_sums", "ys"), [1, None]),
    (("v", 0), 10**40),
    (("e", 0), -(10**40)),
    (("e",), None),
    (("challenge",), "0" * 64),
    (("caps", "ud.multipliers"), [-9, 0, 0, 0]),
    (("ratios", "ud"), [-(10**30), 10**30]),
]
REFUSED: list[tuple[Place, Any]] = [
    (("format",), "huref-statement/2"),
    (("protocol",), "huref/proof/2"),
    (("kind",), "inference"),
    (("model_id",), str.upper),
    (("model_id",), "0" * 63),
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
    (("e",), lambda e: e[1:]),
    (("e",), lambda e: [*e, 0]),
    (("e", 0), 1.0),
    (("challenge",), "A" * 64),
    (("challenge",), "0" * 62),
    (("challenge",), ""),
    (("caps", "ud.multipliers"), [1, 2, 3]),
    (("caps", "ud.multipliers"), [1, 2, 3, 4, 5]),
    (("caps", "ud.multipliers"), [1, 2, 3, None]),
    (("caps", "ud.multipliers"), [1, 2, 3, 4.0]),
    (("ratios", "ud"), [1]),
    (("ratios", "ud"), [1, 2, 3]),
    (("ratios", "ud"), [1, True]),
    (("generator",), str.upper),
    (("notes", "commitment"), "A" * 64),
    (("notes", "fingerprint"), "0" * 65),
    (("notes", "other"), "0" * 64),
]


def prepared(content: Any) -> Setup:
    return prepare_statement(Statement.read(content, "statement"), COMMITMENT)


@pytest.mark.parametrize("case", ALLOWED, ids=case_name)
def test_what_it_may_say(case: tuple[Place, Any]) -> None:
    """Whether a program goes with it is for `prepare_statement`."""
    content = changed(GOOD, *case)
    assert json.loads(Statement.read(content, "statement").encode()) == content


@pytest.mark.parametrize("case", REFUSED, ids=case_name)
def test_what_it_may_not(case: tuple[Place, Any]) -> None:
    with pytest.raises(Malformed) as caught:
        Statement.read(changed(GOOD, *case), "statement")
    assert caught.value.message.startswith(f"statement.{case[0][0]}"), caught.value.message


@pytest.mark.parametrize("place", [("shifts",), ("calibration_sums",), ("caps",), ("ratios",)])
def test_sites_have_identifiers(place: Place) -> None:
    with pytest.raises(Malformed, match=f"statement.{place[0]}"):
        Statement.read(renamed(GOOD, place, "a b"), "statement")


def test_it_is_prepared_with_its_own_commitment_alone() -> None:
    assert prepared(GOOD).public.v == GOOD["e"]
    with pytest.raises(Rejected) as caught:
        prepared({**GOOD, "model_id": "0" * 64})
    assert (caught.value.path, caught.value.expected) == ("statement.model_id", COMMITMENT.model_id)


def prepared_paper(content: Any) -> Setup:
    return prepare_statement(Statement.read(content, "statement"), PAPER_COMMITMENT)


def test_outputs_and_challenge_go_with_the_profile() -> None:
    """`hardened` has e, under any challenge; `paper` has v alone, under none."""
    assert prepared_paper(PAPER).public.v == PAPER["v"]
    assert prepared({**GOOD, "challenge": "0" * 64}).public.v == GOOD["e"]
    for content in ({**PAPER, "e": GOOD["e"]}, {**PAPER, "challenge": "0" * 64}):
        with pytest.raises(Malformed, match="do not go with profile paper-1"):
            prepared_paper(content)
    with pytest.raises(Malformed, match="do not go with profile hardened-2"):
        prepared({**GOOD, "e": None})


def test_the_tables_are_drawn_from_the_challenge() -> None:
    challenges = (None, "0" * 64, "0" * 63 + "1")
    programs = [prepared({**GOOD, "challenge": challenge}).program for challenge in challenges]
    tables = {program.output.bucket[0].tobytes() for program in programs}
    assert len(tables) == len(challenges)


@pytest.mark.parametrize("place", [0, 255, 511])
def test_v_is_what_is_made_of_e(place: int) -> None:
    for name, index in (("v", place), ("e", 8 * place + 7)):
        with pytest.raises(Rejected) as caught:
            prepared(changed(GOOD, (name, index), lambda x: x + 1))
        assert caught.value.path == "statement.v"
        assert None not in (caught.value.expected, caught.value.got)


@pytest.mark.parametrize("value", [P, -P, 1 << 80])
def test_outputs_are_numbers_of_the_field(value: int) -> None:
    """Sums of eight are made of machine integers, which no output that is let through overflows."""
    with pytest.raises(Malformed, match=r"statement\.e"):
        prepared(changed(GOOD, ("e", 9), value))


def test_one_function_names_outputs() -> None:
    """The same name from statement and directory, from fingerprint.json, and from the four facts."""
    said, directory = Statement.read(GOOD, "statement"), COMMITMENT.directory
    file = parse_fingerprint((BUNDLE / "fingerprint.json").read_bytes(), "f")
    assert said.e is not None
    name = fingerprint_id(directory.profile, directory.k, None, said.e)
    assert fingerprint_name(said, directory) == fingerprint_name(file, file) == name
    assert name == json.loads((BUNDLE.parent / "signed.json").read_text())["fingerprint"]
    others: list[tuple[str, int, str | None, list[int]]] = [
        ("other", directory.k, None, said.e),
        (directory.profile, directory.k + 1, None, said.e),
        (directory.profile, directory.k, "0" * 64, said.e),
        (directory.profile, directory.k, None, said.v),
        (directory.profile, directory.k, None, [said.e[0] + 1, *said.e[1:]]),
    ]
    assert name not in {fingerprint_id(*facts) for facts in others}


def test_papers_outputs_are_v() -> None:
    said, directory = Statement.read(PAPER, "statement"), PAPER_COMMITMENT.directory
    assert fingerprint_name(said, directory) == fingerprint_id("paper-1", directory.k, None, said.v)
