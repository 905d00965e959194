"""From the first message of a proof of relations to linear claims on the commitments (protocol §13.5)."""

from __future__ import annotations

from huref.circuits.argument.functional import Claim, Columns, Functional
from huref.circuits.argument.lookup import leaf_claims
from huref.circuits.argument.security import lookup_grinding
from huref.circuits.relations.bilinear import product_functionals
from huref.circuits.relations.linear import linear_part
from huref.circuits.relations.prompts import prompts_claim
from huref.circuits.relations.setup import RelationSetup
from huref.circuits.relations.weights import EquationWeights, point_sizes
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import combine
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.lookup import verify_lookup
from huref.verifier.argument.reduce import Reduced, absorb_statement, begin
from huref.verifier.argument.sumcheck import verify_product_rounds
from huref.verifier.argument.triples import merge_constraints, verify_triples


def reduce_relations(
    channel: VerifierChannel, setup: RelationSetup, statement: bytes, weights_root: bytes
) -> Reduced:
    """Run every argument up to the opening."""
    layout = setup.layout
    absorb_statement(channel.transcript, setup, statement, weights_root)
    proof_root, alpha, beta = begin(channel, lookup_grinding(layout.spaces, layout.entries, setup.knobs))
    columns = Columns(layout.w)
    claims: list[Claim] = []
    for space in layout.spaces:
        point, numerator, denominator = verify_lookup(channel, space)
        leaf = leaf_claims(None, space, point, alpha, beta, columns)
        parts = (
            ("numerator", leaf.numerator, numerator, leaf.numerator_const),
            ("denominator", leaf.denominator, denominator, leaf.denominator_const),
        )
        for name, functional, value, constant in parts:
            claims.append(Claim(f"{space.label}.{name}", functional, combine([(KS(1), value)], -constant)))
    claims += _equations(channel, setup, columns)
    verify_triples(channel, layout.pads)
    claims.append(Claim("pads.merge", Functional(columns), merge_constraints(channel)))
    return Reduced(proof_root, claims, columns)


def _equations(channel: VerifierChannel, setup: RelationSetup, columns: Columns) -> list[Claim]:
    """All equations at one point: linear part + products = 0, and the products as one inner product; their claims."""
    layout = setup.layout
    prompts = setup.relations.prompts
    if prompts is not None:
        prompt_point = channel.challenge("prompt.point")
        told = channel.public("prompt.values", len(prompts.lengths))
    eta = channel.challenge("equations.eta")
    point = channel.point("equations.point", sum(point_sizes(setup.relations, layout.w)))
    weights = EquationWeights(layout, point, eta, columns)
    total = channel.hidden("products.totals", 1)[0]
    linear, constant = linear_part(weights)
    inner_point, final = verify_product_rounds(channel, "inner", total, layout.log_inner)
    left, right, product = channel.hidden_product("inner.final")
    channel.assert_equal("inner.final", product, final)
    left_part, right_part = product_functionals(weights, inner_point, columns)
    found = [
        Claim("equations", linear, combine([(KS(-1), total)], -constant)),
        Claim("inner.left", left_part, left),
        Claim("inner.right", right_part, right),
    ]
    if prompts is not None:
        found.append(prompts_claim(layout, prompts, prompt_point, eta, told, columns))
    return found
