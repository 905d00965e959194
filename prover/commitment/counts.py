"""What the private state counts: the positions that a commitment may open, has opened and has given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from huref.common.errors import Malformed

_VERSION = 2
_NUMBERS = ("capacity", "forfeited", "reserved", "proofs")
_KEYS = {"version", "opened", *_NUMBERS}


@dataclass
class Counts:
    """Distinct positions: `capacity` may be opened in all, `opened` are, `reserved` may be by the proof in progress,
    `forfeited` may have been seen. `proofs` counts the reservations ever made.
    """

    capacity: int
    forfeited: int = 0
    reserved: int = 0
    proofs: int = 0
    opened: set[int] = field(default_factory=set)

    @property
    def spent(self) -> int:
        """All that is not left."""
        return self.forfeited + self.reserved + len(self.opened)

    @property
    def remaining(self) -> int:
        """How many more may be opened."""
        return max(0, self.capacity - self.spent)

    def forfeit_to(self, spent: int) -> None:
        """Declare at least `spent` positions spent (at most all of them), and the open reservation with them."""
        self.forfeited, self.reserved = self.forfeited + self.reserved, 0
        self.forfeited += max(0, min(spent, self.capacity) - self.spent)

    def to_dict(self) -> dict[str, Any]:
        """As it is stored."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return {"version": _VERSION, "opened": sorted(self.opened), **numbers}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Counts:
        """Raises `Malformed`."""
        if set(content) != _KEYS or content["version"] != _VERSION:
            raise Malformed("private state has other fields or another version")
        opened = content["opened"]
        numbers = {name: content[name] for name in _NUMBERS}
        if not isinstance(opened, list) or any(
            type(x) is not int or x < 0 for x in (*numbers.values(), *opened)
        ):
            raise Malformed("private state counts must be non-negative integers")
        return cls(**numbers, opened=set(opened))
