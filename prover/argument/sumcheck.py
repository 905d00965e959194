"""The prover's side of the sumcheck rounds of `huref.verifier.argument.sumcheck` (protocol §6.1)."""

from __future__ import annotations

from typing import Protocol

from huref.common.algebra.kscalar import KS
from huref.prover.argument.channel import ProverChannel


class RoundOracle(Protocol):
    """A sum that is bound one variable at a time."""

    def message(self) -> tuple[KS, ...]:
        """The round message for the next variable."""
        ...

    def bind(self, value: KS) -> None:
        """Fix the next variable."""
        ...


def prove_rounds(channel: ProverChannel, label: str, oracle: RoundOracle, rounds: int) -> list[KS]:
    """Send `rounds` hidden round messages; returns the challenges in binding order."""
    point = []
    for _ in range(rounds):
        channel.hidden(f"{label}.round", oracle.message())
        x = channel.challenge(f"{label}.challenge")
        oracle.bind(x)
        point.append(x)
    return point
