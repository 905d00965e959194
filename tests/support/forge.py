"""Forging bundles in memory: change something, then repair everything that a forger could repair."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from huref.circuits.argument.placed import place_weights
from huref.circuits.argument.proof import weights_geometry
from huref.circuits.commitment import compile_fingerprint, pinned_profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.common.errors import HurefError
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.canonical import canonical_json
from huref.common.files.commitment_file import ID_TAG, TokenChoice
from huref.common.params import Knobs
from huref.verifier.verdict import Verdict
from huref.verifier.verification import verify

Files = dict[str, bytes]
Json = dict[str, Any]
_REPEATED = ("challenge", "shifts", "calibration_sums", "caps", "ratios", "e", "v")


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
    """Repair the model id, sizes, hashes and the statement's notes."""
    files = {**files, form.COMMITMENT: _rename(files[form.COMMITMENT])}

    def repair(manifest: Json) -> None:
        manifest["statement"]["model_id"] = json.loads(files[form.COMMITMENT])["model_id"]
        for name in [*form.LISTED, *(set(form.OPTIONAL) & set(files))]:
            digest = hashlib.sha256(files[name]).hexdigest()
            manifest["files"][name] = {"size": len(files[name]), "sha256": digest}
        for name in set(form.OPTIONAL) - set(files):
            manifest["files"].pop(name, None)
        notes = manifest["statement"]["notes"]
        notes["commitment"] = manifest["files"][form.COMMITMENT]["sha256"]
        notes["fingerprint"] = manifest["files"][form.FINGERPRINT]["sha256"]

    return with_manifest(files, repair)


def with_statement(files: Files, change: Callable[[Json], object]) -> Files:
    """Change the statement and whatever repeats it in fingerprint.json, and reseal."""
    changed = with_manifest(files, lambda manifest: change(manifest["statement"]))
    return reseal({**changed, form.FINGERPRINT: _repeat(changed)})


def with_directory(files: Files, change: Callable[[Json], object]) -> Files:
    """Change the commitment's directory, then all that follows from it, if it still describes a program; reseal."""
    commitment = json.loads(files[form.COMMITMENT])
    directory = commitment["directory"]
    before = copy.deepcopy(directory)
    change(directory)
    if directory["tensors"] == before["tensors"]:
        _derive(directory, sizes=directory["shape"] != before["shape"])
    changed = {**files, form.COMMITMENT: canonical_json(commitment)}
    return reseal({**changed, form.FINGERPRINT: _repeat(changed)})


def _derive(directory: Json, *, sizes: bool) -> None:
    """Write the tensors that follow from the other fields, where any do, and the commitment's `sizes` if asked to."""
    with suppress(HurefError, KeyError, TypeError):
        shape = ModelShape.from_dict(directory["shape"])
        weights, profile = tuple(directory["term_weights"]), pinned_profile(directory["profile"])
        tokens = TokenChoice.read(directory["tokens"], "tokens")
        program = compile_fingerprint(shape, profile, directory["k"], directory["p"], tokens, weights)
        knobs = Knobs(security=directory["security"], proofs=directory["proofs"])
        geometry = weights_geometry(program.committed, knobs)
        placed, _ = place_weights(program.committed, geometry.w)
        directory["tensors"] = [
            {"name": w.name, "rows": w.rows, "cols": w.cols, "bits": w.bits, "start": placed[w.name].start}
            for w in program.committed
        ]
        if sizes:
            directory |= {"random_rows": geometry.code.random, "width": geometry.w}


def _repeat(files: Files) -> bytes:
    """fingerprint.json with everything that it repeats."""
    fingerprint = json.loads(files[form.FINGERPRINT])
    directory, statement = json.loads(files[form.COMMITMENT])["directory"], manifest_of(files)["statement"]
    fingerprint |= {n: directory[n] for n in ("profile", "shape", "k", "p", "term_weights") if n in directory}
    fingerprint |= {n: statement[n] for n in _REPEATED if n in statement}
    tokens = directory.get("tokens", {})
    if isinstance(tokens, dict):
        fingerprint |= {"token_source": tokens.get("source"), "token_ids": tokens.get("ids")}
        fingerprint |= {"token_pieces": tokens.get("pieces")}
        fingerprint |= {name: tokens.get(name) for name in ("tokenizer_digest", "frequency_digest")}
    return json.dumps(fingerprint).encode()


def _rename(data: bytes) -> bytes:
    """commitment.json with the model id of its directory and root."""
    commitment = json.loads(data)
    content = ID_TAG.ljust(32, b"\0") + canonical_json(commitment["directory"])
    with suppress(ValueError):
        content += bytes.fromhex(commitment["root"])
    commitment["model_id"] = hashlib.sha256(content).hexdigest()
    return canonical_json(commitment)
