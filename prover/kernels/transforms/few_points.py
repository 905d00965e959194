"""Values of polynomials with small integer coefficients at a few points, as integer products (protocol §4, §7.5).

Column c of a matrix U of bytes is a polynomial. With a stride M = 2^m,

    f(x) = Σ_{i < M} x^i · (Σ_j v^j · U[i + j·M, c]),   v = x^M,

and among the points of a code few values of v differ: 2^(a-m) per coset. The inner sums are products of two signed
16-bit digits of v^j with bytes, exact in 32 bits; only the M folded rows meet arithmetic mod p. The stride is the
one with the least work. Wider entries are taken as four signed bytes side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from huref.circuits.argument.opening import vandermonde
from huref.common.algebra.field import FArray, P, fadd, fmul, fpow
from huref.prover.kernels.field.field import mmul, to_mont
from huref.prover.kernels.field.short_simd import (
    multiply_add4,
    paired_shorts,
    repeated_pair,
    shorts16,
    store16,
    zero8,
)
from huref.prover.kernels.field.simd import vadd, vbroadcast, vdot2, vload, vmul, vstore, vsub
from huref.prover.kernels.field.small import split_digits
from huref.prover.kernels.jit import frozen, helper, kernel
from huref.prover.kernels.mapped import strided_parts
from huref.prover.kernels.threads import run_ranges
from huref.prover.kernels.transforms.ntt import power

_TILE = 32  # columns whose sums stay in registers, for two values of v
_MOST_TERMS = 400  # of 2^7 · 2^15 at most: their sum stays below p
_MOST_POINTS = 256
_PART_BYTES = 1 << 28  # of a mapped matrix, that are read before their pages are given back
_SHIFT = np.uint32(to_mont(np.array(1 << 16, dtype=np.uint64)))


@helper
def _residues(low: Any, high: Any) -> Any:
    """low + 2^16·high mod p of signed words in (-p, p)."""
    zero = vbroadcast(np.uint32(0))
    return vadd(vsub(low, zero), vmul(vsub(high, zero), vbroadcast(_SHIFT)))


@helper
def _fold_tile(
    folded: Any, to: int, wide: Any, at: int, step: int, digits: Any, row: int, terms: int
) -> None:
    """The inner sums of 32 columns for the two v whose four rows of digits start at `row`, to (2, 32) at `to`."""
    a = b = c = d = (zero8(), zero8(), zero8(), zero8())
    for j in range(row, row + terms, 2):
        x = shorts16(wide, at), shorts16(wide, at + 16), shorts16(wide, at + 32), shorts16(wide, at + 48)
        a = multiply_add4(a, x, repeated_pair(digits, j))
        b = multiply_add4(b, x, repeated_pair(digits, j + terms))
        c = multiply_add4(c, x, repeated_pair(digits, j + 2 * terms))
        d = multiply_add4(d, x, repeated_pair(digits, j + 3 * terms))
        at += step
    for k in range(4):
        vstore(folded, to + 8 * k, _residues(a[k], b[k]))
        vstore(folded, to + _TILE + 8 * k, _residues(c[k], d[k]))


@helper
def _widen(wide: Any, to: int, matrix: Any, columns: int, row: int, other: int) -> None:
    """Two rows of the flat matrix, interleaved; zeros for rows past its end."""
    rows = matrix.size // columns
    whole = columns // 8 * 8 if other < rows else 0
    for c in range(0, whole, 8):
        store16(wide, to + 2 * c, paired_shorts(matrix, row * columns + c, other * columns + c))
    for c in range(whole, columns):
        wide[to + 2 * c] = matrix[row * columns + c] if row < rows else 0
        wide[to + 2 * c + 1] = matrix[other * columns + c] if other < rows else 0


@kernel
def _values(
    matrix: Any, columns: int, stride: int, digits: Any, terms: int, first_point: Any, points: Any, weights: Any,
    start: int, stop: int,
) -> Any:  # fmt: skip
    """Σ over i in [start, stop) of weight·x^i·(inner sum i): plain (points, columns filled up to tiles).

    Two i go together, so that their products are reduced once.
    """
    padded = -(-columns // _TILE) * _TILE
    out = np.zeros((len(points), padded), dtype=np.uint32)
    sums = out.reshape(-1)
    wide = np.zeros(2 * terms * padded, dtype=np.int16)  # pairs of rows j, interleaved, of i and of i + 1
    folded = np.empty(4 * _TILE, dtype=np.uint32)
    factors = np.empty((2, len(points)), dtype=np.uint32)
    for t in range(len(points)):
        factors[0, t] = mmul(weights[t], power(points[t], start))
    for i in range(start, stop, 2):
        for t in range(len(points)):
            factors[1, t] = mmul(factors[0, t], points[t]) if i + 1 < stop else 0
        for j in range(0, terms, 2):
            for k in range(2):
                row = i + k + j * stride
                _widen(wide, (k * terms + j) * padded, matrix, columns, row, row + stride)
        for column in range(0, padded, _TILE):
            for v in range(0, len(first_point) - 1, 2):
                for k in range(2):
                    at = 2 * column + k * terms * padded
                    _fold_tile(folded, 2 * k * _TILE, wide, at, 2 * padded, digits, 2 * v * terms, terms)
                for half in range(2):
                    for t in range(first_point[v + half], first_point[v + half + 1]):
                        w0, w1 = vbroadcast(factors[0, t]), vbroadcast(factors[1, t])
                        at = t * padded + column
                        for lane in range(0, _TILE, 8):
                            place = half * _TILE + lane
                            x = vdot2(vload(folded, place), vload(folded, place + 2 * _TILE), w0, w1)
                            vstore(sums, at + lane, vadd(vload(sums, at + lane), x))
        for t in range(len(points)):
            factors[0, t] = mmul(factors[1, t], points[t])
    return out


def _stride(rows: int, points: FArray) -> tuple[int, FArray]:
    """The stride with the least work, and x^stride per point. Work in vector operations per 8 columns."""
    best: tuple[int, int, FArray] | None = None
    stride, v = 1, points
    while best is None or stride < 2 * rows:
        if -(-rows // stride) <= _MOST_TERMS:
            values = len(np.unique(v))
            work = 2 * values * -(-rows // stride) * stride + (20 * values + 9 * len(points)) * stride
            if best is None or work < best[0]:
                best = work, stride, v
        stride, v = 2 * stride, fmul(v, v)
    return best[1:]


def evaluate_bytes(matrix: npt.NDArray[np.int8], points: FArray, weights: FArray) -> FArray:
    """weights[t]·Σ_r points[t]^r·matrix[r]: int8 (rows, w) and canonical (t,), (t,) to (t, w), t of at least 1."""
    stride, v = _stride(len(matrix), points)
    order = np.argsort(v, kind="stable")
    values, counts = np.unique(v, return_counts=True)
    if len(values) % 2:  # they go in twos, the last without points
        values, counts = np.append(values, np.uint64(0)), np.append(counts, 0)
    first_point = np.concatenate([[0], np.cumsum(counts)])
    terms = -(-len(matrix) // stride)
    terms += terms % 2
    digits = split_digits(vandermonde(values, terms).astype(np.uint32)).reshape(-1)
    total = np.zeros((len(points), matrix.shape[1]), np.uint64)
    for low, high in strided_parts(matrix, stride, _PART_BYTES):
        parts = run_ranges(
            _values, high - low, 16, frozen(np.ascontiguousarray(matrix[low:]).reshape(-1)), matrix.shape[1], stride,
            digits, terms, first_point, to_mont(points[order]), to_mont(fmul(weights, fpow(points, low))[order]),
            align=1,
        )  # fmt: skip
        total += np.stack(parts).sum(axis=0, dtype=np.uint64)[:, : matrix.shape[1]] % np.uint64(P)
    out = np.empty_like(total)
    out[order] = total % np.uint64(P)
    return out


def _signed_bytes(matrix: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    """(rows, 4w) bytes b with matrix = Σ_d 2^(8d)·b[:, d::4], for 32-bit words of entries in (-p, p)."""
    words = matrix.astype(np.int32, order="C")
    words += 0x808080
    words ^= 0x808080
    return words.view(np.int8).reshape(len(matrix), -1)


def evaluate_integers(segments: Sequence[npt.NDArray[Any]], points: FArray) -> FArray:
    """Σ_r points[t]^r·row r of the stacked segments (rows, w) with entries in (-p, p): canonical (t, w)."""
    total = np.zeros((len(points), segments[0].shape[1]), np.uint64)
    row = 0
    for segment in segments:
        if segment.dtype == np.int8:
            total = fadd(total, evaluate_bytes(segment, points, fpow(points, row)))
        elif len(segment):
            values = evaluate_bytes(_signed_bytes(segment), points, fpow(points, row))
            for digit in range(4):
                total = fadd(total, fmul(values[:, digit::4], np.uint64(1 << 8 * digit)))
        row += len(segment)
    return total


def suits_integers(segments: Sequence[npt.NDArray[Any]], points: int) -> bool:
    """Whether `evaluate_integers` is quicker than transforms: few points, and mostly bytes."""
    return 0 < points <= _MOST_POINTS and sum(s.nbytes for s in segments) <= 2 * sum(s.size for s in segments)
