"""What a reader's commands print: the same words, whatever a bundle is called and wherever it comes from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from huref.common.errors import ExitCode
from huref.common.files import bundle as form
from huref.common.words import word_fingerprint
from huref.verifier.compare import MATCH, OTHER_TOKENS
from tests.conftest import Made
from tests.support.forge import load, with_directory, with_statement
from tests.support.schemas import validate
from tests.verifier.commands.test_bundle_cli import huref as huref_fixture

huref = huref_fixture


def _folder(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_a_bundle_as_it_is_published(huref, tiny: Made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Beside foreign files, under a name that would paint a verdict, and as a zip."""
    folder = _folder(load(tiny.bundle), tmp_path / "\x1b[31mVERIFIED\n\u202e")
    for name in (".DS_Store", "README.md", ".gitattributes"):
        (folder / name).write_bytes(b"x")
    done = huref("verify", folder, "--root", tiny.commitment / "commitment.json")
    assert done.code == ExitCode.VERIFIED
    lines = done.out.splitlines()
    assert [line for line in lines if line.startswith("VERIFIED")] == lines[:1]
    assert "  ignored: .DS_Store, .gitattributes, README.md" in lines
    assert all(line.isprintable() for line in lines) and "\\x1b[31m" in lines[0] and "\\u202e" in lines[0]
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tiny.bundle.parent, tiny.bundle.name)
    said = json.loads(huref("verify", packed, "--json").out)
    assert validate(said, "verdict")["model_id"] == tiny.proved.verdict.model_id


def test_expectations_on_the_command_line(huref, tiny: Made) -> None:  # type: ignore[no-untyped-def]
    found = tiny.proved.verdict
    done = huref("verify", tiny.bundle, "--expect", found.fingerprint.upper(), "--require-image")
    assert done.code == ExitCode.VERIFIED and "WARNING: you named a fingerprint" in done.out
    done = huref(
        "verify",
        tiny.bundle,
        "--expect",
        found.fingerprint,
        "--root",
        "0x" + found.model_id.upper(),
        "--json",
    )
    assert validate(json.loads(done.out), "verdict")["warnings"] == []
    done = huref("verify", tiny.bundle, "--generator", "0" * 64)
    assert done.code == ExitCode.REJECTED and done.out.startswith("REJECTED\n")
    words = [line.split()[0] for line in done.out.splitlines()]
    assert words[2:] == ["check", "expected", "got"] and "image.generator" in done.out


def test_damage_and_addresses(huref, tiny: Made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    files = load(tiny.bundle)
    cut = _folder({**files, form.PROOF: files[form.PROOF][:-1]}, tmp_path / "cut")
    for command in ("verify", "inspect", "compare"):
        arguments = (cut, tiny.bundle) if command == "compare" else (cut,)
        done = huref(command, *arguments, "--json")
        assert done.code == ExitCode.MALFORMED, command
        said = validate(json.loads(done.out), "inspection" if command == "inspect" else "error")
        assert said["verified"] is False
    for address in ("http://127.0.0.1/a.zip", "ftp://127.0.0.1/a.zip", "https://"):
        for command in ("verify", "inspect"):
            done = huref(command, address, "--json")
            assert (
                done.code == ExitCode.USAGE and validate(json.loads(done.out), "error")["verified"] is False
            )
    assert huref("verify", "x" * 5000).code == ExitCode.IO


def test_compare_verifies_bundles_and_labels_the_rest(huref, tiny: Made, other: Made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = huref("compare", tiny.bundle, other.bundle, "--json")
    said = validate(json.loads(done.out), "comparison")
    assert done.code == 0 and said["verdict"] == "unrelated"
    assert [said[side]["proven"] for side in ("first", "second")] == [True, True]
    bare = _folder({form.FINGERPRINT: load(other.bundle)[form.FINGERPRINT]}, tmp_path / "bare")
    done = huref("compare", tiny.bundle, bare)
    assert done.code == 0 and "first   a bundle, verified" in done.out
    assert "second  a bare fingerprint.json, unproven" in done.out
    assert "WARNING" not in done.out, "unrelated vectors, read at the same tokens"
    forged = with_statement(load(other.bundle), lambda s: s["v"].__setitem__(0, s["v"][0] + 1))
    done = huref("compare", tiny.bundle, _folder(forged, tmp_path / "forged"))
    assert done.code in (ExitCode.REJECTED, ExitCode.MALFORMED) and "cosine" not in done.out


def test_compare_says_what_a_match_does_not_show(huref, tiny: Made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Both verify, and the vectors are equal: still anybody could have written the second model's integers down."""
    done = huref("compare", tiny.bundle, tiny.bundle)
    assert "same base" in done.out and f"WARNING: {MATCH}" in done.out
    content = json.loads(load(tiny.bundle)[form.FINGERPRINT])
    content["token_pieces"] = [piece + "00" for piece in content["token_pieces"]]
    bare = _folder({form.FINGERPRINT: json.dumps(content).encode()}, tmp_path / "bare")
    done = huref("compare", tiny.bundle, bare, "--json")
    said = validate(json.loads(done.out), "comparison")
    assert said["warnings"] == [OTHER_TOKENS.format(0)] and said["verdict"] is None and not said["evidence"]
    assert f"warning: {OTHER_TOKENS.format(0)}" in done.err
    assert huref("compare", tiny.bundle, bare, "--expect-same-base").code == ExitCode.USAGE


def test_words_of_a_bundle_and_of_its_bare_vector(huref, tiny: Made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Who copies the vector has neither the bundle's words nor their label."""
    bare = _folder({form.FINGERPRINT: load(tiny.bundle)[form.FINGERPRINT]}, tmp_path / "bare")
    said = validate(json.loads(huref("compare", tiny.bundle, bare, "--json").out), "comparison")
    assert (
        said["cosine"] == pytest.approx(1) and said["first"]["fingerprint"] == said["second"]["fingerprint"]
    )
    found = tiny.proved.verdict
    assert said["words"] == [found.words, word_fingerprint(found.fingerprint, None)]
    done = huref("compare", tiny.bundle, bare, "--show")
    one, two = said["words"]
    assert one != two and f"words                       {one}\n" in done.out
    assert (
        f"words of the vector alone   {two}\n" in done.out
        and f"words                       {two}" not in done.out
    )
    (under,) = [line for line in done.out.splitlines() if line.endswith("(words of the vector alone)")]
    assert under.startswith(" " * 40), "the bundle's words have no such line"


@pytest.mark.parametrize("evil", ["\x1b[2J\x1b[H", "a\nVERIFIED  x", "\u202e"], ids=ascii)
def test_names_in_a_bundle_do_not_reach_the_terminal_raw(
    huref, tiny: Made, tmp_path: Path, evil: str
) -> None:  # type: ignore[no-untyped-def]
    files = with_directory(load(tiny.bundle), lambda d: d["shape"].update({evil: evil, "family": evil}))
    folder = _folder(files, tmp_path / "evil")
    for command in ("verify", "inspect"):
        done = huref(command, folder)
        assert done.code == ExitCode.MALFORMED
        assert all(
            line.isprintable() and not line.startswith("VERIFIED")
            for line in (done.out + done.err).splitlines()
        )
