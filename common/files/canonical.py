"""Canonical JSON: one byte string per value, so that files can be hashed, signed and compared.

Keys are sorted, nothing is indented, text is ASCII, and a file ends after the value. Reading accepts exactly
what writing produces: repeated keys, other spellings of a number and trailing bytes are all errors. A file holds
no newline, so that no tool can translate one. Reading takes time linear in the input, and little of it.
"""

from __future__ import annotations

import json
import math
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed

MAX_NESTING = 32
"""Deepest nesting of JSON that is parsed; the deepest of our own files has 6 levels."""
MAX_VALUES = 1 << 17
"""Most values in one file, twice the token ids of the largest statement: 8 MiB could else make 4 million objects."""
MAX_DIGITS = 40
"""Most characters of a number: the interpreter's time for one is quadratic in them."""


_SEPARATOR = np.zeros(256, bool)
_SEPARATOR[list(b"[{,")] = True


def canonical_json(value: Any) -> bytes:
    """The canonical bytes of a JSON value. ValueError for NaN and infinities."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def parse_canonical(data: bytes, name: str) -> dict[str, Any]:
    """The object whose canonical bytes are `data`; `name` is what error messages call it.

    Raises:
        Malformed: not JSON, not an object, too large, or not in canonical form.
    """
    value = parse_json(data, name)
    if canonical_json(value) != data:
        raise Malformed(
            f"{name}: not in canonical form", hint="the file was edited or written by something else"
        )
    return value


def parse_json(data: bytes, name: str) -> dict[str, Any]:
    """The object in ASCII JSON `data`, in any spelling.

    Raises:
        Malformed: no object, repeated keys, too large, or a string that is no Unicode text.
    """
    if nesting(data) > MAX_NESTING:
        raise Malformed(f"{name}: nested too deeply")
    if _SEPARATOR[_outside_strings(data)].sum() > MAX_VALUES:
        raise Malformed(f"{name}: more than {MAX_VALUES} values")
    try:
        value = json.loads(
            data.decode("ascii"),
            parse_constant=_refuse,
            parse_int=lambda text: int(_short(text)),
            parse_float=_finite,
            object_pairs_hook=_once,
        )
        if b"\\u" in data:  # half of a surrogate pair is no text: libraries raise on it, each in its own way
            json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        raise Malformed(f"{name}: not a JSON object") from None
    if not isinstance(value, dict):
        raise Malformed(f"{name}: not a JSON object")
    return value


def nesting(data: bytes) -> int:
    """How deep the arrays and objects of JSON text go, without parsing it.

    The interpreter's own guard is its recursion limit, which other libraries raise beyond the C stack. A fixed
    number of passes over the bytes, whatever they are; exact as far as a parser gets before the first error.
    """
    folded = _outside_strings(data) | 0x20  # [ ] to { }
    steps = (folded == ord("{")).astype(np.int8) - (folded == ord("}"))
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))


def _outside_strings(data: bytes) -> NDArray[np.uint8]:
    """The bytes of JSON text that are not inside a string (of a string, its last quote stays)."""
    text = np.frombuffer(data.replace(rb"\\", b"").replace(rb"\"", b""), dtype=np.uint8)
    return text[~np.bitwise_xor.accumulate(text == ord('"'))]


def _short(number: str) -> str:
    if len(number) > MAX_DIGITS:
        raise ValueError(number[:MAX_DIGITS])
    return number


def _finite(number: str) -> float:
    value = float(_short(number))
    if not math.isfinite(value):
        raise ValueError(number)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are different: of repeated ones, readers take the first or the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("repeated keys")
    return found


def _refuse(constant: str) -> Never:
    raise ValueError(constant)
