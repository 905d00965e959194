"""Canonical JSON: one byte string per value, so that files can be hashed, signed and compared.

Keys are sorted, nothing is indented, text is ASCII, and a file ends after the value. Reading accepts exactly
what writing produces: repeated keys, other spellings of a number and trailing bytes are all errors.
"""

from __future__ import annotations

import json
from typing import Any, Never

from common.errors import Malformed


def canonical_json(value: Any) -> bytes:
    """The canonical bytes of a JSON value. ValueError for NaN and infinities."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def parse_canonical(data: bytes, name: str) -> dict[str, Any]:
    """The object whose canonical bytes are `data`; `name` is what error messages call it.

    Raises:
        Malformed: not JSON, not an object, or not in canonical form.
    """
    try:
        value = json.loads(data.decode("ascii"), parse_constant=_refuse)
        canonical = canonical_json(value)
    except (ValueError, RecursionError):
        raise Malformed(f"{name}: not a JSON object") from None
    if not isinstance(value, dict):
        raise Malformed(f"{name}: not a JSON object")
    if canonical != data:
        raise Malformed(
            f"{name}: not in canonical form", hint="the file was edited or written by something else"
        )
    return value


def _refuse(constant: str) -> Never:
    raise ValueError(constant)
