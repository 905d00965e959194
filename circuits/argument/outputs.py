"""Claims that need no sumcheck: the published vector v and the calibration sums (protocol §6.6, §6.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from huref.circuits.argument.functional import Claim, Columns, Functional
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.reading import placed_of
from huref.circuits.program.influence import Cap
from huref.circuits.program.program import Program
from huref.common.algebra.field import embed, kdot, kone, kscale, kzero, to_field
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from huref.common.argument.hidden import Form
from huref.common.distinct import distinct

COUNTS = ("alive", "at", "above")


def output_variables(program: Program) -> int:
    """Coordinates of a point of v."""
    return log2_ceil(program.length)


def output_claim(
    layout: Layout, v: Sequence[int], ratios: Mapping[str, int], point: Sequence[KS], columns: Columns
) -> Claim:
    """The multilinear extension of v at `point`, as a functional of the last activations; `ratios` are weights."""
    weights = eq_table(point)
    functional = Functional(columns)
    output = layout.program.output
    maps = zip(output.sources, output.bucket, output.sign, output.numbers(ratios), strict=True)
    for source, bucket, sign, factor in maps:
        placed = placed_of(layout, source)
        signs = distinct(sign)
        which = np.searchsorted(signs, sign)
        factors = to_field(signs.astype(np.int64) * factor)
        multiples = np.concatenate([kzero((1,)), *(kscale(weights, value) for value in factors)])
        choice = np.zeros((placed.rows, placed.blocks * layout.w), np.int32)  # 0, the zero, in the padding
        choice[:, : placed.cols] = 1 + output.length * which + bucket
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


def influence_claims(layout: Layout, caps: Mapping[str, Cap], columns: Columns) -> list[Claim]:
    """The published counts of influences, by the multiplicities of the tables' entries (protocol §6.7)."""
    tables = {block.table: block for space in layout.spaces for block in space.tables}
    claims = []
    for influence in layout.program.influences:
        block = tables[layout.octaves[influence.name]]
        for kind, (count, chosen) in zip(COUNTS, influence.counted(caps, block.table), strict=True):
            choice = np.zeros(block.rows * layout.w, np.int32)
            choice[: block.table.size] = chosen
            functional = Functional(columns)
            both = np.concatenate([kzero((1,)), kone((1,))])
            functional.dense("A", block.multiplicity, both, choice.reshape(block.rows, layout.w))
            claims.append(Claim(f"influence.{influence.name}.{kind}", functional, Form.public(KS(count))))
    return claims
