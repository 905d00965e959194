"""Linear functionals of one committed matrix whose columns are read through a map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Array, Functional
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.placed import Placed
from huref.common.algebra.field import DEGREE, P, kzero
from huref.common.distinct import distinct


def placed_of(layout: Layout, name: str) -> Placed:
    """Where a weight or an activation is committed."""
    return layout.weights[name] if name in layout.weights else layout.sites[name].out


def spread(index: NDArray[np.int64], coefficients: Array, count: int) -> Array:
    """`coefficients` (n, 5) added up at the places `index`, shape (count, 5)."""
    out = kzero((count,))
    np.add.at(out, index, coefficients)
    return np.mod(out, np.uint64(P))


def add_stored(
    functional: Functional,
    placed: Placed,
    rows: Array,
    index: NDArray[np.int64],
    coefficients: Array,
    name: str,
) -> None:
    """Add Σ_i rows[i]·Σ_x coefficients[x]·(entry i, index[x] of a matrix); only blocks that are read get a term."""
    w = functional.columns.w
    blocks = distinct(index // w)
    stored = spread(np.searchsorted(blocks, index // w) * w + index % w, coefficients, len(blocks) * w)
    for block, column in zip(blocks.tolist(), stored.reshape(-1, w, DEGREE), strict=True):
        functional.block(placed, rows, block, functional.columns.add(f"{name}.{block}", column))
