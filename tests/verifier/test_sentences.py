"""Every sentence of a verdict, under which heading it stands and what makes it appear: none is lost, none moves.

The verdicts are put together from frozen files; nothing is verified here.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from huref.common.files.commitment_file import SourceFile
from huref.verifier.inference import ANSWERS, UNLIKELY
from huref.verifier.measured import measured
from huref.verifier.verdict import (
    CHALLENGED,
    EXPECT_ALONE,
    NO_MODEL,
    PROVEN,
    SAID,
    SIGNED,
)
from tests.support.frozen_verdicts import UNCHECKED, begin, made
from tests.support.schemas import validate

OWNER, AUDITOR, STRANGER = "c" * 96, "d" * 96, "e" * 96
SOURCE = SourceFile(name="quagga.safetensors", size=700300, sha256="ab" * 32)
QUANTIZED = "That the committed integers are the weights of any deployed or downloadable model"
RULE = "That the tokens follow the pinned rule"
WHOSE = "Whose model it is: you named no model id (--root) and no signer (--signer)."
SERVED = "That this answer was ever served"


def test_what_is_proven_of_two_blocks() -> None:
    verdict = made("paper")
    begin(
        verdict.proven(),
        [
            f"Whoever made the proof knew integers under the model id {verdict.model_id}, each in its declared range, "
            "for which the fingerprint program of profile paper-1 under public tables gives exactly this vector of 512 "
            "integers; every rounding step is the one the rule prescribes.",
            "The program read them as 512 embedding rows and the tensors of two blocks: width 64, 4 heads (4 for keys "
            "and values) of 16, feed-forward width 88.",
            "A false claim would be accepted with probability below 2^-117 per hash",
            "The picture is the one.",
        ],
    )


def test_what_is_proven_of_a_whole_model_under_a_challenge() -> None:
    verdict = made("whole")
    assert verdict.challenge is not None
    found = verdict.proven()
    assert f"tables drawn from the challenge {verdict.challenge} gives" in found[0]
    assert "exactly these 4096 integers, whose sums are the vector's 512; every" in found[0]
    assert "the tensors of every block that is committed" in found[1]
    begin(found[3:], ["Every entry committed under the model id is a signed byte (a range", "The picture is"])


def test_a_picture_is_proven_where_it_was_compared_and_matches_alone() -> None:
    for status in ("not checked", "differs"):
        verdict = made("paper", picture=replace(UNCHECKED, status=status))
        assert "image" not in "".join(verdict.proven()) and len(verdict.proven()) == 3
        assert verdict.not_proven()[4] == "The picture: image not checked."
    assert not any("picture" in line.lower() for line in made("paper").not_proven())


def test_what_is_not_proven() -> None:
    commitment = made("paper").commitment.model_copy(update={"sources": [SOURCE] * 8})
    verdict = made("paper", commitment=commitment, fidelity=0.75)
    begin(
        verdict.not_proven(),
        [
            NO_MODEL,
            QUANTIZED,
            RULE,
            WHOSE,
            "What the model is called and how large it is beyond those two blocks: family gpt2, layers 3, vocabulary "
            "600.",
            *[f"Source file quagga.safetensors, 700300 bytes, SHA-256 {'ab' * 32}."] * 8,
            "Fidelity (cosine 0.75 with floating point) and timings.",
        ],
    )
    more = commitment.model_copy(update={"sources": [SOURCE] * 11})
    lines = made("paper", commitment=more).not_proven()
    begin(lines[-2:], ["3 more source files.", "Fidelity (not given) and timings."])
    assert len(lines) == 5 + 8 + 2
    assert "beyond the width of those blocks: family llama" in "".join(made("signed").not_proven())


def test_a_name_of_a_file_ends_where_it_ends() -> None:
    """No name goes on as our own words."""
    name = "a, 5 bytes, SHA-256 0 (proven)"
    named = SourceFile(name=name, size=7, sha256="ab" * 32)
    verdict = made("paper", commitment=made("paper").commitment.model_copy(update={"sources": [named]}))
    assert f'Source file "{name}", 7 bytes, SHA-256 {"ab" * 32}.' in verdict.not_proven()


def test_how_layers_differ_is_the_owners_word() -> None:
    """Terms sum over all layers and experts; which layer has what, no proof reads."""
    found = made("signed")
    shape = {
        **found.directory.shape,
        "blocks": [[True, 88, 0], [False, 44, 0], [True, 88, 4]],
        "other_mixers": True,
    }
    directory = found.directory.model_copy(update={"shape": shape})
    mixed = replace(found, commitment=found.commitment.model_copy(update={"directory": directory}))
    read = "Its terms qk and vo sum over 128 rows of heads and its term ud over 220 neurons"
    begin(mixed.proven()[1:4], ["The program read them", read, "A false claim"])
    begin(
        mixed.not_proven()[4:7],
        [
            "What the model is called and how large it is",
            "How these rows divide into layers: 2 have attention, 3 neurons, 1 are mixtures of 4 routed experts.",
            "What mixes tokens beside attention (state-space blocks, convolutions, linear attention): it is not",
        ],
    )
    said = validate(mixed.to_dict(), "verdict")
    assert not {"blocks", "other_mixers"} & said["dimensions"].keys()
    assert said["said_by_owner"]["blocks"] == shape["blocks"]
    assert said["said_by_owner"]["other_mixers"] is True
    assert not any(
        "rows of heads" in line or "divide" in line for line in found.proven() + found.not_proven()
    )


@pytest.mark.parametrize("source", ["file", "corpus"])
def test_tokens_of_another_source_follow_no_rule(source: str) -> None:
    found = made("paper")
    tokens = found.directory.tokens.model_copy(update={"source": source})
    directory = found.directory.model_copy(update={"tokens": tokens})
    changed = replace(found, commitment=found.commitment.model_copy(update={"directory": directory}))
    wanted = f"The choice of tokens: it comes from a {source}, not from the pinned rule."
    assert changed.not_proven()[2] == wanted


@pytest.mark.parametrize(
    ("expected", "whose", "warned"),
    [
        ((), True, False),
        (("fingerprint",), True, True),
        (("challenge",), True, False),
        (("challenge", "fingerprint"), True, False),
        (("model_id",), False, False),
        (("signer",), False, False),
        (("model_id", "fingerprint"), False, False),
    ],
)
def test_what_the_caller_named_takes_its_own_caveat_away(
    expected: tuple[str, ...], whose: bool, warned: bool
) -> None:
    public, drawn = made("signed", expected=expected), made("whole", expected=expected)
    assert public.not_proven()[0] == NO_MODEL and CHALLENGED not in public.not_proven()
    assert NO_MODEL not in drawn.not_proven()
    assert (CHALLENGED in drawn.not_proven()) == ("challenge" not in expected)
    for verdict in (public, drawn):
        assert (WHOSE in verdict.not_proven()) == whose
        assert verdict.warnings() == ([EXPECT_ALONE] if warned else [])


def test_who_signed() -> None:
    assert made("signed").signed_by() == ["Nobody."]
    everybody = made("signed", signer=OWNER, cosigners=(AUDITOR,), unknown_cosigners=(STRANGER,))
    begin(
        everybody.signed_by(),
        [
            f"{OWNER} as the owner (a key that you did not name).",
            f"{AUDITOR} as an auditor, who says that the commitment and the vector were recomputed from a checkpoint.",
            f"{STRANGER}, a key that you did not name: it counts for nothing.",
        ],
    )
    named = replace(everybody, expected=("signer",)).signed_by()
    assert named[0] == f"{OWNER} as the owner (the key you named)." and named[1:] == everybody.signed_by()[1:]
    for one in ({"cosigners": (AUDITOR,)}, {"unknown_cosigners": (STRANGER,)}):
        assert len(made("signed", **one).signed_by()) == 1


def test_what_is_said_of_an_answer() -> None:
    verdict = made("answered")
    assert verdict.inference is not None
    begin(verdict.proven()[4:], ["The integers under this model id, run as a language model", "The picture"])
    begin(verdict.not_proven()[:4], [NO_MODEL, UNLIKELY, SERVED, QUANTIZED])
    drawn = replace(verdict, statement=verdict.statement.model_copy(update={"challenge": "0" * 64}))
    begin(drawn.not_proven()[:3], [CHALLENGED, UNLIKELY, SERVED])
    begin(replace(drawn, expected=("challenge",)).not_proven()[:2], [UNLIKELY, SERVED])
    headings = [PROVEN, SIGNED, SAID]
    assert [heading for heading, _ in made("paper").sections()] == headings
    assert [heading for heading, _ in verdict.sections()] == [*headings, measured().heading]
    assert [heading for heading, _ in made("answers").sections()] == [*headings, ANSWERS, measured().heading]
    for one in (made("paper"), verdict, made("answers")):
        assert [lines for _, lines in one.sections()[:3]] == [one.proven(), one.signed_by(), one.not_proven()]


def test_json_says_the_same() -> None:
    verdict = made(
        "answered", signer=OWNER, cosigners=(AUDITOR,), unknown_cosigners=(STRANGER,), fidelity=0.75,
        expected=("fingerprint",), ignored=("a",),
    )  # fmt: skip
    said, directory = validate(verdict.to_dict(), "verdict"), verdict.directory
    dimensions = said.pop("dimensions")
    assert dimensions == {
        name: x for name, x in directory.shape.items() if name not in ("family", "layers", "vocab")
    }
    assert {"hidden", "heads", "ffn"} <= set(dimensions)
    answer = said.pop("inference")
    assert (answer["claimed"], answer["bits"], answer["proof_bytes"]) == (3, 111.0, 4321)
    assert said == {
        "schema": "huref-verdict/1",
        "verified": True,
        "digest": verdict.digest,
        "fingerprint": verdict.fingerprint,
        "words": verdict.words,
        "model_id": verdict.commitment.model_id,
        "profile": "hardened-2",
        "challenge": None,
        "security": {"bits": 117.6, "binding": "tight", "level": 100},
        "picture": {
            "status": "matches", "generator": "ab" * 32, "foreign_generator": False, "comparison": "exact",
            "message": "the picture is the one", "hint": None,
        },
        "signer": OWNER,
        "cosigners": [AUDITOR],
        "unknown_cosigners": [STRANGER],
        "said_by_owner": {
            "family": "llama", "layers": 3, "vocabulary": 384, "token_source": "word-list", "fidelity": 0.75,
            "sources": [file.model_dump() for file in verdict.commitment.sources],
        },
        "bytes": {"bundle": 1234, "proof": 567},
        "seconds": {"all": 1.2346},
        "expected": ["fingerprint"],
        "ignored": ["a"],
        "warnings": [EXPECT_ALONE],
        "proven": verdict.proven(),
        "signed_by": verdict.signed_by(),
        "not_proven": verdict.not_proven(),
    }  # fmt: skip
    drawn = made("whole")
    found = validate(drawn.to_dict(), "verdict")
    assert found["inference"] is None and found["challenge"] == drawn.challenge is not None
