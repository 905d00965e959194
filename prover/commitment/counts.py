"""What the private state counts: positions that may be opened, are, or were given up, and challenges answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from huref.common.errors import Malformed

_VERSION = 3
_NUMBERS = ("capacity", "forfeited", "elsewhere", "reserved", "proofs")
_KEYS = {"version", "opened", "answered", *_NUMBERS}


@dataclass
class Counts:
    """Distinct positions: `capacity` may be opened in all, `opened` are, `reserved` may be by the proof in progress,
    `forfeited` may have been seen, of them `elsewhere` in proofs of another copy. `proofs` counts the reservations ever
    made, `answered` holds the challenges (hex; empty for the public fingerprint) that proofs were begun for.
    """

    capacity: int
    forfeited: int = 0
    elsewhere: int = 0
    reserved: int = 0
    proofs: int = 0
    opened: set[int] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)

    @property
    def spent(self) -> int:
        """All that is not left."""
        return self.forfeited + self.reserved + len(self.opened)

    @property
    def remaining(self) -> int:
        """How many more may be opened."""
        return max(0, self.capacity - self.spent)

    def answers(self, queries: int) -> int:
        """How many challenges may have been answered, if every proof opens `queries` positions.

        Those that may have been opened elsewhere may have been for challenges that this state does not know.
        """
        return len(self.answered) + -(-self.elsewhere // queries)

    def forfeit_to(self, spent: int) -> None:
        """Declare at least `spent` positions spent (at most all of them), and the open reservation with them."""
        self.forfeited, self.reserved = self.forfeited + self.reserved, 0
        more = max(0, min(spent, self.capacity) - self.spent)
        self.forfeited, self.elsewhere = self.forfeited + more, self.elsewhere + more

    def to_dict(self) -> dict[str, Any]:
        """As it is stored."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        sets = {"opened": sorted(self.opened), "answered": sorted(self.answered)}
        return {"version": _VERSION, **sets, **numbers}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Counts:
        """Raises `Malformed`."""
        if set(content) != _KEYS or content["version"] != _VERSION:
            raise Malformed("private state has other fields or another version")
        opened, answered = content["opened"], content["answered"]
        numbers = {name: content[name] for name in _NUMBERS}
        if not isinstance(opened, list) or any(
            type(x) is not int or x < 0 for x in (*numbers.values(), *opened)
        ):
            raise Malformed("private state counts must be non-negative integers")
        if not isinstance(answered, list) or not all(type(x) is str for x in answered):
            raise Malformed("private state: answered challenges must be strings")
        return cls(**numbers, opened=set(opened), answered=set(answered))
