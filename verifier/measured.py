"""What served models scored on such tokens, measured: numbers to read a proven answer's gaps by.

data/answer_gaps.json is written by `python -m benchmarks.inference_evidence` (docs/inference.md §9). It is about one
small model: how large gaps are depends on a model's own logits.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Scored:
    """A server's answers under the committed program: share of argmaxes; mean and largest gap in logits."""

    server: str
    tokens: int
    argmax: float
    mean: float
    largest: float


@dataclass(frozen=True)
class Measured:
    """All servers of one measurement. `source` is the command that made it."""

    model: str
    source: str
    servers: tuple[Scored, ...]

    @property
    def heading(self) -> str:
        """What stands above the lines."""
        return f"For comparison: measured on {self.model}, not on this model, and not proven"

    def lines(self) -> list[str]:
        """One sentence a server, and where they come from."""
        return [
            *(
                f"{one.server[0].upper()}{one.server[1:]}: {100 * one.argmax:.1f} % of {one.tokens} tokens argmaxes, "
                f"mean gap {one.mean:.2g}, largest {one.largest:.2g} logits."
                for one in self.servers
            ),
            f"Measured by {self.source}. Gaps depend on how large a model's logits are.",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "servers": [asdict(one) for one in self.servers]}


@cache
def measured() -> Measured:
    """The numbers that lie in the package."""
    file = resources.files("huref.verifier") / "data" / "answer_gaps.json"
    found = json.loads(file.read_text(encoding="utf-8"))
    return Measured(found["model"], found["source"], tuple(Scored(**one) for one in found["servers"]))
