"""Model cards, pictures for links, and verdicts in notebooks."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from huref.common.errors import ExitCode
from huref.common.files.bundle import PICTURE
from huref.verifier.notebook import verdict_html
from huref.verifier.verdict import NO_MODEL
from huref.verifier.verification import verify
from tests.conftest import Made
from tests.support.command import huref


def head(text: str) -> dict[str, object]:
    """The YAML between the first two lines of dashes."""
    return dict(yaml.safe_load(text.split("---\n")[1]))


def test_a_card_says_what_is_shown_and_what_not(tiny: Made, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    assert huref("card", tiny.bundle, "--published-as", "https://x.org/m.huref.zip", "--out", card).code == 0
    text, verdict = card.read_text(), verify(tiny.bundle)
    facts = head(text)
    assert set(facts) == {"huref"}
    assert facts["huref"] == {
        "model_id": verdict.model_id, "fingerprint": verdict.fingerprint, "words": verdict.words,
        "bundle_digest": verdict.digest, "security_bits": int(verdict.security.bits),
    }  # fmt: skip
    assert f"huref verify https://x.org/m.huref.zip --root {verdict.model_id}" in text
    assert NO_MODEL in text and f"![{verdict.words}](https://x.org/m.huref.zip/{PICTURE})" in text
    assert huref("card", tiny.bundle).out.splitlines()[-1].startswith("Not proven.")


def test_the_command_on_a_card_works(tiny: Made) -> None:
    text = huref("card", tiny.bundle, "--published-as", tiny.bundle).out
    (command,) = re.findall("^huref verify (.*)$", text, re.M)
    assert huref("verify", *command.split()).code == 0


def test_a_base_model_is_named_with_evidence_only(tiny: Made, other: Made) -> None:
    own = ("--base-model", "owner/base", "--base")
    text = huref("card", tiny.bundle, *own, tiny.bundle, "--relation", "quantized").out
    facts = head(text)
    assert (facts["base_model"], facts["base_model_relation"]) == ("owner/base", "quantized")
    assert (
        facts["huref"]["base_model_cosine"] == 1.0 and facts["huref"]["base_model_fingerprint_proven"] is True
    )  # type: ignore[index]
    bare = huref("card", tiny.bundle, *own, tiny.bundle / "fingerprint.json").out
    assert head(bare)["huref"]["base_model_fingerprint_proven"] is False  # type: ignore[index]
    assert "a bare fingerprint, unproven" in bare
    stranger = huref("card", tiny.bundle, *own, other.bundle / "fingerprint.json")
    assert stranger.code == ExitCode.USAGE and "do not show owner/base as the base" in stranger.err
    assert huref("card", tiny.bundle, "--base-model", "a: b\nc", "--base", tiny.bundle).code == ExitCode.USAGE
    assert huref("card", tiny.bundle, "--base-model", "a/b").code == ExitCode.USAGE
    assert huref("card", tiny.bundle, *own, tiny.bundle, "--relation", "copy").code == ExitCode.USAGE


def test_a_picture_for_links(tiny: Made, tmp_path: Path) -> None:
    file = tmp_path / "share.png"
    assert huref("card", tiny.bundle, "--image", file, "--title", "A long title " * 9).code == 0
    drawn = np.asarray(Image.open(file))
    assert drawn.shape == (630, 1200, 3)
    own = Image.open(tiny.bundle / PICTURE).resize((534, 534), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(drawn[48:582, 48:582], np.asarray(own))
    assert (drawn[:, -40:] == 255).all() and (drawn[48:120, 640:1150] == 0).any()


def test_a_bundle_that_is_rejected_gets_no_card(tiny: Made, tmp_path: Path) -> None:
    bad = tmp_path / "bad.huref"
    bad.mkdir()
    for file in tiny.bundle.iterdir():
        (bad / file.name).write_bytes(file.read_bytes())
    (bad / "proof.bin").write_bytes((bad / "proof.bin").read_bytes()[::-1])
    ran = huref("card", bad, "--out", tmp_path / "c.md", "--image", tmp_path / "c.png")
    assert ran.code == ExitCode.REJECTED and not list(tmp_path.glob("c.*"))


def test_a_verdict_in_a_notebook(tiny: Made) -> None:
    verdict = verify(tiny.bundle)
    png = verdict._repr_png_()
    assert png == (tiny.bundle / PICTURE).read_bytes()
    assert Image.open(io.BytesIO(png)).size == (512, 512)
    shown = verdict._repr_html_()
    assert base64.b64encode(png).decode() in shown and "<script" not in shown
    for heading, lines in verdict.sections():
        assert heading in shown and all(html.escape(line) in shown for line in lines)


@pytest.mark.parametrize("text", ["<img src=x>", "\u202ea", '"onload="'])
def test_a_notebook_shows_text_as_text(text: str) -> None:
    shown = verdict_html(text, None, [(text, [text])])
    assert text not in shown.replace('style="color', "") and "<img" not in shown
