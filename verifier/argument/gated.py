"""The gated product of the paper profile: one cubic sumcheck per site over (f, j) (protocol §6.3)."""

from __future__ import annotations

from collections.abc import Mapping

from huref.circuits.argument.functional import Claim, Columns
from huref.circuits.argument.gated import gated_functionals, gated_rounds, gated_sites
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.lookup import SiteRequest
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form, combine
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.sumcheck import verify_cubic_rounds


def verify_gated(
    channel: VerifierChannel,
    layout: Layout,
    requests: Mapping[str, SiteRequest],
    totals: list[Form],
    columns: Columns,
) -> list[Claim]:
    """Reduce Σ_fj c_f·y_j·G_fj·U_fj = total, one total per gated site, to three linear claims each."""
    claims = []
    for (site, acc), total in zip(gated_sites(layout), totals, strict=True):
        label = f"gated.{site.name}"
        point, final = verify_cubic_rounds(channel, label, total, sum(gated_rounds(layout, site, acc)))
        gate, up, product = channel.hidden_product(f"{label}.weights")
        again, left, all_three = channel.hidden_product(f"{label}.final")
        channel.assert_equal(f"{label}.weights", again, product)  # a product's operand needs its own pad
        parts = gated_functionals(layout, site, acc, requests[site.name], point, columns)
        channel.assert_zero(f"{label}.final", combine([(parts[3], all_three), (KS(-1), final)]))
        claims += [
            Claim(f"{label}.gate", parts[0], gate),
            Claim(f"{label}.up", parts[1], up),
            Claim(f"{label}.left", parts[2], left),
        ]
    return claims
