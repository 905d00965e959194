"""Claims that need no sumcheck: the published vector v and the calibration sums (protocol §6.6, §6.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from huref.circuits.argument.functional import Claim, Columns, Functional
from huref.circuits.argument.inner import placed_of
from huref.circuits.argument.layout import Layout
from huref.circuits.program.program import OUTPUTS
from huref.common.algebra.field import embed, kdot, kone, kscale, kzero, to_field
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from huref.common.argument.hidden import Form

OUTPUT_VARIABLES = log2_ceil(OUTPUTS)


def output_claim(layout: Layout, v: Sequence[int], point: Sequence[KS], columns: Columns) -> Claim:
    """The multilinear extension of v at `point` (9 coordinates), as a functional of the last activations."""
    weights = eq_table(point)
    functional = Functional(columns)
    output = layout.program.output
    for source, bucket, sign in zip(output.sources, output.bucket, output.sign, strict=True):
        placed = placed_of(layout, source)
        signs, which = np.unique(sign, return_inverse=True)
        multiples = np.concatenate([kzero((1,)), *(kscale(weights, to_field(value)) for value in signs)])
        choice = np.zeros((placed.rows, placed.blocks * layout.w), np.int32)  # 0, the zero, in the padding
        choice[:, : placed.cols] = 1 + OUTPUTS * which.reshape(sign.shape) + bucket
        by_block = choice.reshape(placed.rows, placed.blocks, layout.w).swapaxes(0, 1)
        functional.dense("A", placed.start, multiples, by_block.reshape(-1, layout.w))
    value = KS.from_array(kdot(weights, embed(to_field(np.asarray(v, np.int64)))))
    return Claim("output", functional, Form.public(value))


def calibration_claims(
    layout: Layout, sums: Mapping[str, tuple[int, int | None]], columns: Columns
) -> list[Claim]:
    """Σ over the calibration rows of |out| (and of |out'| at shift − 1) equals the published sums."""
    ones = columns.add("ones", kone((layout.w,)))
    claims = []
    for name, site in layout.sites.items():
        published = zip((site.magnitude, site.finer_magnitude), sums[name], ("coarse", "fine"), strict=True)
        for placed, value, kind in published:
            if placed is not None and value is not None:
                functional = Functional(columns)
                functional.tensor(placed, kone((placed.rows,)), kone((placed.blocks,)), ones)
                claims.append(Claim(f"calibration.{name}.{kind}", functional, Form.public(KS(value))))
    return claims
