"""What a caller expects, as people write it, and which expectation shows what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from huref.common.errors import Damaged, HurefError, InputOutputError, Malformed, Rejected, UsageError
from huref.common.files import bundle as form
from huref.common.files.bundle import pack_bundle, read_bundle
from huref.common.text import parse_hex
from huref.verifier.expectations import parse_digest, parse_root
from huref.verifier.verification import expected_fingerprint, verify
from tests.conftest import Made
from tests.support.forge import Files, check, load, reseal


@pytest.fixture(scope="module")
def files(tiny: Made) -> Files:
    return load(tiny.bundle)


def test_a_root_is_read_as_people_write_it(tiny: Made) -> None:
    root = tiny.proved.verdict.model_id
    ways = (root, root.upper(), f"0x{root}", f"0X{root.upper()}", f" {root}\n", str(tiny.commitment),
            str(tiny.commitment / "commitment.json"), str(tiny.bundle / form.COMMITMENT))  # fmt: skip
    for text in ways:
        assert parse_root(text) == root, text
    assert parse_digest("0x" + "AB" * 32, "generator") == "ab" * 32


@pytest.mark.parametrize(
    "text", ["", "xyz", "0" * 63, "0" * 65, "0x" + "0" * 63, "g" * 64, "0x0x" + "0" * 60, "\0", "x" * 5000]
)
def test_anything_else_is_a_wrong_call(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_hex(text, 64) is None
    with pytest.raises(HurefError) as caught:
        parse_root(text)
    assert isinstance(caught.value, (UsageError, InputOutputError)) and len(caught.value.message) < 400
    with pytest.raises(UsageError):
        parse_digest(text, "generator")


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_nothing_is_no_expectation(
    text: str, tiny: Made, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a variable that was never set gives; an empty path would be the folder one stands in."""
    monkeypatch.chdir(tiny.bundle)
    for name in ("root", "expect", "challenge", "generator", "signer"):
        with pytest.raises(HurefError) as caught:
            check(files, **{name: text})
        assert isinstance(caught.value, (UsageError, InputOutputError)), name


def test_a_bundle_is_no_witness_of_its_own_root(
    tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.bundle)
    for text in (str(tiny.bundle), str(tiny.bundle / form.COMMITMENT), ".", form.COMMITMENT):
        for bundle in (tiny.bundle, read_bundle(tiny.bundle)):
            with pytest.raises(UsageError, match="agrees with itself"):
                verify(bundle, root=text)
    packed, link = tmp_path / "a.zip", tmp_path / "linked.json"
    packed.write_bytes(pack_bundle(read_bundle(tiny.bundle)))
    link.symlink_to(tiny.bundle / form.COMMITMENT)
    for bundle, own in ((tiny.bundle, link), (packed, packed)):
        with pytest.raises(UsageError, match="root: a file of the bundle itself"):
            verify(bundle, root=str(own))
    published = tmp_path / form.COMMITMENT
    published.write_bytes((tiny.bundle / form.COMMITMENT).read_bytes())
    for bundle in (tiny.bundle, packed):
        assert verify(bundle, root=str(published)).expected == ("model_id",)


def test_a_bundle_is_no_witness_of_its_own_fingerprint(tiny: Made, tmp_path: Path) -> None:
    link = tmp_path / "linked.json"
    link.hardlink_to(tiny.bundle / form.FINGERPRINT)
    for text in (tiny.bundle, tiny.bundle / form.FINGERPRINT, link):
        with pytest.raises(UsageError, match="expect: a file of the bundle itself"):
            verify(tiny.bundle, expect=text)
    copied = tmp_path / form.FINGERPRINT
    copied.write_bytes((tiny.bundle / form.FINGERPRINT).read_bytes())
    assert verify(tiny.bundle, expect=copied).expected == ("fingerprint",)


def test_what_is_not_there_is_named_as_such(tiny: Made, tmp_path: Path) -> None:
    for bundle in (None, tiny.bundle):
        with pytest.raises(UsageError, match="neither 64 hex digits nor a commitment"):
            parse_root(str(tmp_path / "none"), bundle)
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "none")
    for options in ({"root": dangling}, {"expect": tmp_path / "none"}, {"expect": dangling}):
        with pytest.raises((InputOutputError, Damaged)):
            verify(tiny.bundle, **{name: str(path) for name, path in options.items()})  # type: ignore[arg-type]


def test_a_root_file_is_read_through_the_capped_reader(tmp_path: Path) -> None:
    path = tmp_path / "commitment.json"
    for content, hint in ((b"{}", "from where its owner published it"), (b"{ }", "was edited")):
        path.write_bytes(content)
        with pytest.raises(Malformed, match=r"root: not a commitment\.json: ") as caught:
            parse_root(str(path))
        assert hint in str(caught.value.hint)
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Malformed, match="at most"):
        parse_root(str(path))


def test_an_expected_bundle_is_verified_first(files: Files, tiny: Made, tmp_path: Path) -> None:
    """A forged bundle that says the wanted vector is no expectation; neither is half of one."""
    assert expected_fingerprint(tiny.bundle) == tiny.proved.verdict.fingerprint
    for name, data in reseal({**files, form.PROOF: files[form.PROOF][:-1] + b"\1"}).items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(Rejected):
        check(files, expect=tmp_path)
    (tmp_path / form.MANIFEST).unlink()
    with pytest.raises(Malformed, match="missing"):
        check(files, expect=tmp_path)
    alone = tmp_path / "other" / form.FINGERPRINT
    alone.parent.mkdir()
    alone.write_bytes(files[form.FINGERPRINT])
    for place in (alone, alone.parent, tiny.proved.verdict.fingerprint.upper()):
        assert check(files, expect=place).expected == ("fingerprint",)


def test_an_expected_fingerprint_file_is_capped(files: Files, tmp_path: Path) -> None:
    path = tmp_path / form.FINGERPRINT
    content = json.loads(files[form.FINGERPRINT])
    for change in (
        {"v": [10**30] * 512},
        {"v": [1.5] * 512},
        {"v": ["1"] * 512},
        {"profile": "\x1b[31m"},
        {"timings": {"a\n": 1}},
    ):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(Malformed, match="not a fingerprint file"):
            check(files, expect=path)
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Malformed, match="at most"):
        check(files, expect=path)


def test_expect_alone_warns_that_it_shows_nothing_about_who(tiny: Made, files: Files) -> None:
    found = tiny.proved.verdict
    alone = check(files, expect=found.fingerprint)
    assert len(alone.warnings()) == 1 and "who made this bundle" in alone.warnings()[0]
    assert alone.to_dict()["warnings"] == alone.warnings()
    with_root = check(files, expect=found.fingerprint, root=found.model_id)
    assert with_root.warnings() == [] and with_root.expected == ("model_id", "fingerprint")
    assert check(files).warnings() == []
    unnamed = [line for line in check(files).not_proven() if line.startswith("Whose model")]
    assert unnamed and not any(line.startswith("Whose model") for line in with_root.not_proven())


def test_a_bundle_of_another_root_is_rejected_in_every_spelling(tiny: Made, other: Made) -> None:
    root = other.proved.verdict.model_id
    for text in (root, root.upper(), "0x" + root, str(other.commitment / "commitment.json")):
        with pytest.raises(Rejected) as caught:
            verify(tiny.bundle, root=text)
        assert caught.value.path == "expect.model_id" and caught.value.expected == root
