"""What a reader may believe: three headings everywhere, nothing unproven under the first, no picture unchecked."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from huref.common.errors import HurefError, Malformed, Rejected
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.canonical import canonical_json
from huref.common.files.commitment_file import SourceFile
from huref.common.image.registry import Installed, embedded
from huref.common.words import word_fingerprint
from huref.verifier.commands.inspect import describe as inspect_lines
from huref.verifier.commands.verify import describe
from huref.verifier.published import is_published, load_vector
from huref.verifier.report.inspect_html import page
from huref.verifier.report.inspection import inspect
from huref.verifier.verdict import NO_MODEL, PROVEN, SAID, SIGNED, Verdict
from tests.conftest import Made
from tests.support.forge import (
    Files,
    check,
    load,
    manifest_of,
    reseal,
    with_directory,
    with_manifest,
    with_statement,
)

HEADINGS = [PROVEN, SIGNED, SAID]


@pytest.fixture(scope="module")
def files(tiny: Made) -> Files:
    return load(tiny.bundle)


@pytest.fixture(scope="module")
def verdict(files: Files) -> Verdict:
    """A verdict whose unproven words can be told apart from all others."""
    found = check(files)
    shape = {**found.directory.shape, "family": "zebra", "layers": 700100, "vocab": 700200}
    directory = found.directory.model_copy(update={"shape": shape})
    sources = [SourceFile(name="quagga.safetensors", size=700300, sha256="ab" * 32)]
    return replace(
        found,
        commitment=found.commitment.model_copy(update={"directory": directory, "sources": sources}),
        fidelity=0.700400123,
        signer="c" * 96,
        cosigners=("d" * 96,),
    )


OWNERS = ("zebra", "700100", "700200", "quagga", "700300", "ab" * 32, "0.700400123", "fidelity")


def _sections(lines: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines:
        if line.rstrip(":") in HEADINGS:
            found[line.rstrip(":")] = []
        elif found:
            found[list(found)[-1]].append(line)
    return found


def test_the_terminal_has_three_headings_and_the_owners_words_only_under_the_last(verdict: Verdict) -> None:
    lines = describe("x", verdict)
    sections = _sections(lines)
    assert list(sections) == HEADINGS
    before = "\n".join(lines[: lines.index(f"{SAID}:")])
    for word in OWNERS:
        assert word.lower() not in before.lower(), word
    after = "\n".join(sections[SAID])
    assert all(word.lower() in after.lower() for word in OWNERS)
    assert "c" * 96 in "".join(sections[SIGNED]) and "d" * 96 in "".join(sections[SIGNED])
    assert "c" * 96 not in "".join(sections[PROVEN]) and "d" * 96 not in "".join(sections[PROVEN])


def test_json_has_the_same_headings(verdict: Verdict) -> None:
    said = verdict.to_dict()
    assert [said["proven"], said["signed_by"], said["not_proven"]] == [
        lines for _, lines in verdict.sections()
    ]
    outside = json.dumps(
        {key: value for key, value in said.items() if key not in ("said_by_owner", "not_proven")}
    )
    assert not [word for word in OWNERS if word in outside.lower()]


def test_the_page_has_the_same_headings(files: Files, verdict: Verdict) -> None:
    found = inspect(parse_bundle(Path("x"), files))
    found.verdict = verdict
    text = html.unescape(page(found))
    places = [text.index(f"<h2>{heading}</h2>") for heading in HEADINGS]
    assert places == sorted(places)
    after = text.index("<h2>", places[-1] + 1)
    said, rest = text[places[-1] : after], text[: places[-1]] + text[after:]
    assert all(word.lower() in said.lower() for word in OWNERS)
    assert not [word for word in ("zebra", "quagga", "ab" * 32) if word in rest]
    lines = inspect_lines(found)
    assert list(_sections(lines)) == HEADINGS


def test_the_verdict_says_that_anybody_can_reach_a_vector(files: Files, verdict: Verdict) -> None:
    assert "anybody can write down" in NO_MODEL.lower() and "challenge drawn after" in NO_MODEL
    for one in (check(files), verdict):  # no signature takes the caveat away
        assert one.not_proven()[0] == NO_MODEL
        assert NO_MODEL in "\n".join(describe("x", one))
    assert "Nobody." in check(files).signed_by()


HOSTILE_NAMES = ("\x1b[2J", "a\nProven:", "llama\u202e", "a b", "", "x" * 65, "é", "<b>", "\u200b", "-x")


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_names_are_identifiers(files: Files, name: str) -> None:
    forged = with_directory(files, lambda d: d["shape"].update(family=name))
    with pytest.raises(Malformed, match=r"shape\.family") as caught:
        check(forged)
    assert caught.value.message.isprintable() and len(caught.value.message) < 200
    for change in (lambda s: s.update({name: 1}), lambda s: s["shifts"].update({name: 1})):
        with pytest.raises(Malformed, match="statement"):
            check(with_statement(files, change))
    with pytest.raises(Malformed, match="binding"):
        check(with_manifest(files, lambda m: m["security"].update(binding=name)))


@pytest.mark.parametrize(
    "name", ["\x1b[2J", "a\nb", "a\u202eb", "", "x" * 256, "a/b", "a\\b", "\u2066", "\x7f"], ids=ascii
)
def test_file_names_in_sources_are_printable(files: Files, name: str) -> None:
    content = json.loads(files[form.COMMITMENT])
    content["sources"][0]["name"] = name
    with pytest.raises(Malformed, match="name"):
        check(reseal({**files, form.COMMITMENT: canonical_json(content)}))
    assert SourceFile(name="模型-00001.safetensors", size=1, sha256="0" * 64)


def test_an_unchecked_picture_is_shown_nowhere(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    good = inspect(parse_bundle(Path("x"), files))
    assert good.picture == files[form.PICTURE] and "data:image/png" in page(good)
    for forged in (
        reseal({**files, form.PROOF: files[form.PROOF][:-1] + bytes([files[form.PROOF][-1] ^ 1])}),
        reseal({**files, form.PICTURE: files[form.PICTURE] + b"\0"}),
        with_statement(files, lambda s: s["v"].__setitem__(0, s["v"][0] + 1)),
        with_manifest(files, lambda m: m["security"].update(bits=200.0)),
    ):
        found = inspect(parse_bundle(Path("x"), forged))
        assert found.failure is not None and found.picture is None
        assert "data:image" not in page(found) and "<img" not in page(found)
    monkeypatch.setattr("huref.verifier.image.find", lambda digest: None)
    unchecked = inspect(parse_bundle(Path("x"), files))
    assert unchecked.verdict is not None and unchecked.picture is None and "<img" not in page(unchecked)


def test_who_names_a_generator_wants_the_picture_checked(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle alone says which generator it is by; where that is not at hand, nothing shows it."""
    digest = manifest_of(files)["statement"]["generator"]
    monkeypatch.setattr("huref.verifier.image.find", lambda wanted: None)
    assert check(files).picture.status == "not checked"
    with pytest.raises(Rejected, match="not installed") as caught:
        check(files, generator=digest)
    assert caught.value.path == "image"


def _foreign(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator that the bundle names is installed, but another is the embedded one."""
    digest = manifest_of(files)["statement"]["generator"]
    own = embedded()
    monkeypatch.setattr("huref.verifier.image.embedded", lambda: Installed("e" * 64, own.weights))
    monkeypatch.setattr("huref.verifier.image.find", lambda wanted: own if wanted == digest else None)


def test_a_foreign_generators_picture_is_labelled_and_not_what_require_image_means(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = manifest_of(files)["statement"]["generator"]
    assert check(files, require_image=True).picture.foreign is False
    assert check(files, require_image=True, generator=digest.upper()).picture.status == "matches"
    with pytest.raises(Rejected) as caught:
        check(files, generator="e" * 64)
    assert (caught.value.path, caught.value.expected, caught.value.got) == (
        "image.generator",
        "e" * 64,
        digest,
    )
    _foreign(files, monkeypatch)
    with pytest.raises(Rejected, match="foreign") as caught:
        check(files, require_image=True)
    assert caught.value.path == "image.generator"
    found = check(files, require_image=True, generator=digest)
    assert found.picture.foreign and found.to_dict()["picture"]["foreign_generator"] is True
    assert any("foreign generator" in line for line in found.proven())
    assert "  picture      matches (byte for byte, by a foreign generator)" in describe("x", found)
    shown = page(inspect(parse_bundle(Path("x"), files)))
    assert "foreign generator, which can be made to draw anything" in shown


ALLOWED = {"html", "head", "meta", "title", "style", "body", "header", "main", "footer", "div", "h1", "h2", "h3", "p",
           "b", "span", "small", "time", "code", "figure", "figcaption", "img", "svg", "path", "ul", "li", "dl", "dt",
           "dd", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}  # fmt: skip
NAMES = {"lang", "charset", "http-equiv", "content", "name", "class", "alt", "src", "datetime", "scope", "role",
         "tabindex", "aria-label", "viewbox", "d", "stroke", "stroke-width"}  # fmt: skip


class _Tags(HTMLParser):
    """Tags, attributes and addresses of a page, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_escapes_everything_and_loads_nothing(files: Files, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x1b[31m\u202e"
    for path, forged in (
        (Path(evil), files),
        (Path("x"), with_manifest(files, lambda m: m["statement"].update({evil: 1}))),
        (Path("x"), with_manifest(files, lambda m: m["files"].update({evil: 1}))),
        (Path("x"), with_directory(files, lambda d: d["shape"].update({evil: 1}))),
    ):
        for name, data in forged.items():
            (tmp_path / name).write_bytes(data)
        found = inspect(tmp_path)
        found.bundle, found.ignored = str(path), (evil,)
        text = page(found)
        assert (
            "<script" not in text and "<img src=x" not in text and "\x1b" not in text and "\u202e" not in text
        )
        policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
        assert policy and policy[1].startswith("default-src 'none'") and "script" not in policy[1]
        assert text.index("Content-Security-Policy") < text.index("<title>")
        parser = _Tags()
        parser.feed(text)
        assert parser.tags <= ALLOWED and all(
            link.startswith("data:image/png;base64,") for link in parser.links
        )
        assert parser.attributes <= NAMES


def test_ignored_files_are_named(files: Files, tiny: Made) -> None:
    ignored = ("\x1b[31m.DS_Store", *(f"{i}.txt" for i in range(20)))
    found = inspect(parse_bundle(Path("x"), files, ignored))
    assert found.verdict is not None
    for lines in (describe("x", found.verdict), inspect_lines(found)):
        line = next(line for line in lines if line.startswith("  ignored: "))
        assert ".DS_Store" in line and "13 more" in line
    assert found.verdict.to_dict()["ignored"] == list(ignored) and "ignored: " in page(found)
    assert not any("ignored" in line for line in describe("x", check(files)))


def test_six_words_stand_for_a_verified_bundle(files: Files) -> None:
    found = inspect(parse_bundle(Path("x"), files))
    assert found.verdict is not None
    words = word_fingerprint(found.verdict.fingerprint, found.verdict.model_id)
    assert f"  in words     {words}" in inspect_lines(found) and f"<b>{words}</b>" in page(found)
    assert f"  in words     {words}" in describe("x", found.verdict)
    failed = inspect(parse_bundle(Path("x"), reseal({**files, form.PICTURE: files[form.PICTURE] + b"\0"})))
    assert failed.fingerprint == found.fingerprint and failed.failure is not None
    assert words not in page(failed) and words not in "\n".join(inspect_lines(failed))


def test_inspect_survives_a_statement_of_any_shape(files: Files) -> None:
    """Words are made only after the statement compiled: it may lack every field that they name."""
    shapes = (
        lambda d: d.update(shape={}),
        lambda d: d.update(shape={"family": "x"}),
        lambda d: d["shape"].update(heads="a"),
        lambda d: d["shape"].update(rotary_dim=None),
    )
    statements = (
        lambda s: s.update(e=[10**39] * 4096),
        lambda s: s.update(e=None),
        lambda s: s.update(caps={}),
        lambda s: s.update(ratios={}),
        lambda s: s.update(shifts={}),
        lambda s: s.update(calibration_sums={}),
        lambda s: s.clear(),
    )
    for forged in [
        *(with_directory(files, change) for change in shapes),
        *(with_manifest(files, lambda m, change=change: change(m["statement"])) for change in statements),
    ]:
        found = inspect(parse_bundle(Path("x"), forged))
        assert found.failure is not None and found.failure.kind == "Malformed"
        assert page(found) and inspect_lines(found)[0].startswith("MALFORMED")


def test_a_rejection_reads_the_same_in_every_view(files: Files) -> None:
    forged = with_manifest(files, lambda m: m["security"].update(bits=200.0))
    found = inspect(parse_bundle(Path("x"), forged))
    assert found.failure is not None and found.failure.path == "security"
    lines = inspect_lines(found)
    assert lines[0].startswith("REJECTED") and found.failure.meaning in lines[1]
    assert [line.split()[0] for line in lines[3:6]] == ["security:", "expected", "got"]
    text = page(found)
    assert ">REJECTED<" in text and html.escape(found.failure.meaning) in text
    assert not re.search("NOT VERIFIED|rejected<", text)


def test_a_vector_to_compare_is_verified_or_called_unproven(files: Files, tiny: Made, tmp_path: Path) -> None:
    good = load_vector(tiny.bundle)
    assert good.kind == "bundle" and good.to_dict()["proven"] is True and "verified" in good.label
    assert (
        good.file.v == tiny.proved.verdict.v
        and good.to_dict()["fingerprint"] == tiny.proved.verdict.fingerprint
    )
    alone = tmp_path / "f.json"
    alone.write_bytes(files[form.FINGERPRINT])
    bare = load_vector(alone)
    assert bare.kind == "fingerprint" and bare.to_dict()["proven"] is False and "unproven" in bare.label
    assert bare.to_dict()["model_id"] is None and bare.file == good.file
    forged = tmp_path / "forged"
    forged.mkdir()
    for name, data in with_statement(files, lambda s: s["v"].__setitem__(0, s["v"][0] + 1)).items():
        (forged / name).write_bytes(data)
    with pytest.raises(HurefError):
        load_vector(forged)
    (forged / form.MANIFEST).unlink()
    assert is_published(forged)
    with pytest.raises(Malformed, match="missing"):
        load_vector(forged)
