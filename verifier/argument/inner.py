"""The inner-product sumcheck behind all matrix products, sketches and ratios (protocol §6.2, §6.4)."""

from __future__ import annotations

from collections.abc import Mapping

from huref.circuits.argument.functional import Claim, Columns
from huref.circuits.argument.inner import inner_functionals
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.lookup import SiteRequest
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.sumcheck import verify_product_rounds


def verify_inner(
    channel: VerifierChannel,
    layout: Layout,
    requests: Mapping[str, SiteRequest],
    thetas: Mapping[str, tuple[KS, KS]],
    total: Form,
    columns: Columns,
) -> list[Claim]:
    """Reduce ⟨l, r⟩ = total to two linear claims; `thetas` are the weights of the ratios' sums in it."""
    point, final = verify_product_rounds(channel, "inner", total, layout.log_inner)
    left, right, product = channel.hidden_product("inner.final")
    channel.assert_equal("inner.final", product, final)
    left_part, right_part = inner_functionals(layout, requests, thetas, point, columns)
    return [
        Claim("inner.left", left_part, left),
        Claim("inner.right", right_part, right),
    ]
