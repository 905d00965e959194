"""A published vector, ready to be compared: from a bundle, which is verified first, or from a bare fingerprint.json."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huref.circuits.statement import fingerprint_name
from huref.common.files.address import is_address
from huref.common.files.bundle import is_bundle, read_bundle
from huref.common.files.fingerprint_file import (
    FILE_NAME,
    FingerprintFile,
    parse_fingerprint,
    read_fingerprint,
)
from huref.verifier.verdict import Verdict
from huref.verifier.verification import verify

Kind = Literal["bundle", "fingerprint"]


@dataclass(frozen=True)
class PublishedVector:
    """512 integers and how they were made (`file`), and whether anything shows that.

    `verdict` is that of the bundle; a bare fingerprint.json has none, and whoever wrote it could write anything.
    """

    kind: Kind
    file: FingerprintFile
    verdict: Verdict | None

    @property
    def label(self) -> str:
        """What it is, for people."""
        if self.verdict is None:
            return f"a bare {FILE_NAME}, unproven: anybody could have written it"
        return f"a bundle, verified: model id {self.verdict.model_id}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        name = fingerprint_name(self.file, self.file)
        model_id = None if self.verdict is None else self.verdict.model_id
        proven = self.verdict is not None
        said = {"kind": self.kind, "proven": proven, "fingerprint": name, "model_id": model_id}
        return {**said, "label": self.label}


def is_published(path: str | Path) -> bool:
    """Whether `load_vector` reads this: a bundle, or a fingerprint.json, alone or in a folder that is no checkpoint."""
    if is_bundle(path):
        return True
    if is_address(str(path)):
        return False
    place = Path(path)
    if os.path.isdir(place):
        return (place / FILE_NAME).is_file() and not (place / "config.json").exists()
    return place.suffix == ".json"


def load_vector(path: str | Path) -> PublishedVector:
    """Read a published vector; a bundle counts only once it verified.

    Raises:
        Rejected, Malformed, Unsupported: a bundle that does not verify, or no fingerprint file.
        InputOutputError: it cannot be read.
    """
    if not is_bundle(path):
        return PublishedVector("fingerprint", read_fingerprint(Path(path)), None)
    bundle = read_bundle(path)
    verdict = verify(bundle)
    return PublishedVector("bundle", parse_fingerprint(bundle.files[FILE_NAME], FILE_NAME), verdict)
