"""Canonical JSON: one byte string per value, so that files can be hashed, signed and compared.

Keys are sorted, nothing is indented, text is ASCII, and a file ends after the value. Reading accepts exactly
what writing produces: repeated keys, other spellings of a number and trailing bytes are all errors.
"""

from __future__ import annotations

import json
import re
from typing import Any, Never

from huref.common.errors import Malformed

MAX_NESTING = 32
"""Deepest nesting of JSON that is parsed; the deepest of our own files has 6 levels."""


def canonical_json(value: Any) -> bytes:
    """The canonical bytes of a JSON value. ValueError for NaN and infinities."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def parse_canonical(data: bytes, name: str) -> dict[str, Any]:
    """The object whose canonical bytes are `data`; `name` is what error messages call it.

    Raises:
        Malformed: not JSON, not an object, or not in canonical form.
    """
    if nesting(data) > MAX_NESTING:
        raise Malformed(f"{name}: nested too deeply")
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


def nesting(data: bytes) -> int:
    """How deep the arrays and objects of JSON text go, without parsing it.

    The interpreter's own guard is its recursion limit, which other libraries raise beyond the C stack.
    """
    brackets = re.sub(rb'"(?:[^"\\]|\\.)*"|[^\[\]{}"]', b"", data)
    depth = deepest = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _refuse(constant: str) -> Never:
    raise ValueError(constant)
