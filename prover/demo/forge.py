"""Forgeries of a bundle for the demo: a lie in it, and every hash repaired, so that only the proofs can object."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from huref.circuits.fingerprint.hardened.vector import picture_vector
from huref.circuits.inference_statement import InferenceStatement
from huref.common.errors import HurefError, ProverError, Rejected
from huref.common.files import bundle as form
from huref.common.files.atomic import write_file
from huref.common.files.bundle import FileEntry, Manifest, read_bundle
from huref.common.image.generator import render
from huref.common.image.png import png_bytes
from huref.verifier.verification import verify


def rejection(bundle: Path, copy: Path, forge: Callable[[Path], None]) -> str:
    """Forge a `copy` of a bundle and return the path of the check that refuses it.

    Raises:
        ProverError: it was accepted.
    """
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(bundle, copy)
    forge(copy)
    try:
        verify(copy)
    except Rejected as error:
        return error.path
    except HurefError as error:
        return type(error).__name__
    raise ProverError("a forged bundle was accepted", hint="this is a bug in huref; please report it")


def shift_vector(copy: Path) -> None:
    """Change an output and v everywhere, and draw the picture again."""
    fingerprint = json.loads((copy / form.FINGERPRINT).read_bytes())
    fingerprint["e"][0] += 1
    fingerprint["v"] = picture_vector(fingerprint["e"]).tolist()
    content = json.dumps(fingerprint, separators=(",", ":")).encode()
    write_file(copy / form.FINGERPRINT, content)
    write_file(copy / form.PICTURE, png_bytes(render(fingerprint["v"])))
    manifest = json.loads((copy / form.MANIFEST).read_bytes())
    manifest["statement"] |= {"e": fingerprint["e"], "v": fingerprint["v"]}
    manifest["statement"]["notes"]["fingerprint"] = hashlib.sha256(content).hexdigest()
    write_file(copy / form.MANIFEST, Manifest.model_validate(manifest).encode())
    _reseal(copy, form.FINGERPRINT)
    _reseal(copy, form.PICTURE)
    read_bundle(copy)


def replace_token(copy: Path, at: int, token: int) -> None:
    """Claim another token in the place of the one that was proven, in the first answer."""
    said = InferenceStatement.decode((copy / form.INFERENCE).read_bytes(), form.INFERENCE)
    first, *others = said.answers
    ids = [*first.ids[:at], token, *first.ids[at + 1 :]]
    changed = said.model_copy(update={"answers": [first.model_copy(update={"ids": ids}), *others]})
    write_file(copy / form.INFERENCE, changed.encode())
    _reseal(copy, form.INFERENCE)
    read_bundle(copy)


def _reseal(copy: Path, name: str) -> None:
    """Give the manifest the file's new size and hash."""
    manifest = Manifest.decode((copy / form.MANIFEST).read_bytes(), form.MANIFEST)
    files = {**manifest.files, name: FileEntry.of((copy / name).read_bytes())}
    write_file(copy / form.MANIFEST, manifest.model_copy(update={"files": files}).encode())
