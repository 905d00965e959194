"""Scores of heads, and how alike they are, as parts of the inner product ⟨l, r⟩ (protocol §6.2).

Both are products entry by entry, summed over some index: with row coefficients u and column coefficients c,

    scores     Σ_ih u_i·c_h·acc_ih = Σ_(i, x) (u_i·c_h(x)·L[i, x])·R[i, x]
    likeness   Σ_th u_t·c_h·acc_th = Σ_(i, h) S[i, h]·(c_h·Σ_t u_t·S[i, t places behind h])

Their runs have a place for every entry of L, or of S, as it is committed: column block after column block. u and c are
public, so both sides stay linear in what is committed.
"""

from __future__ import annotations

import numpy as np

from huref.circuits.argument.functional import Array, Functional
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.lookup import SiteRequest
from huref.circuits.argument.reading import add_stored, placed_of
from huref.circuits.program.program import HeadProducts, Likeness, Site
from huref.common.algebra.field import DEGREE, kmul, kouter


def add_scores(
    layout: Layout,
    left: Functional,
    right: Functional,
    site: Site,
    request: SiteRequest,
    high: Array,
    name: str,
) -> None:
    """l and r of the scores of heads; `high` and the vector `name` are the factors of the run's coefficients."""
    assert isinstance(site.acc, HeadProducts)
    acc, w, column = site.acc, layout.w, left.columns.vectors[name]
    source, other = placed_of(layout, acc.left), placed_of(layout, acc.right.source)
    index, asked = acc.right.index(source.cols), request.columns(site.cols)
    for block in range(source.blocks):
        rows = high[block * source.rows : (block + 1) * source.rows]
        part = slice(block * w, min((block + 1) * w, source.cols))
        inside = column[: part.stop - part.start]
        places = np.arange(part.start, part.stop)
        weighted, label = kmul(rows, request.rows), f"{site.name}.left{block}"
        add_stored(left, source, weighted, places, kmul(inside, asked[places // acc.width]), label)
        add_stored(right, other, rows, index[part], inside, f"{site.name}.right{block}")


def add_likeness(
    layout: Layout,
    left: Functional,
    right: Functional,
    site: Site,
    request: SiteRequest,
    high: Array,
    name: str,
) -> None:
    """l and r of how alike heads are; arguments as those of `add_scores`."""
    assert isinstance(site.acc, Likeness)
    acc, w, column = site.acc, layout.w, left.columns.vectors[name]
    source = placed_of(layout, acc.source)
    asked = request.columns(site.cols)
    for block in range(source.blocks):
        rows = high[block * source.rows : (block + 1) * source.rows]
        part = slice(block * w, min((block + 1) * w, source.cols))
        inside = column[: part.stop - part.start]
        left.block(source, rows, block, left.columns.masked(name, len(inside)))
        read = kouter(request.rows[: acc.heads], kmul(inside, asked[part])).reshape(-1, DEGREE)
        places = acc.partners(np.arange(part.start, part.stop)).reshape(-1)
        add_stored(right, source, rows, places, read, f"{site.name}.right{block}")
