"""From a proof's first message to linear claims on the commitments: everything but the opening (protocol §5, §6).

The prover replays this on its own messages to learn the claims, whose affine forms depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from huref.circuits.argument.functional import Claim, Columns, Functional
from huref.circuits.argument.gated import gated_sites
from huref.circuits.argument.inner import add_linear, ratio_thetas, ratio_total
from huref.circuits.argument.lookup import leaf_claims
from huref.circuits.argument.outputs import (
    calibration_claims,
    influence_claims,
    output_claim,
    output_variables,
)
from huref.circuits.argument.proof import Setup
from huref.circuits.argument.security import lookup_grinding
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form, combine
from huref.common.argument.merkle import DIGEST_BYTES
from huref.common.argument.transcript import Transcript
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.gated import verify_gated
from huref.verifier.argument.inner import verify_inner
from huref.verifier.argument.lookup import verify_lookup
from huref.verifier.argument.triples import merge_constraints, verify_triples


@dataclass(frozen=True)
class Reduced:
    """Root of the per-proof tree, and the claims that the opening must discharge."""

    proof_root: bytes
    claims: list[Claim]
    columns: Columns


class Configured(Protocol):
    """Whatever a proof is about: its program and public inputs have a digest."""

    @property
    def digest(self) -> bytes: ...


def absorb_statement(
    transcript: Transcript, setup: Configured, statement: bytes, weights_root: bytes
) -> None:
    """The derived configuration, the canonical statement and the weights' root, before any message.

    A statement names root and public inputs already. They are absorbed by themselves as well: without them a
    caller's incomplete statement would let a prover choose v after the challenges, and no check would notice.
    """
    transcript.absorb("config", setup.digest)
    transcript.absorb("statement", statement)
    transcript.absorb("root.weights", weights_root)


def begin(channel: VerifierChannel, grinding: int) -> tuple[bytes, KS, KS]:
    """The root of the per-proof tree, and the challenges α and β of all lookups behind it."""
    proof_root = channel.take("root.proof", DIGEST_BYTES)
    if grinding:
        channel.grind("lookup.grind", grinding)
    return proof_root, channel.challenge("lookup.alpha"), channel.challenge("lookup.beta")


def reduce_to_claims(
    channel: VerifierChannel, setup: Setup, statement: bytes, weights_root: bytes
) -> Reduced:
    """Run every argument up to the opening."""
    layout = setup.layout
    absorb_statement(channel.transcript, setup, statement, weights_root)
    proof_root, alpha, beta = begin(channel, lookup_grinding(layout.spaces, layout.entries, setup.knobs))
    columns = Columns(layout.w)
    claims: list[Claim] = []
    for space in layout.spaces:
        point, numerator, denominator = verify_lookup(channel, space)
        leaf = leaf_claims(layout, space, point, alpha, beta, columns)
        parts = [(KS(1), denominator)]
        products, gated = None, list[Form]()
        if leaf.requests:
            add_linear(layout, leaf.requests, setup.ratio_weights, leaf.denominator, space.label)
            totals = channel.hidden("products.totals", layout.program.has_products + len(gated_sites(layout)))
            parts += [(KS(-1), total) for total in totals]
            products, gated = (totals[0], totals[1:]) if layout.program.has_products else (None, totals)
        claims += [
            Claim(
                f"{space.label}.numerator",
                leaf.numerator,
                combine([(KS(1), numerator)], -leaf.numerator_const),
            ),
            Claim(f"{space.label}.denominator", leaf.denominator, combine(parts, -leaf.denominator_const)),
        ]
        if products is not None:
            thetas: dict[str, tuple[KS, KS]] = {}
            if layout.program.ratios:
                thetas = ratio_thetas(layout.program, channel.challenge("ratios.theta"))
            products = combine([(KS(1), products)], ratio_total(thetas, setup.public.ratios))
            claims += verify_inner(channel, layout, leaf.requests, thetas, products, columns)
        claims += verify_gated(channel, layout, leaf.requests, gated, columns)
    if layout.program.length:
        output_point = channel.point("output.point", output_variables(layout.program))
        claims.append(output_claim(layout, setup.public.v, setup.ratio_weights, output_point, columns))
    claims += calibration_claims(layout, setup.public.sums, columns)
    claims += influence_claims(layout, setup.public.caps, columns)
    verify_triples(channel, layout.pads)
    claims.append(Claim("pads.merge", Functional(columns), merge_constraints(channel)))
    return Reduced(proof_root, claims, columns)
