"""Where the tokenizer of a committed model lies, so that texts can be proven without naming it.

private/tokenizer-place.json is private like the recipe: a path on the owner's machine. The digest tells another
tokenizer at this place from the one that the inference program was calibrated with.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from huref.common.errors import Malformed
from huref.common.files.atomic import write_file
from huref.common.files.canonical import parse_json
from huref.prover.commitment.weights_file import named

_FILE_NAME = "tokenizer-place.json"
_FORMAT = "huref-tokenizer-place/1"


@dataclass(frozen=True)
class TokenizerPlace:
    """A checkpoint or tokenizer, and the digest of its vocabulary in hex (docs/inference.md §8)."""

    path: Path
    digest: str

    def write(self, private: Path) -> None:
        """Write it durably, for the owner alone."""
        content = {"format": _FORMAT, "path": os.path.abspath(self.path), "digest": self.digest}
        write_file(private / _FILE_NAME, json.dumps(content).encode(), mode=0o600)

    @classmethod
    def read(cls, private: Path) -> TokenizerPlace | None:
        """The kept place; None where there is none. Raises `Malformed`, `InputOutputError`."""
        path = private / _FILE_NAME
        if not path.exists():
            return None
        with named(path):
            content = parse_json(path.read_bytes(), str(path))
        try:
            if content.pop("format") != _FORMAT:
                raise ValueError
            place, digest = content.pop("path"), content.pop("digest")
        except (AttributeError, KeyError, TypeError, ValueError):
            place = digest = None
        if not isinstance(place, str) or not isinstance(digest, str):
            raise Malformed(f"{path}: names no tokenizer")
        return cls(Path(place), digest)
