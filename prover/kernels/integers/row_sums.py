"""Exact products of small integers with a matrix whose rows are summed, on the CPU: `integer_gemm` without a transpose.

Rows of the matrix go in twos, interleaved once for all rows of the left side; four of these and 32 columns are
multiplied out of registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.prover.kernels.field.short_simd import (
    multiply_add4,
    paired_shorts,
    repeated_pair,
    shorts16,
    store16,
)
from huref.prover.kernels.field.simd import vload, vstore
from huref.prover.kernels.jit import bare_helper, flat_rows, kernel
from huref.prover.kernels.threads import run_ranges

_TILE = 32
_ROWS = 256
"""Rows whose interleaved tile, 16 kB, stays in the first cache."""
_GROUP = 4


@bare_helper
def _widen(
    wide: Any, matrix: Any, step: int, rows: int, columns: int, first: int, pairs: int, column: int
) -> None:
    """32 columns of pairs of rows, interleaved; zeros past the end of either. A row begins every `step` entries."""
    for pair in range(pairs):
        row, to = first + 2 * pair, 2 * _TILE * pair
        if row + 1 < rows and column + _TILE <= columns:
            at = row * step + column
            for c in range(0, _TILE, 8):
                store16(wide, to + 2 * c, paired_shorts(matrix, at + c, at + step + c))
            continue
        for c in range(_TILE):
            inside = column + c < columns
            wide[to + 2 * c] = matrix[row * step + column + c] if inside else 0
            wide[to + 2 * c + 1] = matrix[(row + 1) * step + column + c] if inside and row + 1 < rows else 0


@bare_helper
def _loaded(out: Any, at: int) -> Any:
    return vload(out, at), vload(out, at + 8), vload(out, at + 16), vload(out, at + 24)


@bare_helper
def _stored(out: Any, at: int, sums: Any) -> None:
    vstore(out, at, sums[0])
    vstore(out, at + 8, sums[1])
    vstore(out, at + 16, sums[2])
    vstore(out, at + 24, sums[3])


@bare_helper
def _add_rows(out: Any, at: int, width: int, wide: Any, pairs: int, left: Any, place: int, n: int) -> None:
    """out[at + g · width …] += 32 columns of the sums for four rows of the left side, of n entries from `place` on."""
    a, b, c, d = (
        _loaded(out, at),
        _loaded(out, at + width),
        _loaded(out, at + 2 * width),
        _loaded(out, at + 3 * width),
    )
    for pair in range(pairs):
        to, j = 2 * _TILE * pair, place + 2 * pair
        x = shorts16(wide, to), shorts16(wide, to + 16), shorts16(wide, to + 32), shorts16(wide, to + 48)
        a = multiply_add4(a, x, repeated_pair(left, j))
        b = multiply_add4(b, x, repeated_pair(left, j + n))
        c = multiply_add4(c, x, repeated_pair(left, j + 2 * n))
        d = multiply_add4(d, x, repeated_pair(left, j + 3 * n))
    _stored(out, at, a)
    _stored(out, at + width, b)
    _stored(out, at + 2 * width, c)
    _stored(out, at + 3 * width, d)


@bare_helper
def _add_row(out: Any, at: int, wide: Any, pairs: int, left: Any, place: int) -> None:
    """The same for one row of the left side."""
    a = _loaded(out, at)
    for pair in range(pairs):
        to = 2 * _TILE * pair
        x = shorts16(wide, to), shorts16(wide, to + 16), shorts16(wide, to + 32), shorts16(wide, to + 48)
        a = multiply_add4(a, x, repeated_pair(left, place + 2 * pair))
    _stored(out, at, a)


@kernel
def _row_sums(
    left: Any,
    n: int,
    matrix: Any,
    step: int,
    rows: int,
    columns: int,
    out: Any,
    width: int,
    start: int,
    stop: int,
) -> None:
    """Tiles [start, stop) of left · matrix; `left` flat in rows of n (even), `out` flat in rows of `width`."""
    wide = np.zeros(_ROWS * _TILE, np.int16)
    m = out.size // width
    whole = m // _GROUP * _GROUP
    for tile in range(start, stop):
        for first in range(0, rows, _ROWS):
            pairs = (min(_ROWS, rows - first) + 1) // 2
            _widen(wide, matrix, step, rows, columns, first, pairs, tile * _TILE)
            for row in range(0, whole, _GROUP):
                _add_rows(out, row * width + tile * _TILE, width, wide, pairs, left, row * n + first, n)
            for row in range(whole, m):
                _add_row(out, row * width + tile * _TILE, wide, pairs, left, row * n + first)


def row_sums(left: NDArray[np.int16], matrix: NDArray[np.int8]) -> NDArray[np.int32]:
    """left @ matrix of int16 (m, n) and int8 (n, d) as int32 (m, d), exact while Σ|l·r| stays below 2^31."""
    m, n = left.shape
    if left.dtype != np.int16 or matrix.dtype != np.int8 or len(matrix) != n:
        raise ValueError(f"a {left.dtype} {left.shape} and a {matrix.dtype} {matrix.shape} matrix do not fit")
    columns = matrix.shape[1]
    padded = np.zeros((m, n + n % 2), np.int16)
    padded[:, :n] = left
    tiles = -(-columns // _TILE)
    out = np.zeros((m, tiles * _TILE), np.uint32)
    run_ranges(
        _row_sums, tiles, 4, padded.reshape(-1), padded.shape[1], *flat_rows(matrix), n, columns, out.reshape(-1),
        out.shape[1], align=1,
    )  # fmt: skip
    return out.view(np.int32)[:, :columns]
