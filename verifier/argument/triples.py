"""The triple check T = A∘B and the merge of all pad constraints (protocol §5)."""

from __future__ import annotations

from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table
from huref.common.argument.hidden import Form, PadSpace, combine
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.sumcheck import verify_eq_rounds


def verify_triples(channel: VerifierChannel, space: PadSpace) -> None:
    """Σ_i eq(ζ, i)·(A_i·B_i − T_i) = 0; the three final evaluations are public, dummies hide the lists."""
    zeta = channel.point("triples.zeta", space.log_triples)
    point, final = verify_eq_rounds(channel, "triples", Form.public(KS(0)), zeta)
    values = channel.public("triples.final", 3)
    a, b, t = values
    channel.assert_equal("triples.final", final, Form.public(a * b - t))
    weights = KS.list_from_array(eq_table(point))
    for part, value in enumerate(values):
        first = space.singles + part * space.triples
        pads = {first + i: weight for i, weight in enumerate(weights)}
        channel.assert_zero("triples.evaluation", Form(-value, pads))


def merge_constraints(channel: VerifierChannel) -> Form:
    """Σ χ^i · constraint_i, drawn after the last constraint: a form that must vanish."""
    chi = channel.challenge("pads.merge")
    weight = KS(1)
    terms = []
    for form in channel.constraints:
        terms.append((weight, form))
        weight = weight * chi
    return combine(terms)
