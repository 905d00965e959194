"""The lookup argument: one sum of fractions over all lookups and tables, by GKR (protocol §6.5)."""

from __future__ import annotations

from huref.circuits.argument.spaces import LookupSpace
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form, combine
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.sumcheck import verify_eq_rounds

ONE, MINUS = KS(1), KS(-1)


def verify_lookup(channel: VerifierChannel, space: LookupSpace) -> tuple[list[KS], Form, Form]:
    """Reduce a space's Σ fractions = 0 to the leaf layer: its point, numerator and denominator.

    Layer k has k variables; going down adds the variable that the prover's tree folded last. Index order is
    tile bits then local bits; a layer's sumcheck binds local variables first, each from the top.
    """
    tile_bits = space.log_tiles
    denominator, _, one = channel.hidden_product(f"{space.label}.root")
    channel.assert_equal(f"{space.label}.root", one, Form.public(ONE))
    numerator = Form.public(KS(0))
    tiles: list[KS] = []
    local: list[KS] = []
    for layer in range(space.log_entries):
        label = f"{space.label}.layer{layer}"
        mu = channel.challenge(f"{label}.mu")
        claim = combine([(ONE, numerator), (mu, denominator)])
        bound, final = verify_eq_rounds(channel, label, claim, local + tiles)
        local, tiles = bound[: len(local)], bound[len(local) :]
        p0, q1, p0q1 = channel.hidden_product(f"{label}.outer")
        q0, u, q0u = channel.hidden_product(f"{label}.inner")
        channel.assert_zero(f"{label}.final", combine([(ONE, p0q1), (ONE, q0u), (MINUS, final)]))
        tau = channel.challenge(f"{label}.tau")
        p1 = combine([(ONE, u), (-mu, q1)])  # u = p1 + μ·q1 is what the prover sent
        numerator = combine([(1 - tau, p0), (tau, p1)])
        denominator = combine([(1 - tau, q0), (tau, q1)])
        if layer < tile_bits:
            tiles = [tau, *tiles]
        else:
            local = [tau, *local]
    return tiles + local, numerator, denominator
