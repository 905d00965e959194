"""An in-toto Statement (version 1) about a bundle that verified: which files, which model id, which fingerprint.

It is a function of the bundle alone, so whoever has the bundle can make it again and compare.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huref.common.errors import InputOutputError, Rejected, UsageError
from huref.common.files.canonical import canonical_json
from huref.common.files.commitment_file import SourceFile
from huref.verifier.verdict import Verdict

TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "huref:fingerprint/1"
MODEL_ID = "hurefModelId"
"""Name of the digest that a model id is: it is no hash of one file."""


def statement(verdict: Verdict) -> bytes:
    """The statement's canonical JSON."""
    sources = verdict.commitment.sources
    names = [file.name for file in sources]
    if len(set(names)) < len(names):
        raise UsageError("two source files have one name, which a statement cannot tell apart")
    subjects: list[dict[str, Any]] = [
        {"name": file.name, "digest": {"sha256": file.sha256}} for file in sources
    ]
    subjects.append({"name": f"model id {verdict.model_id}", "digest": {MODEL_ID: verdict.model_id}})
    said = verdict.directory
    predicate = {
        "bundleDigest": {"sha256": verdict.digest},
        "modelId": verdict.model_id,
        "root": verdict.commitment.root,
        "fingerprint": verdict.fingerprint,
        "words": verdict.words,
        "profile": said.profile,
        "challenge": verdict.challenge,
        "securityBits": int(verdict.security.bits),
        "owner": verdict.signer,
        "saidByOwner": {"subjects": names, "tokenSource": said.tokens.source},
    }
    return canonical_json(
        {"_type": TYPE, "subject": subjects, "predicateType": PREDICATE, "predicate": predicate}
    )


def check_files(folder: Path, sources: Sequence[SourceFile]) -> None:
    """Hash the source files that lie in `folder` (or are it) and compare.

    Raises:
        Rejected: another content. InputOutputError: a file is not there.
    """
    place = folder if folder.is_dir() else folder.parent
    for source in sources:
        try:
            with (place / source.name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputOutputError(f"{place / source.name}: {error.strerror or error}") from None
        if found != source.sha256:
            raise Rejected(
                f"sources.{source.name}",
                "another file than the owner committed to",
                expected=source.sha256,
                got=found,
            )
