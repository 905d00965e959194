"""Forging bundles in memory: change something, then repair everything that a forger could repair."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.canonical import canonical_json
from huref.verifier.verdict import Verdict
from huref.verifier.verification import verify

Files = dict[str, bytes]
Json = dict[str, Any]


def load(bundle: Path) -> Files:
    """All files of a bundle."""
    return {path.name: path.read_bytes() for path in bundle.iterdir()}


def check(files: Files, **options: Any) -> Verdict:
    """Verify files in memory."""
    return verify(parse_bundle(Path("forged"), files), **options)


def manifest_of(files: Files) -> Json:
    """The manifest as plain JSON."""
    value: Json = json.loads(files[form.MANIFEST])
    return value


def with_manifest(files: Files, change: Callable[[Json], object]) -> Files:
    """Files with a changed, canonical manifest; nothing else is repaired."""
    manifest = manifest_of(files)
    change(manifest)
    return {**files, form.MANIFEST: canonical_json(manifest)}


def reseal(files: Files) -> Files:
    """Repair sizes, hashes and the statement's notes to fit the files."""

    def repair(manifest: Json) -> None:
        for name in form.LISTED:
            digest = hashlib.sha256(files[name]).hexdigest()
            manifest["files"][name] = {"size": len(files[name]), "sha256": digest}
        notes = manifest["statement"]["notes"]
        notes["commitment"] = manifest["files"][form.COMMITMENT]["sha256"]
        notes["fingerprint"] = manifest["files"][form.FINGERPRINT]["sha256"]

    return with_manifest(files, repair)


def with_statement(files: Files, change: Callable[[Json], object]) -> Files:
    """Change the statement and whatever repeats it in commitment.json and fingerprint.json, and reseal."""
    manifest = manifest_of(files)
    statement = manifest["statement"]
    change(statement)
    commitment = json.loads(files[form.COMMITMENT])
    fingerprint = json.loads(files[form.FINGERPRINT])
    for name in ("profile", "shape", "k", "p", "tokens", "security", "proofs", "random_rows", "root"):
        if name in statement:
            commitment[name] = statement[name]
    for name in ("profile", "encoder", "shape", "k", "p", "term_weights", "shifts", "calibration_sums", "v"):
        if name in statement:
            fingerprint[name] = statement[name]
    tokens = statement.get("tokens", {})
    if isinstance(tokens, dict):
        fingerprint["token_source"] = tokens.get("source")
        fingerprint["token_ids"] = tokens.get("ids")
        for name in ("tokenizer_digest", "frequency_digest"):
            fingerprint[name] = tokens.get(name)
    changed = {
        **files,
        form.MANIFEST: canonical_json(manifest),
        form.COMMITMENT: canonical_json(commitment),
        form.FINGERPRINT: json.dumps(fingerprint).encode(),
    }
    return reseal(changed) if isinstance(statement.get("notes"), dict) else changed
