"""The pieces of a page and its technical part: whatever a file says stays text there."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from huref.circuits.argument.security import SecurityReport, Term
from huref.common.files import bundle as form
from huref.verifier.report import elements
from huref.verifier.report.inspect_html import page
from huref.verifier.report.inspection import Failure, Inspection, LayerView
from huref.verifier.report.technical import technical
from huref.verifier.report.transcripts import Message, ProofView
from tests.support.frozen_verdicts import MATCHES, UNCHECKED, made

EVIL = "<script>&\"'\x1b\u202e"
SAFE = "&lt;script&gt;&amp;&quot;&#x27;\\x1b\\u202e"
LAYER = LayerView(EVIL, f"f{EVIL}", 2, 3, 4, (-5, 6), 7, 1234, (8, None), (EVIL, "b"))
MESSAGES = [
    Message("absorb", "a.b", 17, "00", 0.0),
    Message("challenge", "a.c", 8, "01", 0.0),
    Message("challenge", f"a{EVIL}", 16, "02", 0.0),
]


def parts() -> list[str]:
    return [
        elements.text(EVIL),
        elements.code(EVIL),
        elements.folded(EVIL, EVIL, ""),
        elements.folded(EVIL, EVIL, "", level=3),
        elements.items([EVIL]),
        elements.facts([(EVIL, "")]),
        elements.table(EVIL, [EVIL, EVIL], [[EVIL, EVIL]]),
    ]


@pytest.mark.parametrize(("place", "count"), list(enumerate([1, 1, 2, 2, 1, 1, 5])))
def test_every_piece_is_text(place: int, count: int) -> None:
    shown = parts()[place]
    assert shown.count(SAFE) == count
    assert "<script" not in shown and "\x1b" not in shown and "\u202e" not in shown


def test_an_option_is_not_torn() -> None:
    """Nor does a file's long name become one line that no window holds."""
    assert elements.items(["no signer (--signer), --a"]) == (
        '<ul><li>no signer (<span class="option">--signer</span>), --a</li></ul>'
    )
    assert elements.code("huref --root x") == '<code>huref <span class="option">--root</span> x</code>'
    for said in (f"--{'a' * 20}", "a--root", "--root_", "---root"):
        assert elements.sentence(said) == said


def test_what_is_folded_has_a_heading_where_it_is_one() -> None:
    assert elements.folded("a", "", "b") == "<details><summary>a</summary>b</details>"
    assert elements.folded("a", "c", "b", level=3).startswith(
        "<details><summary><h3>a</h3> <small>c</small><"
    )


def test_a_table_names_its_rows_and_columns() -> None:
    shown = elements.table("t", ["a", "b"], [["c", "1"]], numbers=(1,))
    assert shown == (
        '<div class="wrap" role="group" tabindex="0" aria-label="t"><table>'
        '<thead><tr><th scope="col">a</th><th scope="col" class="n">b</th></tr></thead>'
        '<tbody><tr><th scope="row">c</th><td class="n">1</td></tr></tbody></table></div>'
    )


def hostile(*others: ProofView) -> Inspection:
    security = SecurityReport((Term(EVIL, EVIL, 99.0, 3), Term("tight", "", 90.0)))
    proof = ProofView(form.PROOF, {EVIL: EVIL}, security, MESSAGES, {EVIL: [1, 22]})
    return Inspection(
        "model.huref",
        words=[EVIL],
        layers=[LAYER],
        proof=proof,
        others=list(others),
        files={EVIL: 4321},
    )


def test_the_technical_part_is_text() -> None:
    shown = technical(hostile())
    assert "<script" not in shown and "\x1b" not in shown and "\u202e" not in shown
    assert shown.count(SAFE) == 14


def test_the_technical_part_has_every_proof() -> None:
    own = hostile().proof
    shown = technical(hostile(replace(own, file=form.RANGE), replace(own, file=form.INFERENCE_PROOF)))
    assert shown.count(SAFE) > 14 and "<script" not in shown
    for of in ("", " of the range proof", " of the proof of inference"):
        for heading in ("Sizes", "Soundness ledger", "Messages and challenges", "Opened positions"):
            assert shown.count(f"<h3>{heading}{of}</h3>") == 1


def test_the_technical_part_says_what_was_found() -> None:
    """One section for each part of an inspection that is there, none for one that is not."""
    shown = technical(hostile())
    for heading in ("Statement, as the bundle says it", "Sizes", "Layers", "Soundness ledger"):
        assert f"<h3>{heading}</h3>" in shown
    for heading in ("Messages and challenges", "Opened positions", "Files and time"):
        assert f"<h3>{heading}</h3>" in shown
    for name, said in (
        ("static bound of |accumulator|", "1,234"),
        ("canonical shift", "4"),
        ("calibration sum at the shift, and one below", "8 and none (shift 0)"),
        ("clamped to", "[-5, 6]"),
        ("clamp table covers quotients in", "[−7, 7)"),
        ("looked up as", f"{SAFE}, b"),
        (SAFE, "4,321 bytes"),
    ):
        assert f"<dt>{name}</dt><dd>{said}</dd>" in shown
    assert "90.0 provable bits, set by tight" in shown and "<code>1, 22</code>" in shown
    assert "▶ tight" in shown and shown.count("▶") == 1
    absorbed, challenged = shown.index("<td>a.b</td>"), shown.index(f"<td>a{SAFE}</td>")
    assert "prover sends →" in shown[absorbed - 60 : absorbed]
    assert "← challenge" in shown[challenged - 60 : challenged]
    assert "2 events, 17 bytes absorbed" in shown and "<td>00…</td>" in shown and "<td>02</td>" in shown
    ledger = [f'<td class="n">{said}</td>' for said in ("99.0", "3", "102.0", "90.0", "", "90.0")]
    assert shown.index("".join(ledger[3:])) < shown.index("".join(ledger[:3]))
    assert technical(Inspection("model.huref")) == ""
    shifted = Inspection("model.huref", layers=[replace(LAYER, calibration=(8, 1234))])
    assert "<dd>8 and 1,234</dd>" in technical(shifted)


def test_the_vector_and_the_tokens_stand_with_the_statement() -> None:
    verdict = made("paper")
    found = Inspection("model.huref", words=["a"], verdict=verdict, statement=verdict.statement)
    shown = technical(replace(found, directory=verdict.directory))
    assert f"<code>{', '.join(map(str, verdict.v))}</code>" in shown
    assert f"<code>{', '.join(map(str, verdict.directory.tokens.ids))}</code>" in shown
    assert "<dt>all</dt><dd>1235 ms</dd>" in shown
    quick = replace(found, verdict=replace(verdict, seconds={"read": 0.25, "inference": 0.0003}))
    assert "<dt>read</dt><dd>250 ms</dd>" in technical(quick) and "<dt>inference</dt>" not in technical(quick)
    assert "<code>" not in technical(replace(found, statement=None))


class Scripts(HTMLParser):
    """Whatever a browser would run, or load from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script" or any(name.startswith("on") for name, _ in attrs):
            self.found.append(tag)


@pytest.mark.parametrize("picture", [MATCHES, UNCHECKED])
def test_a_page_of_hostile_text_runs_nothing(picture: object) -> None:
    failure = Failure("Rejected", EVIL, EVIL, EVIL, EVIL, EVIL, EVIL)
    for found in (
        replace(hostile(), failure=failure),
        replace(hostile(), verdict=made("paper", picture=picture)),
    ):
        shown = page(replace(found, bundle=EVIL, ignored=(EVIL,), fingerprint=EVIL, root=EVIL))
        assert Scripts(shown).found == [] and "\x1b" not in shown and "\u202e" not in shown
        assert f"<h1>{SAFE}</h1>" in shown and f": {SAFE}</title>" in shown
