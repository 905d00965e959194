"""Linear algebra whose every bit is pinned: the same on any machine, BLAS and thread count.

An auditor recomputes the quantized weights from the checkpoint and must reach the same root (protocol §2), so
the canonical form may not depend on a library's order of summation. Only single IEEE operations are used (add,
multiply, divide, square root), in an order fixed by prover/kernels: float32 on the rows themselves, float64 in
every sum and in every small matrix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.rotation import public_signs, windows
from huref.prover.kernels.integers import canonical, heads
from huref.prover.kernels.threads import run_ranges

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_RANK_TOLERANCE = 1e-12
"""Squared singular values below this share of the largest are rounding noise of float32 weights."""


def tree_sum(x: Float64) -> Float64:
    """Sum over the last axis by repeated halving (the tail half is added onto the front half)."""
    while x.shape[-1] > 1:
        half = (x.shape[-1] + 1) // 2
        head = x[..., :half].copy()
        head[..., : x.shape[-1] - half] += x[..., half:]
        x = head
    return np.asarray(x[..., 0]) if x.shape[-1] else np.zeros(x.shape[:-1])


def fold(rows: Float32, gain: Float32 | None, direction: Float32 | None) -> Float64:
    """Multiply rows (m, n) by `gain` (n,) and take out their component along `direction` (n,), in place.

    Returns the squared norms of the rows. None leaves a step out.
    """
    nothing = np.empty(0, np.float32)
    along = nothing if direction is None else direction
    length = float(tree_sum(along.astype(np.float64) ** 2))
    return canonical.fold_rows(rows, nothing if gain is None else gain.astype(np.float32), along, length)


def mix(rows: Float32, name: str, factors: Float64 | None = None) -> Float32:
    """rows (m, n), each times its factor (m,), · Q for a fixed public orthogonal Q; in place, returns `rows`.

    Q is made of random signs and Walsh–Hadamard transforms. It spreads entries that stick out over all
    columns, so that a coarse uniform grid suits every column. Widths that are no power of two take one
    transform at each end, with fresh signs.
    """
    width = rows.shape[1]
    window, starts = windows(width)
    signs = np.stack([_signs(f"mix {name} {i}", width) for i in range(len(starts))])
    factors = np.ones(len(rows)) if factors is None else factors
    canonical.mix_rows(rows, factors, signs, np.array(starts), window)
    return rows


def _signs(name: str, size: int) -> Float32:
    return public_signs(name, size).astype(np.float32)


def product(left: Float64, right: Float64) -> Float64:
    """left (m, k) · right (k, n), every entry's terms added one by one."""
    a, b = np.ascontiguousarray(left), np.ascontiguousarray(right)
    out = np.zeros((len(a), b.shape[1]))

    def rows(start: int, stop: int) -> None:
        heads.accumulate(out[start:stop], a[start:stop], b, np.bool_(False))

    run_ranges(rows, len(a), 64)
    return out


def balance_factors(stored: Float32, grouped: Float32, name: str) -> Float64:
    """Balanced factors of every head's product storedᵀ·[grouped_1 … grouped_g], which stays as it is; in place.

    Returns the maps that the rows of `grouped` took, (heads, n, n).

    Args:
        stored: (heads, n, d), the side that a whole group shares; contiguous.
        grouped: (heads, group, n, d), contiguous.

    With the product's singular values σ both become rotations of √σ times orthonormal rows, the larger
    σ first; each such row of `stored` has a nonnegative product with a public random sign vector, and a fixed
    public rotation then spreads the σ over all n rows. Directions without a product become zero.
    """
    n, width = stored.shape[1:]
    turn = mix(np.eye(n, dtype=np.float32), name).T.astype(np.float64, order="C")
    left, right = heads.balance_heads(stored, grouped, _RANK_TOLERANCE, _signs(f"probe {name}", width), turn)
    heads.apply_maps(left, stored)
    heads.apply_maps(right, grouped.reshape(-1, n, width))
    return right
