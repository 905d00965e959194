"""Terms of functionals by their definitions: every cell's coefficient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Columns, Dense, Grouped, Own, Term
from huref.common.algebra.field import DEGREE, P, kouter


def coefficients(term: Term | Own, columns: Columns) -> tuple[int, NDArray[Any]]:
    """The first row that a term addresses, and the coefficients of the cells from there on, (rows, w, 5)."""
    if isinstance(term, Term):
        return term.start, kouter(term.a, columns.vectors[term.columns])
    if isinstance(term, Dense):
        return term.start, term.values[term.choice]
    if isinstance(term, Grouped):
        pairs = kouter(term.vectors.reshape(-1, DEGREE), term.rows)
        pairs = pairs.reshape(*term.vectors.shape[:2], -1, DEGREE)
        order = (2, 0, 1, 3) if term.interleaved else (0, 2, 1, 3)
        return term.start, pairs.transpose(order).reshape(term.length, -1, DEGREE)
    first = int(term.rows.min())
    out = np.zeros((int(term.rows.max()) + 1 - first, columns.w, DEGREE), np.uint64)
    for row, col, value in zip(term.rows, term.cols, term.values, strict=True):
        out[row - first, col] = (out[row - first, col] + value) % np.uint64(P)
    return first, out
