"""Changing one place of plain JSON, for tests of what each field of a record may hold."""

from __future__ import annotations

import copy
from typing import Any

Place = tuple[str | int, ...]


def changed(content: Any, place: Place, value: Any) -> Any:
    """A copy of `content` with `value` at `place`; a function is applied to what is there."""
    found = copy.deepcopy(content)
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value(inner[place[-1]]) if callable(value) else value
    return found


def case_name(case: tuple[Place, Any]) -> str:
    """A name of a place and what is put there, for `ids`: a function's repr is another in every process."""
    place, value = case
    return f"{'.'.join(map(str, place))}={'changed' if callable(value) else repr(value)}"[:60]


def renamed(content: Any, place: Place, name: str) -> Any:
    """A copy of `content` in which the first key of the object at `place` is `name`."""

    def rename(members: dict[str, Any]) -> dict[str, Any]:
        first, *_ = members
        return {name if key == first else key: value for key, value in members.items()}

    return changed(content, place, rename)
