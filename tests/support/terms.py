"""Terms of functionals by their definitions: every cell's coefficient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Columns, Dense, Grouped, Own, Stacked, Term
from huref.common.algebra.field import DEGREE, P, kmul, kouter


def coefficients(term: Term | Stacked | Own, columns: Columns) -> tuple[int, NDArray[Any]]:
    """The first row that a term addresses, and the coefficients of the cells from there on, (rows, w, 5)."""
    if isinstance(term, Term):
        return term.start, kouter(term.a, columns.vectors[term.columns])
    if isinstance(term, Stacked):
        by_block = kmul(term.rows[:, :, None], term.blocks[:, None])
        by_block = by_block.reshape(-1, term.blocks.shape[1], DEGREE)
        names = [term.columns] * (by_block.shape[1] - 1) + [term.tail]
        cells = [kouter(by_block[:, b], columns.vectors[name]) for b, name in enumerate(names)]
        return term.start, np.stack(cells, axis=1).reshape(-1, columns.w, DEGREE)
    if isinstance(term, Dense):
        return term.start, term.values[term.choice]
    if isinstance(term, Grouped):
        own = term.written()
        pairs = kouter(own.reshape(-1, DEGREE), term.rows).reshape(*own.shape[:2], -1, DEGREE)
        order = (2, 0, 1, 3) if term.interleaved else (0, 2, 1, 3)
        return term.start, pairs.transpose(order).reshape(term.length, -1, DEGREE)
    first = int(term.rows.min())
    out = np.zeros((int(term.rows.max()) + 1 - first, columns.w, DEGREE), np.uint64)
    for row, col, value in zip(term.rows, term.cols, term.values, strict=True):
        out[row - first, col] = (out[row - first, col] + value) % np.uint64(P)
    return first, out
