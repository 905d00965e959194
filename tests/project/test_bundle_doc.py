"""docs/bundle.md against the code: the files of a bundle with their caps, and the formats that they name."""

from __future__ import annotations

import re

from huref.common.files import bundle as form
from huref.common.files.bundle import Manifest
from huref.common.files.commitment_file import MAX_BYTES as COMMITMENT_CAP
from huref.common.files.fingerprint_file import MAX_BYTES as FINGERPRINT_CAP
from huref.common.files.identity import AuditSignatures, OwnerSignature
from huref.common.text import IDENTIFIER
from tests import ROOT

DOC = (ROOT / "docs" / "bundle.md").read_text(encoding="utf-8")
UNITS = {"KiB": 10, "MiB": 20}
RECORDS = {form.MANIFEST: Manifest, form.SIGNATURE: OwnerSignature, form.COSIGNATURES: AuditSignatures}


def _files() -> dict[str, tuple[str, str]]:
    """Content and cap of each file of the table."""
    rows = re.findall(r"^\| `([\w.]+)` \| (.+) \| (\d+ [KM]iB) \|$", DOC, re.M)
    return {name: (content, cap) for name, content, cap in rows}


def test_files_and_caps() -> None:
    caps = {name: int(cap.split()[0]) << UNITS[cap.split()[1]] for name, (_, cap) in _files().items()}
    assert caps == form.CAPS
    assert (form.CAPS[form.COMMITMENT], form.CAPS[form.FINGERPRINT]) == (COMMITMENT_CAP, FINGERPRINT_CAP)


def test_formats() -> None:
    """The literals of the document are those that the records accept, and no file has another."""
    said = {name: re.findall("`(huref-[a-z]+/[0-9]+)`", content) for name, (content, _) in _files().items()}
    accepted = {name: [record.model_fields["format"].default] for name, record in RECORDS.items()}
    assert {name: literals for name, literals in said.items() if literals} == accepted


def test_names() -> None:
    (pattern,) = re.findall(r"Names in them are identifiers\s+\(`(.+?)`\)", DOC)
    assert f"^{pattern}$" == IDENTIFIER
