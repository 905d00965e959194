"""The files of a remote folder, and the folder here that stands for it."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from huref.prover.checkpoint.remote.client import RemoteFile

STORE = ".ranges"
"""Folder inside the standing one: what came of weights files, and the listing."""
_LISTING = "listing.json"


@dataclass(frozen=True)
class Listing:
    """`folder` (here) stands for a remote folder with these files; `chosen` is the addressed one, if one was."""

    folder: Path
    files: list[RemoteFile]
    chosen: str | None

    @property
    def store(self) -> Path:
        """Where bytes of weights files are kept."""
        return self.folder / STORE

    def keep(self) -> None:
        """Write it down, for a time without a network."""
        self.store.mkdir(parents=True, exist_ok=True)
        lines = [
            {"name": f.name, "url": f.url, "size": f.size, "sha256": f.sha256, "git_sha1": f.git_sha1}
            for f in self.files
        ]
        temporary = self.store / f"{_LISTING}.{secrets.token_hex(8)}.tmp"
        temporary.write_text(json.dumps(lines), encoding="ascii")
        os.replace(temporary, self.store / _LISTING)

    @classmethod
    def recall(cls, folder: Path, chosen: str | None) -> Listing | None:
        """What `keep` wrote; None if there is nothing, or not the chosen file."""
        try:
            lines = json.loads((folder / STORE / _LISTING).read_text(encoding="ascii"))
            files = [RemoteFile(**line) for line in lines]
        except (OSError, ValueError, TypeError):
            return None
        if chosen is not None and chosen not in {file.name for file in files}:
            return None
        return cls(folder, files, chosen)
