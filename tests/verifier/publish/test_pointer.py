"""A pointer to a bundle in a safetensors file: read by the format's own library, tensors the same to the byte."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from huref.common.errors import ExitCode, Malformed, Rejected
from huref.common.files.commitment_file import SourceFile
from huref.verifier.publish.pointer import MAX_HEADER, pointer, stamp
from huref.verifier.verdict import Verdict
from huref.verifier.verification import verify
from tests.conftest import Made
from tests.support.command import huref

WEIGHTS = "model.safetensors"


def naming(verdict: Verdict, file: Path) -> Verdict:
    """The verdict of a commitment that names this file alone."""
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    source = SourceFile(name=file.name, size=file.stat().st_size, sha256=sha256)
    return replace(verdict, commitment=verdict.commitment.model_copy(update={"sources": [source]}))


def test_a_stamped_file(tiny: Made, tmp_path: Path) -> None:
    source, out = tiny.checkpoint / WEIGHTS, tmp_path / "stamped.safetensors"
    ran = huref("stamp", tiny.bundle, source, "--out", out, "--published-as", "https://x.org/m.zip", "--json")
    assert ran.code == 0 and ran.json["metadata"]["huref_bundle"] == "https://x.org/m.zip"
    with safe_open(source, "numpy") as old, safe_open(out, "numpy") as new:
        assert new.metadata() == {**(old.metadata() or {}), **ran.json["metadata"]}
        assert sorted(old.keys()) == sorted(new.keys())
    ours, theirs = load_file(out), load_file(source)
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
    assert int.from_bytes(out.read_bytes()[:8], "little") % 8 == 0
    verdict = verify(tiny.bundle)
    assert ran.json["metadata"] == pointer(verdict, "https://x.org/m.zip")
    again = huref("stamp", tiny.bundle, source, "--out", out)
    assert again.code == ExitCode.USAGE and "exists already" in again.err


def test_only_a_file_that_the_commitment_names(tiny: Made, other: Made, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    for source in (other.checkpoint / WEIGHTS, tiny.checkpoint / "config.json"):
        ran = huref("stamp", tiny.bundle, source, "--out", out)
        assert ran.code == ExitCode.REJECTED and "no file that the owner committed to" in ran.err
    assert huref("stamp", tiny.bundle, tmp_path / "absent", "--out", out).code == ExitCode.IO
    assert not list(tmp_path.iterdir())
    with pytest.raises(Rejected, match="no file"):
        stamp(tiny.checkpoint / "config.json", out, verify(tiny.bundle), "x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x05\0\0\0\0\0\0\0{}",
        (MAX_HEADER + 1).to_bytes(8, "little") + b" " * 64,
        b"\2\0\0\0\0\0\0\0[]",
        b"\2\0\0\0\0\0\0\0{]",
        (25).to_bytes(8, "little") + json.dumps({"__metadata__": {"a": 1}}).encode().ljust(25),
        (20).to_bytes(8, "little") + json.dumps({"__metadata__": []}).encode().ljust(20),
    ],
    ids=["empty", "short", "huge", "list", "no JSON", "number", "metadata"],
)
def test_other_files_are_malformed(data: bytes, tiny: Made, tmp_path: Path) -> None:
    source, out = tmp_path / "x.safetensors", tmp_path / "out.safetensors"
    source.write_bytes(data)
    with pytest.raises(Malformed, match=re.escape(str(source))):
        stamp(source, out, naming(verify(tiny.bundle), source), "x")
    assert not out.exists()
