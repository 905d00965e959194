"""Nothing that a file says can move a terminal's cursor, start a line, or turn the reading direction."""

from __future__ import annotations

import ast
import io
import json
import sys
import unicodedata
from collections.abc import Callable

import pytest

from huref.common import output
from huref.common.errors import Damaged, HurefError, Malformed, Rejected
from huref.common.rejection import WORD, meaning
from huref.common.text import MAX_LINE, counted, escape, quoted
from tests import ROOT

HOSTILE = (
    "\x1b[2J\x1b[1;1HVERIFIED", "a\nProven:\n  - everything", "a\rVERIFIED", "\u202egnp.exe", "\u2066x\u2069",
    "\u200b\u200f", "\x9b31m", "\x00", "\x7f", "\u2028line", "\ud800",
    "\ue000", "\u061c", "\U000e0041", "\x85", "\ufeff", "\u00ad",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_escape_leaves_one_printable_line(text: str) -> None:
    shown = escape(text)
    assert shown.isprintable() and shown != text
    assert shown.encode().decode("unicode_escape") == text, "and says what was there"


def test_every_control_and_format_character_is_escaped() -> None:
    for code in range(sys.maxunicode + 1):
        letter = chr(code)
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            assert escape(letter).isascii() and escape(letter) != letter, hex(code)
    assert escape("plain — ünï 模型 ✓") == "plain — ünï 模型 ✓"


@pytest.mark.parametrize("letter", "\u034f\u115f\u17b5\u180b\u2800\u3164\ufe0f\uffa0\U000e0100", ids=ascii)
def test_letters_that_show_nothing_are_escaped(letter: str) -> None:
    assert letter.isprintable() and escape(f"a{letter}b") == f"a{ascii(letter)[1:-1]}b"


def test_a_quoted_name_stays_inside_its_quotes() -> None:
    assert quoted("model-00001.safetensors") == "model-00001.safetensors"
    assert quoted("模型 x") == '"模型 x"'
    assert quoted('w", 1 bytes. Proven: all') == '"w\\", 1 bytes. Proven: all"'
    assert quoted('w\\", 1') == '"w\\\\\\", 1"', "a backslash does not free a quote"
    padded = quoted("x" + 60 * " " + "VERIFIED")
    assert "  " not in padded and "x \\x20\\x20" in padded, "no room is left to reach the terminal's next row"
    assert quoted("\u05d0\u0627\u0661") == '"\\u05d0\\u0627\\u0661"', (
        "digits after it would be shown before it"
    )
    assert len(quoted("x" * 255)) < 90


def test_long_lines_are_cut() -> None:
    assert len(escape("x" * 10**6)) < MAX_LINE + 50 and "more characters" in escape("x" * 10**6)
    assert escape("x" * MAX_LINE) == "x" * MAX_LINE


@pytest.mark.parametrize("write", [output.result, output.note])
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_results_and_notes_escape_everything_but_their_own_newline(
    write: Callable[[str], None], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(f"name {text}")
    shown = "".join(capsys.readouterr())
    assert shown.endswith("\n") and shown[:-1].isprintable()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_json_is_printable_ascii(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.result_json({text: [text]})
    shown = capsys.readouterr().out
    assert shown[:-1].isprintable() and shown.isascii() and json.loads(shown) == {text: [text]}


def test_a_narrow_encoding_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    output.result("模型 – ok")
    sys.stdout.flush()
    assert raw.getvalue() == b"\\u6a21\\u578b \\u2013 ok\n"


def _fails(error: HurefError, as_json: bool) -> None:
    with pytest.raises(SystemExit) as caught, output.exit_on_error(as_json=as_json):
        raise error
    assert caught.value.code == error.exit_code


def test_a_rejection_says_rejected_then_what_it_means_then_the_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = Rejected("files.proof.bin.sha256", "another hash", expected="a\nb", got="\x1b[31m")
    _fails(error, as_json=False)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == WORD == "REJECTED" and lines[1].strip() == meaning(error.path)
    assert [line.split()[0] for line in lines[2:]] == ["check", "expected", "got"]
    assert "a\\nb" in lines[3] and "\\x1b[31m" in lines[4] and err.startswith("error: files.proof.bin.sha256")
    _fails(error, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["verified"], said["path"], said["expected"]) == (False, error.path, "a\nb")
    assert said["meaning"] == meaning(error.path) and said["schema"] == "huref-error/1"


@pytest.mark.parametrize("error", [Malformed("bad\nfile"), Damaged("half a file", hint="download it again")])
def test_a_malformed_file_is_not_verified_either(
    error: HurefError, capsys: pytest.CaptureFixture[str]
) -> None:
    _fails(error, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["verified"] is False and said["error"] == type(error).__name__ and said["path"] is None
    _fails(error, as_json=False)
    out, err = capsys.readouterr()
    assert out == "" and len([line for line in err.splitlines() if line.startswith("error: ")]) == 1


def test_every_kind_of_check_has_plain_words() -> None:
    words = {
        meaning(path) for path in ("files.a.size", "statement.k", "expect.root", "directory.width", "image")
    }
    words |= {
        meaning(path) for path in ("fingerprint.v", "security", "signature", "audit.root", "opening.final")
    }
    words |= {meaning(path) for path in ("range.security", "sources.a", "envelope.payload", "registry.root")}
    assert len(words) == 14 and all(text.endswith(".") for text in words)


def test_no_check_beside_the_proof_is_said_to_be_one_of_the_proof() -> None:
    """Every path that is written out in the source has words of its own; the proof's begin with a name from there."""
    paths = set()
    for folder in ("common", "circuits", "verifier", "prover"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Rejected", "_require"):
                    first = (
                        node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
                    )
                    paths |= {str(first.value).split(".")[0]} if isinstance(first, ast.Constant) else set()
    proof = meaning("opening.final")
    assert {"files", "directory", "registry", "sources", "envelope", "range"} <= paths
    assert [path for path in sorted(paths) if meaning(path) == proof] == []


def test_one_is_no_plural() -> None:
    assert [counted(n, "entry", "entries") for n in (0, 1, 2)] == ["0 entries", "1 entry", "2 entries"]
