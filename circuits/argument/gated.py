"""Claims of the gated product acc_if = Σ_j Y_ij·G_fj·U_fj at the end of its sumcheck (protocol §6.3)."""

from __future__ import annotations

from collections.abc import Sequence

from huref.circuits.argument.functional import Columns, Functional
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.lookup import SiteRequest
from huref.circuits.argument.reading import placed_of
from huref.circuits.program.program import GatedMatMul, Site
from huref.common.algebra.field import kdot
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil


def gated_sites(layout: Layout) -> list[tuple[Site, GatedMatMul]]:
    """The program's gated sites with their accumulators, in order."""
    return [(site, site.acc) for site in layout.program.sites if isinstance(site.acc, GatedMatMul)]


def gated_rounds(layout: Layout, site: Site, acc: GatedMatMul) -> tuple[int, int]:
    """Variables over the rows f of gate and up, and over their columns j (whole column blocks)."""
    return log2_ceil(site.cols), log2_ceil(layout.weights[acc.gate].blocks * layout.w)


def gated_functionals(
    layout: Layout, site: Site, acc: GatedMatMul, request: SiteRequest, point: Sequence[KS], columns: Columns
) -> tuple[Functional, Functional, Functional, KS]:
    """At (ρ_f, ρ_j) = `point`: functionals for G~, U~ and Σ_i u_i·Y~_i(ρ_j), and c~(ρ_f) of the column coefficients."""
    over_f, _ = gated_rounds(layout, site, acc)
    cut = len(point) - log2_ceil(layout.w)
    name = columns.add(f"{site.name}.gated", eq_table(point[cut:]))
    blocks = eq_table(point[over_f:cut])[: layout.weights[acc.gate].blocks]
    rows = eq_table(point[:over_f])[: site.cols]
    parts = []
    for source, coefficients in ((acc.gate, rows), (acc.up, rows), (acc.left, request.rows)):
        functional = Functional(columns)
        functional.tensor(placed_of(layout, source), coefficients, blocks, name)
        parts.append(functional)
    return parts[0], parts[1], parts[2], KS.from_array(kdot(request.columns(site.cols), rows))
