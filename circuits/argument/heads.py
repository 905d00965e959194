"""Scores of heads, and how alike they are, as parts of the inner product ⟨l, r⟩ (protocol §6.2).

Both are products entry by entry, summed over some index: with row coefficients u and column coefficients c,

    scores     Σ_ih u_i·c_h·acc_ih = Σ_(i, x) (u_i·c_h(x)·L[i, x])·R[i, x]
    likeness   Σ_th u_t·c_h·acc_th = Σ_(i, h) S[i, h]·(c_h·Σ_t u_t·S[i, t places behind h])

Their runs have a place for every entry of L, or of S, as it is committed: column block after column block. u and c are
public, so both sides stay linear in what is committed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Array, Functional
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.lookup import SiteRequest
from huref.circuits.argument.placed import Placed
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
    for block, rows, places in _blocks(source, w, high):
        inside, weighted = column[: len(places)], kmul(rows, request.rows)
        scores = kmul(inside, asked[places // acc.width])
        add_stored(left, source, weighted, places, scores, f"{site.name}.left{block}")
        add_stored(right, other, rows, index[places], inside, f"{site.name}.right{block}")


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
    for block, rows, places in _blocks(source, w, high):
        left.block(source, rows, block, left.columns.masked(name, len(places)))
        weighted = kmul(column[: len(places)], asked[places])
        read = kouter(request.rows[: acc.heads], weighted).reshape(-1, DEGREE)
        add_stored(right, source, rows, acc.partners(places).reshape(-1), read, f"{site.name}.right{block}")


def _blocks(source: Placed, w: int, high: Array) -> Iterator[tuple[int, Array, NDArray[np.int64]]]:
    """Every column block of a matrix, the factors of its rows, and its columns."""
    for block in range(source.blocks):
        rows = high[block * source.rows : (block + 1) * source.rows]
        yield block, rows, np.arange(block * w, min((block + 1) * w, source.cols))
