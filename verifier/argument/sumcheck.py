"""Sumcheck rounds on affine forms (protocol §6.1).

Each function reads the rounds of one sumcheck and returns its point (in binding order) and the final claim.
Round messages leave out what the running claim determines. Claims stay linear in the messages, so they are
assembled once, at the end, from the last round back.
"""

from __future__ import annotations

from collections.abc import Sequence

from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form, combine
from huref.common.errors import Rejected
from huref.verifier.argument.channel import VerifierChannel

Step = tuple[KS, list[tuple[KS, Form]]]
"""(factor of the previous claim, [(factor, message)]): one round's effect on the claim."""


def verify_eq_rounds(
    channel: VerifierChannel, label: str, claim: Form, eq_point: Sequence[KS]
) -> tuple[list[KS], Form]:
    """Σ_x eq(eq_point, x)·g(x) = claim with g quadratic in each variable; the final claim is on g(point).

    The running claim excludes the eq factors already bound. A round sends g's partial sums t(0) and t(∞); with
    ρ the round's coordinate, claim = (1 − ρ)·t(0) + ρ·t(1), and the next claim is t at the challenge.
    """
    point: list[KS] = []
    steps: list[Step] = []
    for rho in eq_point:
        t0, t_inf = channel.hidden(f"{label}.round", 2)
        x = channel.challenge(f"{label}.challenge")
        if not rho:
            raise Rejected(f"{label}.challenge", "degenerate challenge")  # probability 2^-154
        carry = x / rho
        steps.append((carry, [(1 - x - carry * (1 - rho), t0), (x * (x - 1), t_inf)]))
        point.append(x)
    return point, _chain(claim, steps)


def verify_product_rounds(
    channel: VerifierChannel, label: str, claim: Form, rounds: int
) -> tuple[list[KS], Form]:
    """Σ_x l(x)·r(x) = claim for multilinear l, r; a round sends p(0) and the quadratic coefficient p(∞)."""
    point: list[KS] = []
    steps: list[Step] = []
    for _ in range(rounds):
        p0, p_inf = channel.hidden(f"{label}.round", 2)
        x = channel.challenge(f"{label}.challenge")
        steps.append((x, [(1 - x - x, p0), (x * (x - 1), p_inf)]))
        point.append(x)
    return point, _chain(claim, steps)


def verify_cubic_rounds(
    channel: VerifierChannel, label: str, claim: Form, rounds: int
) -> tuple[list[KS], Form]:
    """Cubic rounds p(X) = p0 + c1·X + c2·X² + c3·X³; a round sends p0, c2, c3, the claim determines c1."""
    point: list[KS] = []
    steps: list[Step] = []
    for _ in range(rounds):
        p0, c2, c3 = channel.hidden(f"{label}.round", 3)
        x = channel.challenge(f"{label}.challenge")
        square = x * x
        steps.append((x, [(1 - x - x, p0), (square - x, c2), (square * x - x, c3)]))
        point.append(x)
    return point, _chain(claim, steps)


def _chain(claim: Form, steps: Sequence[Step]) -> Form:
    terms: list[tuple[KS, Form]] = []
    weight = KS(1)
    for carry, messages in reversed(steps):
        terms += [(weight * factor, message) for factor, message in messages]
        weight = weight * carry
    terms.append((weight, claim))
    return combine(terms)
