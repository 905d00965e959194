"""What `huref compare` takes for a published vector, and what it says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from huref.common.errors import Malformed, Rejected, UsageError
from huref.common.files import bundle as form
from huref.common.text import parse_hex
from huref.verifier.compare import compare_fingerprints
from huref.verifier.published import is_published, load_vector
from huref.verifier.verification import expected_fingerprint
from tests import ROOT
from tests.support.forge import load, reseal

BUNDLE = ROOT / "tests" / "vectors" / "bundles" / "paper.huref"


def test_a_checkpoint_that_holds_a_fingerprint_stays_a_checkpoint(tmp_path: Path) -> None:
    assert is_published(BUNDLE) and is_published("https://example.org/a.zip")
    assert not is_published(tmp_path) and not is_published(tmp_path / "model.gguf")
    assert not is_published("hf://owner/model.json"), "a model hub has checkpoints, whatever they are called"
    assert is_published(tmp_path / "any.json"), (
        "a name is enough: that it is not there is said when it is read"
    )
    (tmp_path / form.FINGERPRINT).write_bytes(load(BUNDLE)[form.FINGERPRINT])
    assert is_published(tmp_path) and load_vector(tmp_path).kind == "fingerprint"
    (tmp_path / "config.json").write_bytes(b"{}")
    assert not is_published(tmp_path)
    for name in (form.MANIFEST, form.PROOF):
        (tmp_path / name).write_bytes(b"{}")
        assert is_published(tmp_path), "half a bundle is read as one, and refused"
        with pytest.raises(Malformed):
            load_vector(tmp_path)
        (tmp_path / name).unlink()


def test_a_forged_bundle_has_no_vector(tmp_path: Path) -> None:
    files = load(BUNDLE)
    proof = files[form.PROOF]
    forged = reseal({**files, form.PROOF: proof[:-1] + bytes([proof[-1] ^ 1])})
    for name, data in forged.items():
        (tmp_path / name).write_bytes(data)
    for read in (load_vector, expected_fingerprint):
        with pytest.raises(Rejected):
            read(tmp_path)


@pytest.mark.parametrize("field", ["profile", "k", "p"])
def test_vectors_of_other_kinds_are_not_compared(tmp_path: Path, field: str) -> None:
    (tmp_path / "f.json").write_bytes(load(BUNDLE)[form.FINGERPRINT])
    file = load_vector(tmp_path / "f.json").file
    other = {"profile": "hardened-2", "k": file.k * 2, "p": file.p // 2}[field]
    assert compare_fingerprints(file, file).similarity.cosine == pytest.approx(1)
    with pytest.raises(UsageError, match=f"differ in {field}"):
        compare_fingerprints(file, file.model_copy(update={field: other}))
    if field == "profile":
        with pytest.raises(UsageError, match="not what was asked for"):
            compare_fingerprints(file, file, other)


@pytest.mark.parametrize("digits", [64, 96])
def test_hex_has_its_length_and_no_sign(digits: int) -> None:
    assert parse_hex("0X" + "aB" * (digits // 2), digits) == "ab" * (digits // 2)
    for text in (
        "a" * (digits - 1),
        "a" * (digits + 1),
        "+" + "a" * digits,
        "0x 0x" + "a" * digits,
        "a" * digits + "\n.",
    ):
        assert parse_hex(text, digits) is None
