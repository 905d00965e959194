"""What a replay hears of one proof of a bundle: its sizes, messages, opened positions and ledger (protocol §5, §8)."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from huref.circuits.argument.proof import Setup
from huref.circuits.argument.security import SecurityReport
from huref.circuits.relations.setup import RelationSetup

_PREVIEW_BYTES = 16
_POSITIONS = re.compile(r"opening\.(weights|proof|level\d+)")


@dataclass(frozen=True)
class Message:
    """One transcript event: "absorb" (statement and prover's messages) or "challenge", with its size in bytes.

    `preview` is the hex of its first bytes, `at` the seconds since the verifier started.
    """

    kind: str
    label: str
    size: int
    preview: str
    at: float


@dataclass
class ProofView:
    """One proof, as far as its verifier came; `file` is its name in the bundle."""

    file: str
    geometry: dict[str, str] = field(default_factory=dict)
    security: SecurityReport | None = None
    messages: list[Message] = field(default_factory=list)
    positions: dict[str, list[int]] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)

    def record(self, kind: str, label: str, data: bytes) -> None:
        """Hear one transcript event."""
        preview = data[:_PREVIEW_BYTES].hex()
        self.messages.append(Message(kind, label, len(data), preview, time.perf_counter() - self.start))
        if kind == "challenge" and _POSITIONS.fullmatch(label):
            self.positions[label] = np.frombuffer(data, "<i8").tolist()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        terms = () if self.security is None else self.security.terms
        return {
            "file": self.file,
            "geometry": self.geometry,
            "security": [{**asdict(term), "bits": term.bits} for term in terms],
            "messages": [asdict(message) for message in self.messages],
            "positions": self.positions,
        }


def sizes(setup: Setup | RelationSetup) -> dict[str, str]:
    """The geometry of a proof, in words."""
    layout, geometry = setup.layout, setup.geometry
    shown = {
        "row width w": str(layout.w),
        "looked-up tuples and table entries": f"{layout.entries:,}",
        "one-time pads": f"{layout.pads.total:,}",
    }
    codes = {"weights": geometry.weights, "per-proof matrix": geometry.proof}
    codes |= {f"level {number}": level.code for number, level in enumerate(geometry.levels, 2)}
    for name, code in codes.items():
        shown[name] = (
            f"{code.rows:,} rows + {code.random:,} random, {code.width} columns, "
            f"{code.domain.n:,} code points, {code.queries} opened"
        )
    return shown
