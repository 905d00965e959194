"""Small integers as they lie committed, times elements of K (protocol §13.4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.common.algebra.field import DEGREE, P
from huref.prover.kernels.field.field import ONE_SQUARED, U32, check_k, mmul
from huref.prover.kernels.field.limbs import load5, vkmul5
from huref.prover.kernels.field.simd import LANES, vbroadcast, vload, vmul, vstore
from huref.prover.kernels.jit import bare_helper, frozen, kernel
from huref.prover.kernels.threads import run_ranges

_GRAIN = 1 << 16


@bare_helper
def _convert(out: Any, values: Any) -> None:
    for i in range(len(values)):
        value = np.int64(values[i])
        out[i] = mmul(np.uint32(value + P if value < 0 else value), ONE_SQUARED)


@kernel
def _to_mont(out: Any, values: Any, start: int, stop: int) -> None:
    _convert(out[start:stop], values[start:stop])


@kernel
def _weighted(out: Any, rows: Any, column: Any, cells: Any, start: int, stop: int) -> None:
    n, w = out.shape[1], cells.shape[1]
    factors = np.empty(w, np.uint32)
    for row in range(start, stop):
        _convert(factors, cells[row])
        own = (
            vbroadcast(rows[0, row]), vbroadcast(rows[1, row]), vbroadcast(rows[2, row]),
            vbroadcast(rows[3, row]), vbroadcast(rows[4, row]),
        )  # fmt: skip
        for c in range(0, w, LANES):
            x0, x1, x2, x3, x4 = vkmul5(own, load5(column, c))
            factor, at = vload(factors, c), row * w + c
            vstore(out, at, vmul(x0, factor))
            vstore(out, n + at, vmul(x1, factor))
            vstore(out, 2 * n + at, vmul(x2, factor))
            vstore(out, 3 * n + at, vmul(x3, factor))
            vstore(out, 4 * n + at, vmul(x4, factor))


def integers_to_mont(values: NDArray[Any]) -> U32:
    """Integers above -p (int16 or int32, any shape) as Montgomery residues, flat."""
    flat = np.ascontiguousarray(values).reshape(-1)
    out = np.empty(flat.size, np.uint32)
    run_ranges(_to_mont, flat.size, _GRAIN, out, frozen(flat))
    return out


def weighted_cells(rows: U32, column: U32, cells: NDArray[Any]) -> U32:
    """rows[i] · column[c] · cells[i, c] as (5, n·w), of K vectors (5, n) and (5, w) and int16 or int32 cells (n, w).

    w is a multiple of 8.
    """
    check_k(rows)
    check_k(column)
    if cells.shape != (rows.shape[1], column.shape[1]) or cells.shape[1] % LANES:
        raise ValueError(f"{cells.shape} cells do not fit {rows.shape[1]} rows of {column.shape[1]}")
    out = np.empty((DEGREE, cells.size), np.uint32)
    data = frozen(np.ascontiguousarray(cells))
    grain = max(1, _GRAIN // cells.shape[1])
    run_ranges(
        _weighted,
        len(cells),
        grain,
        out,
        np.ascontiguousarray(rows),
        np.ascontiguousarray(column),
        data,
        align=1,
    )
    return out
