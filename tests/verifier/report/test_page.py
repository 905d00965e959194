"""The page of `huref inspect --html` as somebody reads it: in this order, with these landmarks, at these contrasts."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.verifier.report.glossary import GLOSSARY
from huref.verifier.report.inspect_html import page
from huref.verifier.report.inspection import Inspection, inspect
from huref.verifier.report.style import STYLE
from huref.verifier.report.summary import summary
from tests import ROOT
from tests.support.forge import Files, load, reseal, with_manifest

SIGNED = ROOT / "tests" / "vectors" / "bundles" / "signed.huref"
CLAIMED = "Claimed, not proven"
EMPTY = {"meta", "img", "path"}


@pytest.fixture(scope="module")
def files() -> Files:
    return load(SIGNED)


@pytest.fixture(scope="module")
def verified(files: Files) -> Inspection:
    return inspect(parse_bundle(Path("model.huref"), files))


@pytest.fixture(scope="module")
def rejected(files: Files) -> Inspection:
    proof = files[form.PROOF]
    forged = reseal({**files, form.PROOF: proof[:-1] + bytes([proof[-1] ^ 1])})
    return inspect(parse_bundle(Path("model.huref"), forged))


@pytest.fixture(scope="module")
def malformed(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    folder = tmp_path_factory.mktemp("malformed")
    for name, data in with_manifest(files, lambda m: m.update(format="x/9")).items():
        (folder / name).write_bytes(data)
    return inspect(folder)


class Outline(HTMLParser):
    """Every element with its ancestors, in order; whatever is left open or closed twice fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}, tuple(self.open)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}, tuple(self.open)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.words.append((self.open[-1], data))

    def tags(self, name: str) -> list[dict[str, str]]:
        """Attributes of all elements of this name."""
        return [attributes for tag, attributes, _ in self.found if tag == name]


@pytest.fixture(params=["verified", "rejected", "malformed"])
def shown(request: pytest.FixtureRequest) -> Outline:
    return Outline(page(request.getfixturevalue(request.param)))


def test_landmarks_and_headings(shown: Outline) -> None:
    in_body = [tag for tag, _, above in shown.found if above[-1:] == ("body",)]
    assert in_body == ["header", "main", "footer"]
    levels = [int(tag[1]) for tag, _, _ in shown.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert shown.tags("html") == [{"lang": "en"}]
    assert any(word.strip() for tag, word in shown.words if tag == "title")


def test_everything_has_a_name(shown: Outline) -> None:
    assert all(image.get("alt") for image in shown.tags("img"))
    assert all(drawn.get("role") == "img" and drawn.get("aria-label") for drawn in shown.tags("svg"))
    assert len(shown.tags("img")) + len(shown.tags("svg")) == 1
    assert all(cell.get("scope") in ("row", "col") for cell in shown.tags("th"))
    reached = [attributes for _, attributes, _ in shown.found if "tabindex" in attributes]
    assert all(one["tabindex"] == "0" and one["role"] == "group" and one["aria-label"] for one in reached)
    assert len(reached) == len(shown.tags("table"))
    after_details = [
        shown.found[place + 1][0] for place, (tag, _, _) in enumerate(shown.found) if tag == "details"
    ]
    assert set(after_details) <= {"summary"}
    assert not [word for tag, word in shown.words if tag in ("dl", "table", "tr", "ul") and word.strip()]


def test_the_technical_part_is_folded(verified: Inspection) -> None:
    shown = Outline(page(verified))
    assert all("open" not in attributes for attributes in shown.tags("details"))
    assert all("details" in above for tag, _, above in shown.found if tag == "table")
    text = page(verified)
    technical = text[text.index("<h2>Technical part</h2>") :]
    assert text.index("<h2>Words on this page</h2>") < text.index("<h2>Technical part</h2>")
    assert "<h3>Soundness ledger</h3>" in technical and "opening.weights" in technical
    outside = re.sub(r"<details>.*?</details>", "", text, flags=re.S)
    assert "calibration" not in outside and len(outside) < 120_000 + len(verified.picture or b"") * 4 // 3


def test_the_glossary_explains_each_word_once() -> None:
    terms = [term for term, _ in GLOSSARY]
    assert len(set(terms)) == len(terms) and all(said.endswith(".") for _, said in GLOSSARY)


def test_first_what_holds(verified: Inspection) -> None:
    text = page(verified)
    first = text.index('<p class="holds">')
    assert first < min(text.index(tag) for tag in ("<dl>", "<ul>", "<img"))
    said = summary(verified)
    assert said.holds.count(".") == 1 and said.holds.endswith(".")  # one sentence
    assert (
        "this picture follows exactly" in said.holds
        and "does not show that these numbers are a model" in said.holds
    )
    assert verified.verdict is not None and verified.verdict.signer is not None
    assert verified.verdict.signer[:16] in said.signed and "know from elsewhere" in said.signed
    assert "auditors with keys that you did not name" in said.signed
    assert "No proof reads these" in said.said
    assert verified.root == verified.verdict.commitment.root and verified.root in text
    assert (
        f'<time datetime="{verified.checked:%Y-%m-%dT%H:%M}' in text and verified.checked.tzinfo is not None
    )


def test_commands_are_set_apart(verified: Inspection) -> None:
    text = re.sub(r"</?span[^>]*>", "", page(verified))
    for command in ("huref verify BUNDLE --root MODEL_ID", "--signer KEY", "huref compare BUNDLE OTHER"):
        assert text.count(f"<code>{command}</code>") == 1
    assert ".option { white-space: nowrap; }" in STYLE


def test_signers(verified: Inspection) -> None:
    verdict = verified.verdict
    assert verdict is not None

    def signed(**changes: object) -> str:
        return summary(replace(verified, verdict=replace(verdict, **changes))).signed  # type: ignore[arg-type]

    assert signed(signer=None, unknown_cosigners=()) == "Nobody."
    named = signed(expected=("signer",), unknown_cosigners=())
    assert "that you named" in named and "elsewhere" not in named
    assert "1 of the auditors you named" in signed(cosigners=("d" * 96,))
    assert "count for nothing" in signed(signer=None, unknown_cosigners=("d" * 96,))


def test_a_picture_that_was_not_checked(verified: Inspection) -> None:
    verdict = verified.verdict
    assert verdict is not None
    unchecked = replace(
        verified,
        picture=None,
        verdict=replace(verdict, picture=replace(verdict.picture, status="not checked")),
    )
    said = summary(unchecked)
    assert "picture" not in said.holds and "picture was not checked" in said.said
    text = page(unchecked)
    assert "<img" not in text and "<svg" in text and "M14 14" not in text
    foreign = replace(verified, verdict=replace(verdict, picture=replace(verdict.picture, foreign=True)))
    assert "foreign generator" in summary(foreign).holds


def test_a_rejection_strikes_the_picture_and_says_what_is_only_claimed(rejected: Inspection) -> None:
    text = page(rejected)
    assert "<img" not in text and "struck through" in text and "M14 14 L242 242" in text
    assert summary(rejected).holds.startswith("Nothing holds")
    assert f"<h2>{CLAIMED}</h2>" in text and f"<h2>Technical part: {CLAIMED.lower()}</h2>" in text
    assert "<h2>Proven</h2>" not in text and "<h2>Signed by</h2>" not in text and "VERIFIED" not in text
    claims = text.index(f"<h2>{CLAIMED}</h2>")
    assert text.index("<h2>The first check that failed</h2>") < claims
    assert rejected.fingerprint is not None
    assert rejected.fingerprint not in text[:claims]
    failure = rejected.failure
    assert failure is not None
    for name, said in (("Check", failure.path), ("Expected", failure.expected), ("Got", failure.got)):
        assert f"<dt>{name}</dt><dd><code>{said}</code></dd>" in text[:claims]


def test_a_failure_outweighs_a_verdict(verified: Inspection, rejected: Inspection) -> None:
    """Both together do not come out of a replay; should they, nothing is shown as proven."""
    both = replace(verified, failure=rejected.failure)
    text = page(both)
    assert summary(both).holds.startswith("Nothing holds") and summary(both).signed.startswith("No signature")
    assert "<h2>Proven</h2>" not in text and "<img" not in text and "VERIFIED" not in text
    assert "M14 14" in text and f"<h2>{CLAIMED}</h2>" in text


def test_what_cannot_be_read_claims_nothing(malformed: Inspection) -> None:
    text = page(malformed)
    assert summary(malformed).holds.startswith("Nothing was shown") and summary(malformed).said == ""
    assert CLAIMED not in text and "<img" not in text and "M14 14" in text


def test_what_was_never_verified_is_not() -> None:
    text = page(Inspection("model.huref"))
    assert "VERIFIED" not in text and "Nothing holds" in text and "M14 14" in text


def _schemes() -> list[dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.S)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    assert light.keys() == dark.keys() and light != dark
    assert STYLE.index("prefers-color-scheme: dark") > STYLE.index(":root")
    return [light, dark]


def _contrast(first: str, second: str) -> float:
    """WCAG 2.2: ratio of relative luminances."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_rightly() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrasts(scheme: int) -> None:
    colours = _schemes()[scheme]
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", STYLE.split("}\n}\n", 1)[1])
    written = {}
    for selector, body in rules:
        ink, ground = (re.search(rf"(?<![-\w]){name}: ([^;]+);", body) for name in ("color", "background"))
        for said in (ink, ground):
            assert said is None or re.fullmatch(r"var\(--[\w-]+\)", said[1]), f"{selector}: {said}"
        if ink:
            written[selector.strip()] = (ink[1][6:-1], ground[1][6:-1] if ground else None)
    assert {"body", ".good", ".bad", ".kicker"} <= set(written) and "opacity" not in STYLE
    for selector, (ink, ground) in written.items():
        for behind in [ground] if ground else ["page", "soft"]:
            assert _contrast(colours[ink], colours[behind]) >= 4.5, selector
    assert _contrast(colours["ink"], colours["page"]) >= 7
    for line, behind in (("bad", "soft"), ("bad", "line"), ("focus", "page"), ("focus", "soft")):
        assert _contrast(colours[line], colours[behind]) >= 3, (line, behind)


def test_every_class_has_a_rule_and_every_rule_a_class(verified: Inspection, rejected: Inspection) -> None:
    used = set(re.findall(r'class="([^"]+)"', page(verified) + page(rejected)))
    used = {name for names in used for name in names.split()}
    assert used == set(re.findall(r"\.([a-z]+)", re.sub(r"\d\.\d|\.\d", "", STYLE)))


def test_nothing_is_loaded(verified: Inspection) -> None:
    for word in ("url(", "@import", "http:", "https:", "<script", "<link", "<iframe", "srcset"):
        assert word not in page(verified), word
