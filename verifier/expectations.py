"""What a caller expects of a bundle, read from how people write it: hex in any case, or a file that holds it."""

from __future__ import annotations

import os
from pathlib import Path

from huref.common.errors import UsageError
from huref.common.files import commitment_file
from huref.common.files.capped import read_capped
from huref.common.files.commitment_file import CommitmentFile
from huref.common.text import parse_hex, shorten


def parse_root(text: str) -> str:
    """The model id that `--root` names: 64 hex digits, a commitment.json, or the folder of a commitment.

    Raises:
        UsageError: neither hex nor a file that is there.
        Malformed: the file is not a commitment.json. InputOutputError: it cannot be read.
    """
    found = parse_hex(text, 64)
    if found is not None:
        return found
    path = Path(text)
    if os.path.isdir(path):
        path /= commitment_file.FILE_NAME
    if not os.path.lexists(path):
        raise UsageError(
            f"root: {shorten(text)} is neither 64 hex digits nor a {commitment_file.FILE_NAME}",
            hint="take the commitment from where its owner published it, not from the bundle",
        )
    data = read_capped(path, commitment_file.MAX_BYTES)
    return CommitmentFile.decode(data, str(path)).model_id


def parse_digest(text: str, name: str) -> str:
    """64 hex digits that the option `name` gives. Raises `UsageError`."""
    found = parse_hex(text, 64)
    if found is None:
        raise UsageError(f"{name}: expected 64 hex digits, got {shorten(text)}")
    return found
