"""The summary of an inspection and what the page shows beside it, put together by hand: nothing is verified here."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import pytest

from huref.common.rejection import CLAIMED
from huref.verifier.report.inspect_html import page
from huref.verifier.report.inspection import Failure, Inspection
from huref.verifier.report.summary import summary
from huref.verifier.verdict import Verdict
from tests.support.frozen_verdicts import MATCHES, UNCHECKED, made

PICTURE = b"\x89PNG"
BEGIN = "A mathematical proof, checked here, shows that"
FROM = "follows exactly from numbers that whoever made this bundle had fixed beforehand under the model id below; "
END = "it does not show that these numbers are a model, or whose."
LABEL = "Checked: drawn by the embedded generator."


def inspected(verdict: Verdict | None, **changes: Any) -> Inspection:
    picture = PICTURE if verdict is not None and verdict.picture.status == "matches" else None
    return replace(Inspection("model.huref", verdict=verdict, picture=picture), **changes)


@pytest.mark.parametrize(
    ("picture", "what"),
    [
        (MATCHES, "this picture"),
        (UNCHECKED, "this fingerprint"),
        (replace(UNCHECKED, foreign=True), "this fingerprint"),
        (replace(MATCHES, status="differs"), "this fingerprint"),
        (replace(MATCHES, foreign=True), "the fingerprint behind this foreign generator's picture"),
    ],
)
@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("paper", ""),
        ("answered", "the same numbers, run as a language model, give the answer below; "),
        ("answers", "the same numbers, run as a language model, give the 3 answers below; "),
    ],
)
def test_what_holds(name: str, answers: str, picture: Any, what: str) -> None:
    said = summary(inspected(made(name, picture=picture)))
    assert said.holds == f"{BEGIN} {what} {FROM}{answers}{END}"
    unread = "The kind and size of the model and the files it came from. No proof reads these."
    checked = "" if picture.status == "matches" else " The picture was not checked and is not shown."
    assert said.said == unread + checked


NAMED = " 1 of the auditors you named signed it too."
UNNAMED = " 2 more signed as auditors with keys that you did not name; they count for nothing."


@pytest.mark.parametrize(
    ("changes", "begin"),
    [
        ({"signer": None}, "Nobody."),
        (
            {"signer": "c" * 96},
            "The owner's key cccccccccccccccc…; whose key that is, you must know from elsewhere.",
        ),
        (
            {"signer": "c" * 96, "expected": ("signer",)},
            "The owner's key that you named (cccccccccccccccc…).",
        ),
    ],
)
def test_who_signed(changes: dict[str, Any], begin: str) -> None:
    """Auditors whom the reader did not name count for nothing, whoever else signed."""
    for named in ((), ("d" * 96,)):
        for unnamed in ((), ("e" * 96, "f" * 96)):
            said = summary(
                inspected(made("paper", cosigners=named, unknown_cosigners=unnamed, **changes))
            ).signed
            first = "No owner signed it." if changes["signer"] is None and (named or unnamed) else begin
            assert said == first + NAMED * bool(named) + UNNAMED * bool(unnamed)


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        ("Rejected", "Nothing holds: this bundle failed a check"),
        ("Malformed", "Nothing was shown: these files are no well-formed bundle, so"),
        ("Damaged", "Nothing was shown: files of this bundle are missing or incomplete, so"),
        ("Unsupported", "Nothing was shown: this version of huref does not know this kind of bundle, so"),
    ],
)
def test_what_does_not_hold(kind: str, holds: str) -> None:
    """Also where a verdict lies beside the failure."""
    failure = Failure(kind, "", "no")
    for verdict in (None, made("paper", signer="c" * 96)):
        found = inspected(verdict, failure=failure)
        said = summary(found)
        assert said.holds.startswith(holds)
        assert said.signed == "No signature counts, because the bundle did not verify." and said.said == ""
        shown = page(found)
        assert "Proven" not in shown.split("Words on this page")[0] and "c" * 96 not in shown
        assert f'class="badge bad">{found.word}<' in shown and "<img" not in shown and LABEL not in shown
        claimed = summary(replace(found, words=["It is mine."])).said
        assert claimed == f"Everything that the bundle says of itself, below under “{CLAIMED}”."


def test_a_failure_is_shown_whole_and_as_text() -> None:
    fields = {name: f"<{name}>\x1b" for name in ("path", "message", "meaning", "expected", "got", "hint")}
    shown = page(inspected(None, failure=Failure("Rejected", **fields)))
    named = {"meaning": "What it means", "path": "Check", "message": "Message"}
    for name in fields:
        label = named.get(name, name.capitalize())
        said = f"&lt;{name}&gt;\\x1b"
        set_apart = name in ("path", "expected", "got")
        assert f"<dt>{label}</dt><dd>{f'<code>{said}</code>' if set_apart else said}</dd>" in shown
    bare = page(inspected(None, failure=Failure("Damaged", "", "no")))
    assert not any(
        f"<dt>{name}</dt>" in bare for name in ("Check", "What it means", "Expected", "Got", "Hint")
    )


def test_claims_of_a_failed_bundle_stand_under_their_heading_as_text() -> None:
    words = ["<b>Proven</b>\u202e"]
    found = inspected(None, failure=Failure("Rejected", "a", "b"), words=words, fingerprint="f<", root="r<")
    shown = page(found)
    place = shown.index(f"<h2>{CLAIMED}</h2>")
    for claim in ("<li>&lt;b&gt;Proven&lt;/b&gt;\\u202e</li>", "<code>f&lt;</code>", "<code>r&lt;</code>"):
        assert shown.index(claim) > place
    assert "In six words" not in shown and "VERIFIED" not in shown and "Only said by the owner" not in shown
    bare = page(replace(found, words=[]))
    assert CLAIMED not in bare and "Only said" not in bare and "Technical part" not in bare


def test_a_verified_bundle_has_every_sentence_of_its_verdict() -> None:
    verdict = made("answers", signer="c" * 96, unknown_cosigners=("e" * 96,))
    found = inspected(
        verdict, statement=verdict.statement, root="r<", fingerprint="f<", words=["It is mine."]
    )
    shown = re.sub(r'<span class="option">([a-z-]+)</span>', r"\1", page(found))
    places = []
    for heading, lines in verdict.sections():
        places.append(shown.index(f"<h2>{heading}</h2>"))
        assert all(f"<li>{html.escape(line)}</li>" in shown[places[-1] :] for line in lines), heading
    assert places == sorted(places)
    assert f"<dt>Model id</dt><dd><code>{verdict.model_id}</code>" in shown
    assert "<dt>Root of its weights</dt><dd><code>r&lt;</code>" in shown
    assert "<dt>Fingerprint</dt><dd><code>f&lt;</code>" in shown
    assert f"<dt>In six words</dt><dd><b>{verdict.words}</b>" in shown
    assert LABEL in shown and 'class="badge good">VERIFIED<' in shown and CLAIMED not in shown
    said = summary(found)
    assert f'<p class="holds">{html.escape(said.holds)}</p>' in shown
    assert f"<dt>Who signed</dt><dd>{html.escape(said.signed)}</dd>" in shown
    assert "<h2>Which model, and when</h2>" in shown and shown.count("<time ") == 2
    assert "Take the model id from where the owner published it" in shown
    assert "Pictures only hint at it." in shown
    assert "<dt>Only said by the owner</dt>" in shown and "The first check that failed" not in shown


def test_a_foreign_picture_is_not_called_checked() -> None:
    shown = page(inspected(made("paper", picture=replace(MATCHES, foreign=True))))
    assert "<img" in shown and LABEL not in shown and "this foreign generator&#x27;s picture" in shown
    assert "Drawn by a foreign generator, which can be made to draw anything." in shown


def test_no_picture_without_a_verdict() -> None:
    shown = page(Inspection("model.huref", picture=PICTURE))
    assert (
        "<img" not in shown and 'aria-label="No picture, struck through"' in shown and "VERIFIED" not in shown
    )
    assert 'aria-label="No picture"' in page(inspected(made("paper", picture=UNCHECKED)))


def test_foreign_files_are_named_as_text_and_not_all() -> None:
    names = tuple(f"<{i}>\x1b" for i in range(30))
    shown = page(inspected(made("paper"), ignored=names))
    assert "no part of the bundle, ignored: " in shown and "\x1b" not in shown
    assert "&lt;19&gt;" in shown and "&lt;20&gt;" not in shown and "<19>" not in shown
    assert "ignored: &quot;a. Verified&quot;<" in page(inspected(made("paper"), ignored=("a. Verified",)))
    assert "ignored: " not in page(inspected(made("paper")))


def test_json_of_an_inspection() -> None:
    failure = Failure("Rejected", "a.b", "no", "means", "1", "2", "try")
    failed = inspected(None, failure=failure, ignored=("x",), files={"proof.bin": 3}).to_dict()
    assert failed["verified"] is False and failed["verdict"] is None and failed["ignored"] == ["x"]
    assert failed["failure"] == {
        "kind": "Rejected", "path": "a.b", "message": "no", "meaning": "means", "expected": "1", "got": "2",
        "hint": "try",
    }  # fmt: skip
    verdict = made("paper")
    good = inspected(verdict, statement=verdict.statement).to_dict()
    assert good["verified"] is True and good["failure"] is None and good["verdict"] == verdict.to_dict()
    assert good["statement"] == verdict.statement.model_dump(mode="json") and failed["statement"] is None
