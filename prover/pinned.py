"""Float64 linear algebra whose every bit is pinned: the same on any machine, BLAS and thread count.

An auditor recomputes the quantized weights from the checkpoint and must reach the same root (protocol §2), so
the canonical form may not depend on a library's order of summation. Only two kinds of operation are used:
single IEEE operations element by element (add, multiply, divide, square root), in an order fixed here, and
BLAS products of integers small enough to be exact in any order (Ozaki's splitting).
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from circuits.profiles import PROTOCOL_LABEL
from prover.kernels.canonical import hadamard_rows, norm_rows

Float64 = NDArray[np.float64]

_SLICES = 3
_SWEEPS = 30
_TOLERANCE = 1e-15


def tree_sum(x: Float64) -> Float64:
    """Sum over the last axis by repeated halving (the tail half is added onto the front half)."""
    while x.shape[-1] > 1:
        half = (x.shape[-1] + 1) // 2
        head = x[..., :half].copy()
        head[..., : x.shape[-1] - half] += x[..., half:]
        x = head
    return np.asarray(x[..., 0]) if x.shape[-1] else np.zeros(x.shape[:-1])


def norms_squared(rows: Float64) -> Float64:
    """Squared length of every row (last axis)."""
    if rows.shape[-1] == 0:
        return np.zeros(rows.shape[:-1])
    flat = np.ascontiguousarray(rows).reshape(-1, rows.shape[-1])
    return norm_rows(flat).reshape(rows.shape[:-1])


def matmul(a: Float64, b: Float64) -> Float64:
    """a @ b to about float64 accuracy per row scale, bit for bit reproducible; batched as numpy's.

    Rows of a and columns of b are cut into slices of integers whose products sum to less than 2^53, so
    each slice product is exact; the slice products are added in a fixed order.
    """
    bits = (53 - int(a.shape[-1] - 1).bit_length()) // 2
    left, left_scale = _slices(a, bits)
    right, right_scale = _slices(np.swapaxes(b, -1, -2), bits)
    total = np.zeros((*a.shape[:-1], b.shape[-1]))
    for order in reversed(range(_SLICES)):
        for i in range(order + 1):
            product = np.matmul(left[i], np.swapaxes(right[order - i], -1, -2))
            total += product * 2.0 ** (-bits * (order + 2))
    return np.asarray(total * left_scale * np.swapaxes(right_scale, -1, -2))


def _slices(rows: Float64, bits: int) -> tuple[list[Float64], Float64]:
    """Integers q_i, |q_i| ≤ 2^bits, with rows = scale · Σ q_i·2^(−bits·i), scale a power of two per row."""
    largest = np.abs(rows).max(axis=-1, keepdims=True, initial=0.0)
    scale = np.ldexp(1.0, np.frexp(largest)[1])
    rest = np.ascontiguousarray(rows / scale)  # contiguous, or numpy leaves BLAS
    slices = []
    for _ in range(_SLICES):
        rest = rest * 2.0**bits
        whole = np.rint(rest)
        slices.append(whole)
        rest = rest - whole
    return slices, scale


def symmetric_eigen(matrices: Float64) -> tuple[Float64, Float64]:
    """Eigenvalues (descending) and eigenvectors (columns) of symmetric matrices (batch, n, n), by Jacobi.

    Round-robin order: every round turns n/2 disjoint planes at once; stops when every off-diagonal entry is
    negligible against its two diagonal entries' scale.
    """
    batch, n = matrices.shape[0], matrices.shape[-1]
    size = n + n % 2
    work = np.zeros((batch, size, size))
    work[:, :n, :n] = matrices
    vectors = np.broadcast_to(np.eye(size), work.shape).copy()
    for _ in range(_SWEEPS):
        if _is_diagonal(work):
            break
        players = np.arange(size)
        for _ in range(size - 1):
            _turn(work, vectors, players[: size // 2], players[size // 2 :][::-1])
            players = np.concatenate([players[:1], np.roll(players[1:], 1)])
    values = np.einsum("bii->bi", work)[:, :n].copy()
    order = np.argsort(-values, axis=1, kind="stable")
    sorted_values = np.take_along_axis(values, order, axis=1)
    return sorted_values, np.take_along_axis(vectors[:, :n, :n], order[:, None, :], axis=2)


def _is_diagonal(work: Float64) -> bool:
    diagonal = np.abs(np.einsum("bii->bi", work))
    scale = np.maximum(diagonal.max(axis=1, initial=0.0), np.finfo(np.float64).tiny)
    off = np.abs(work - np.einsum("bi,ij->bij", np.einsum("bii->bi", work), np.eye(work.shape[1])))
    return bool((off.max(axis=(1, 2), initial=0.0) <= _TOLERANCE * scale).all())


def _turn(work: Float64, vectors: Float64, first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
    """Zero the entries (first_i, second_i) by simultaneous plane rotations, in place."""
    a, b, off = work[:, first, first], work[:, second, second], work[:, first, second]
    active = off != 0
    tau = (b - a) / np.where(active, 2 * off, 1.0)
    bounded = np.clip(tau, -1e150, 1e150)
    tangent = np.where(tau < 0, -1.0, 1.0) / (np.abs(bounded) + np.sqrt(1.0 + bounded * bounded))
    tangent = np.where(active, tangent, 0.0)
    cosine = 1.0 / np.sqrt(1.0 + tangent * tangent)
    sine = tangent * cosine
    for array in (work, vectors):
        left, right = array[:, :, first], array[:, :, second]
        array[:, :, first] = left * cosine[:, None, :] - right * sine[:, None, :]
        array[:, :, second] = left * sine[:, None, :] + right * cosine[:, None, :]
    top, bottom = work[:, first, :], work[:, second, :]
    work[:, first, :] = top * cosine[:, :, None] - bottom * sine[:, :, None]
    work[:, second, :] = top * sine[:, :, None] + bottom * cosine[:, :, None]


def mix(rows: Float64, name: str) -> Float64:
    """rows · Q for a fixed public orthogonal Q of the last axis: random signs and Walsh–Hadamard transforms.

    It spreads entries that stick out over all columns, so that a coarse uniform grid suits every column.
    Widths that are no power of two take one transform at each end, with fresh signs.
    """
    width = rows.shape[-1]
    window = 1 << (width.bit_length() - 1)
    out = np.array(rows, dtype=np.float64, order="C").reshape(-1, width)
    starts = (0,) if window == width else (0, width - window)
    for i, start in enumerate(starts):
        hadamard_rows(out, _signs(f"mix {name} {i}", width), start, window)
    return np.asarray(out.reshape(rows.shape))


def _signs(name: str, size: int) -> Float64:
    seed = PROTOCOL_LABEL + b"|" + name.encode() + b"|" + str(size).encode()
    bits = np.frombuffer(hashlib.shake_256(seed).digest(size), dtype=np.uint8) & 1
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)
