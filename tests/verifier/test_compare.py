"""When a comparison is evidence, when it has a verdict, and when it says nothing: `huref compare` on fingerprints."""

from __future__ import annotations

from typing import Any

import pytest

from huref.circuits.challenge import joint_challenge
from huref.common.errors import Malformed, UsageError
from huref.common.files.fingerprint_file import FingerprintFile, parse_fingerprint
from huref.verifier.compare import (
    ENOUGH_SHARED,
    MATCH,
    OTHER_IDS,
    OTHER_TABLES,
    OTHER_TOKENS,
    UNKNOWN,
    FingerprintComparison,
    compare_fingerprints,
)
from tests import ROOT

BUNDLES = ROOT / "tests" / "vectors" / "bundles"
PUBLIC, PAPER = (
    parse_fingerprint((BUNDLES / f"{name}.huref" / "fingerprint.json").read_bytes(), name)
    for name in ("signed", "paper")
)
ONE, OTHER = "1f" * 32, "e0" * 32
IDS = (ONE, OTHER)
BOTH = ["bundle", "bundle"]


def asked(challenge: str | None, file: FingerprintFile = PUBLIC, **change: Any) -> FingerprintFile:
    """A fingerprint that says that its tables were drawn from this challenge."""
    return file.model_copy(update={"challenge": challenge, **change})


def turned(file: FingerprintFile) -> FingerprintFile:
    """One with the outputs of another model: unlike those of `file`."""
    assert file.e is not None
    return file.model_copy(update={"e": [*file.e[7:], *file.e[:7]]})


def compared(challenge: str | None, **options: Any) -> FingerprintComparison:
    return compare_fingerprints(asked(challenge), asked(challenge), **{"ids": IDS, **options})


def test_public_tables_are_no_evidence() -> None:
    found = compared(None)
    assert (found.case, found.evidence, found.verdict) == ("public", False, "same base")
    assert found.warnings(BOTH) == [MATCH]
    assert compared(None, expected=bytes(32)).case == "public"


@pytest.mark.parametrize("beacon", [b"", b"\x01\x02"])
def test_the_joint_challenge_of_both_sides_is(beacon: bytes) -> None:
    joint = joint_challenge(ONE, OTHER, beacon)
    found = compared(joint, beacon=beacon)
    assert (found.case, found.evidence, found.verdict) == ("joint challenge", True, "same base")
    assert found.warnings(BOTH) == []
    for others in ((OTHER, ONE),):
        assert compared(joint, ids=others, beacon=beacon).evidence
    for wrong in (beacon + b"\0", b"\x02\x01"):
        assert compared(joint, beacon=wrong).case == "unknown challenge"


def test_a_joint_challenge_of_other_models_is_unknown() -> None:
    for ids in (("00" * 32, OTHER), (ONE, "00" * 32), (ONE, ONE)):
        found = compared(joint_challenge(ONE, OTHER), ids=ids)
        assert (found.case, found.evidence, found.verdict) == ("unknown challenge", False, "same base")
        assert found.warnings(BOTH) == [UNKNOWN]


def test_the_callers_challenge_is_evidence_too() -> None:
    found = compared("ab" * 32, expected=bytes.fromhex("ab" * 32))
    assert (found.case, found.evidence) == ("your challenge", True) and found.warnings(BOTH) == []
    found = compared("ab" * 32, expected=bytes.fromhex("ac" * 32))
    assert (found.case, found.evidence) == ("unknown challenge", False) and found.warnings(BOTH) == [UNKNOWN]


@pytest.mark.parametrize("ids", [(None, OTHER), (ONE, None), (None, None)])
def test_a_bare_file_is_never_evidence(ids: tuple[str | None, str | None]) -> None:
    """Whoever writes it can write any challenge into it."""
    found = compared(joint_challenge(ONE, OTHER), ids=ids)
    assert found.case == "unknown challenge" and not found.evidence
    found = compared("ab" * 32, ids=ids, expected=bytes.fromhex("ab" * 32))
    assert found.case == "your challenge" and not found.evidence
    assert found.warnings(["bundle", "fingerprint"]) == [MATCH]


def test_different_challenges_say_nothing() -> None:
    joint = joint_challenge(ONE, OTHER)
    for one, other in ((joint, None), (None, joint), (joint, "ab" * 32), ("ab" * 32, joint)):
        found = compare_fingerprints(asked(one), asked(other), ids=IDS, expected=bytes.fromhex("ab" * 32))
        assert (found.case, found.evidence, found.verdict) == ("different challenges", False, None)
        assert found.warnings(BOTH) == [OTHER_TABLES] and found.to_dict()["challenges"] == [one, other]


def test_too_few_shared_tokens_say_nothing() -> None:
    assert PUBLIC.token_pieces is not None
    pieces, count = PUBLIC.token_pieces, len(PUBLIC.token_pieces)
    enough = -int(-ENOUGH_SHARED * count // 1)
    for kept in (enough, enough - 1, 0):
        other = [*pieces[:kept], *(f"00ff{n:04x}" for n in range(count - kept))]
        found = compare_fingerprints(PUBLIC, PUBLIC.model_copy(update={"token_pieces": other}), ids=IDS)
        assert found.shared == pytest.approx(kept / count)
        assert found.verdict == ("same base" if kept == enough else None)
        assert found.to_dict()["shared_tokens"] == round(kept / count, 4)
        if kept < enough:
            assert found.warnings(BOTH) == [OTHER_TOKENS.format(kept / count)]


def test_shared_tokens_are_of_the_larger_side() -> None:
    assert PUBLIC.token_pieces is not None
    third = PUBLIC.token_pieces[::3]
    for pair in ((third, PUBLIC.token_pieces), (PUBLIC.token_pieces, third)):
        files = [PUBLIC.model_copy(update={"token_pieces": pieces}) for pieces in pair]
        found = compare_fingerprints(*files, ids=IDS)
        assert found.shared == pytest.approx(1 / 3, abs=0.01) and found.verdict is None


def test_ids_do_not_matter_where_bytes_are_read() -> None:
    other = PUBLIC.model_copy(update={"token_ids": PUBLIC.token_ids[::-1]})
    found = compare_fingerprints(PUBLIC, other, ids=IDS)
    assert found.shared == 1 and found.verdict == "same base" and not found.to_dict()["same_tokens"]
    assert found.warnings(BOTH) == [MATCH]


def test_unlike_models_need_no_caution() -> None:
    found = compare_fingerprints(PUBLIC, turned(PUBLIC), ids=IDS)
    assert found.verdict == "unrelated" and found.warnings(BOTH) == []
    assert set(found.to_dict()["vector_terms"]) == {"qk", "vo", "ud"}


def test_checkpoints_of_the_readers_own_need_no_caution() -> None:
    found = compared(None, ids=(None, None))
    assert found.warnings(["checkpoint", "checkpoint"]) == [] and not found.evidence


def test_paper_has_no_verdict_and_reads_ids() -> None:
    found = compare_fingerprints(PAPER, PAPER, ids=IDS)
    assert found.verdict is None and found.case == "public" and not found.evidence
    assert found.similarity.cosine == pytest.approx(1) and found.warnings(BOTH) == [MATCH]
    other = PAPER.model_copy(update={"token_ids": PAPER.token_ids[::-1]})
    assert compare_fingerprints(PAPER, other, ids=IDS).warnings(BOTH) == [OTHER_IDS]
    half = [*PAPER.token_ids[::2], *(10**6 + n for n in range(len(PAPER.token_ids[1::2])))]
    found = compare_fingerprints(PAPER, PAPER.model_copy(update={"token_ids": half}), ids=IDS)
    assert found.to_dict()["shared_tokens"] == 0.5 and found.verdict is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (PUBLIC, PUBLIC.model_copy(update={"e": None})),
        (PUBLIC.model_copy(update={"e": None}), PUBLIC),
        (PUBLIC.model_copy(update={"e": None}), PUBLIC.model_copy(update={"e": None})),
        (PAPER, PAPER.model_copy(update={"e": PUBLIC.e})),
        (PAPER.model_copy(update={"e": PUBLIC.e}), PAPER),
    ],
)
def test_outputs_are_those_of_the_profile(first: FingerprintFile, second: FingerprintFile) -> None:
    with pytest.raises(Malformed, match="outputs of profile"):
        compare_fingerprints(first, second)


def test_a_file_without_tokens_shares_none() -> None:
    empty = PUBLIC.model_copy(update={"token_pieces": [], "token_ids": []})
    assert compare_fingerprints(empty, empty).verdict is None
    bare = PAPER.model_copy(update={"token_ids": []})
    for file in (empty, bare):
        assert compare_fingerprints(file, file, ids=IDS).warnings(BOTH) == [OTHER_TOKENS.format(0)]


def test_how_many_tokens_is_the_vocabularys_business() -> None:
    assert compare_fingerprints(PUBLIC, PUBLIC.model_copy(update={"k": PUBLIC.k + 9})).verdict == "same base"
    for change in ({"p": 64}, {"profile": "paper-1"}):
        with pytest.raises(UsageError, match="differ in"):
            compare_fingerprints(PUBLIC, PUBLIC.model_copy(update=change))


def test_paper_is_compared_at_one_k_and_as_what_was_asked_for() -> None:
    with pytest.raises(UsageError, match="differ in k"):
        compare_fingerprints(PAPER, PAPER.model_copy(update={"k": 2 * PAPER.k}))
    assert compare_fingerprints(PAPER, PAPER, "paper").first == PAPER
    with pytest.raises(UsageError, match="not what was asked for"):
        compare_fingerprints(PAPER, PAPER, "hardened")
