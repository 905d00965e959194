"""A canonical digest of nested dataclasses, so that a transcript binds the program and the public inputs (§5)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """The fields of a dataclass."""
    return tuple(field.name for field in fields(kind))


def canonical(value: object) -> str:
    """The canonical JSON of `describe(value)`."""
    return json.dumps(describe(value), sort_keys=True)


def describe(value: Any) -> Any:
    """Dataclasses by class and fields, integer arrays by shape and the hash of their int64 bytes.

    Raises:
        TypeError: `value` holds something without a canonical form.
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        data = np.ascontiguousarray(value).astype("<i8").tobytes()
        return ["array", list(value.shape), hashlib.sha256(data).hexdigest()]
    if is_dataclass(value):
        return [
            type(value).__name__,
            {name: describe(getattr(value, name)) for name in _names(value.__class__)},
        ]
    if isinstance(value, Mapping):
        return {key: describe(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [describe(member) for member in value]
    raise TypeError(f"no canonical form of {type(value).__name__}")
