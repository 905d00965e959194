"""Small JSON objects beside a checkpoint (config.json, the shard index)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huref.common.errors import InputOutputError, Malformed
from huref.prover.checkpoint.formats.magic import refuse_pointer

MAX_JSON = 64_000_000


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises `InputOutputError` (unreadable), `Malformed` (not an object)."""
    try:
        if path.stat().st_size > MAX_JSON:
            raise Malformed(f"{path}: too large for a configuration file")
        blob = path.read_bytes()
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    refuse_pointer(path, blob)
    try:
        value = json.loads(blob)
    except (ValueError, RecursionError):
        raise Malformed(f"{path}: not valid JSON") from None
    if not isinstance(value, dict):
        raise Malformed(f"{path}: expected a JSON object")
    return value
