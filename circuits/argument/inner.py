"""All products of the program as one inner product ⟨l, r⟩ (protocol §6.2).

Every matrix product and convolution owns a run of the two vectors. For a site with row coefficients u and column
coefficients c, Σ_ij u_i·c_j·acc_ij = Σ_x (Σ_i u_i·L[i, x])·(Σ_j c_j·R[j, x]), so a matmul contributes
l[x] = Σ_i u_i·L[i, x] and r[x] = Σ_j c_j·R[j, x]. A sketch of rows with multipliers μ has l[e] = μ[e] times what the
request gives to entry e, and r[e] = Σ_j c_j·(row of e)[j]. Scores of heads and what they have alike are those of
`huref.circuits.argument.heads`. The sums of ratios are added with powers of a challenge. One
sumcheck proves the sum; it ends in two values that are linear in committed tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from huref.circuits.argument.functional import Array, Columns, Functional
from huref.circuits.argument.heads import add_likeness, add_scores
from huref.circuits.argument.layout import Layout, ratio_label
from huref.circuits.argument.lookup import SiteRequest, scaled
from huref.circuits.argument.reading import add_stored, placed_of, spread
from huref.circuits.argument.runs import flat_term
from huref.circuits.program.measured import Ratio
from huref.circuits.program.program import (
    Deflation,
    HeadProducts,
    Likeness,
    MatMul,
    Program,
    Site,
    SketchSum,
    View,
)
from huref.common.algebra.field import DEGREE, P, embed, kdot, kmul, kouter, kzero, to_field
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from huref.common.distinct import distinct


def fold_entries(site: SketchSum, rows: Array) -> Array:
    """Coefficients that `rows` give to the entries of a sketch, shape (entries, 5)."""
    weights = rows[site.row].astype(np.int64) * site.sign[:, None]
    if site.centred:
        totals = to_field(site.totals(len(rows)))
        mean = kdot(rows, embed(totals)).astype(np.int64)
        weights = weights * len(site.row) - mean
    return np.mod(weights, np.int64(P)).astype(np.uint64)


def add_linear(
    layout: Layout,
    requests: Mapping[str, SiteRequest],
    weights: Mapping[str, int],
    into: Functional,
    name: str,
) -> None:
    """Add to `into` the requested sums of all accumulators that are linear in what is committed: sketches of rows
    without multipliers, and deflations, by their ratios' `weights`.
    """
    for site in layout.program.sites:
        acc = site.acc
        if isinstance(acc, SketchSum) and not acc.multipliers:
            request, source = requests[site.name], placed_of(layout, acc.source)
            rows = spread(acc.token, fold_entries(acc, request.rows), source.rows)
            into.tensor(source, rows, request.blocks(source.blocks), name)
        elif isinstance(acc, Deflation):
            request = requests[site.name]
            for source_name, factor in ((acc.source, 1 << acc.bits), (acc.base, -weights[acc.ratio])):
                source = placed_of(layout, source_name)
                rows = scaled(request.rows, KS(factor))
                into.tensor(source, rows, request.blocks(source.blocks), name)


def ratio_thetas(program: Program, theta: KS) -> dict[str, tuple[KS, KS]]:
    """Weights θ, θ², … of the two sums of every ratio."""
    powers = [theta ** (1 + i) for i in range(2 * len(program.ratios))]
    return dict(zip(program.ratio, zip(powers[::2], powers[1::2], strict=True), strict=True))


def ratio_total(thetas: Mapping[str, tuple[KS, KS]], sums: Mapping[str, tuple[int, int]]) -> KS:
    """The public part of ⟨l, r⟩: all sums of ratios times their weights."""
    parts = [
        theta * value for name, pair in thetas.items() for theta, value in zip(pair, sums[name], strict=True)
    ]
    return sum(parts, KS(0))


def inner_functionals(
    layout: Layout,
    requests: Mapping[str, SiteRequest],
    thetas: Mapping[str, tuple[KS, KS]],
    point: Sequence[KS],
    columns: Columns,
) -> tuple[Functional, Functional]:
    """The multilinear extensions of l and r at `point`, functionals of committed data.

    `thetas` has the weights of the two sums of every ratio.
    """
    left, right = Functional(columns), Functional(columns)
    log_w = log2_ceil(layout.w)
    low, high = eq_table(point[len(point) - log_w :]), eq_table(point[: len(point) - log_w])
    name = columns.add("inner", low)

    def entries(first: int, count: int) -> Array:
        """eq(point, ·) of entries that start with a block; of all entries it would be as long as the products."""
        blocks = high[first // layout.w :][: -(-count // layout.w)]
        return kouter(blocks, low).reshape(-1, DEGREE)[:count]

    for site in layout.program.sites:
        offset = layout.inner.get(site.name, 0)
        match site.acc:
            case MatMul() as product:
                request, run = requests[site.name], entries(offset, product.inner)
                first = offset // layout.w
                columns_of = request.columns(site.cols)
                _add_side(
                    layout, left, product.left, request.rows, run, high[first:], name, f"{site.name}.left"
                )
                if product.right.transposed:
                    _add_transposed(layout, right, site, product, request, run)
                elif len(product.runs) == 1:
                    _add_side(
                        layout,
                        right,
                        product.right,
                        columns_of,
                        run,
                        high[first:],
                        name,
                        f"{site.name}.right",
                    )
                else:
                    _add_runs(layout, right, site, product, columns_of, run)
            case SketchSum() as sketch if sketch.multipliers:
                request, run = requests[site.name], entries(offset, len(sketch.token))
                _add_sketch(layout, left, right, sketch, request, run)
            case HeadProducts() | Likeness() as heads:
                add = add_scores if isinstance(heads, HeadProducts) else add_likeness
                add(layout, left, right, site, requests[site.name], high[offset // layout.w :], name)
            case _:
                pass
    for ratio in layout.program.ratios:
        first = layout.inner[ratio_label(ratio)] // layout.w
        _add_ratio(layout, left, right, ratio, thetas[ratio.name], high[first:], name)
    return left, right


def _add_sketch(
    layout: Layout, left: Functional, right: Functional, acc: SketchSum, request: SiteRequest, run: Array
) -> None:
    """l[e]: what the request gives to entry e times its multiplier; r[e]: the requested sum of the row it reads."""
    factors = kmul(run, fold_entries(acc, request.rows))
    flat_term(left, layout.rows_of[acc.multipliers].start, factors)
    source = placed_of(layout, acc.source)
    right.tensor(source, spread(acc.token, run, source.rows), request.blocks(source.blocks), request.name)


def _add_ratio(
    layout: Layout,
    left: Functional,
    right: Functional,
    ratio: Ratio,
    thetas: tuple[KS, KS],
    high: Array,
    name: str,
) -> None:
    """l = θ₁·value + θ₂·base and r = base on the ratio's rows, column block after column block; `high` and the
    vector `name` are the factors of the run's coefficients.
    """
    value, base, w = layout.sites[ratio.value].out, layout.sites[ratio.base].out, layout.w
    for block in range(base.blocks):
        rows = high[block * ratio.rows : (block + 1) * ratio.rows]
        width = min(w, base.cols - block * w)
        column = left.columns.masked(name, width)
        left.block(base, scaled(rows, thetas[1]), block, column)
        right.block(base, rows, block, column)
        start = block * w + base.cols * np.arange(value.cols // base.cols)
        index = start[:, None] + np.arange(width)
        stored = kzero((value.blocks * w,))
        stored[index] = left.columns.vectors[name][:width]
        for part in distinct(index // w).tolist():
            piece = left.columns.add(f"ratio.{ratio.name}.{block}.{part}", stored[part * w : (part + 1) * w])
            left.block(value, scaled(rows, thetas[0]), part, piece)


def _add_side(
    layout: Layout,
    functional: Functional,
    view: View,
    rows: Array,
    run: Array,
    high: Array,
    name: str,
    label: str,
) -> None:
    """Add Σ_i rows[i]·(row i of a view, weighted by `run`); `high` and the vector `name` are the factors of `run`."""
    placed = placed_of(layout, view.source)
    if view.kind == "plain":
        functional.tensor(placed, rows, high[: placed.blocks], name)
    else:
        add_stored(functional, placed, rows, view.index(len(run)), run, label)


def _add_runs(
    layout: Layout, functional: Functional, site: Site, product: MatMul, columns: Array, run: Array
) -> None:
    """The right side of a product whose sums are cut: every run has column coefficients of its own."""
    view, width = product.right, site.cols // len(product.runs)
    placed, index = placed_of(layout, view.source), view.index(product.inner)
    for number, part in enumerate(product.runs):
        rows = columns[number * width : (number + 1) * width]
        add_stored(functional, placed, rows, index[part], run[part], f"{site.name}.right{number}")


def _add_transposed(
    layout: Layout, functional: Functional, site: Site, product: MatMul, request: SiteRequest, run: Array
) -> None:
    """The right side where the inner index runs over rows: `run` weights rows, the request columns."""
    view, w, width = product.right, layout.w, site.cols // len(product.runs)
    placed, index = placed_of(layout, view.source), view.index(product.inner)
    columns = None if len(product.runs) == 1 else request.columns(site.cols)
    for number, part in enumerate(product.runs):
        first = int(index[part].min()) if placed.matrix == "W" else 0
        rows = spread(index[part] - first, run[part], int(index[part].max()) + 1 - first)
        stored = placed
        if placed.matrix == "W":
            stored = replace(placed, start=placed.start + first * placed.blocks, rows=len(rows))
        if columns is None:
            functional.tensor(stored, rows, request.blocks(placed.blocks), request.name)
            continue
        padded = kzero((placed.blocks * w,))
        padded[:width] = columns[number * width : (number + 1) * width]
        for block in range(placed.blocks):
            name = functional.columns.add(
                f"{site.name}.right{number}.{block}", padded[block * w : (block + 1) * w]
            )
            functional.block(stored, rows, block, name)
