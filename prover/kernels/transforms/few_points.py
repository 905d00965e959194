"""Values of polynomials with small integer coefficients at a few points, as integer products (protocol §4, §7.5).

Column c of a matrix U of bytes is a polynomial. With a stride M = 2^m,

    f(x) = Σ_{i < M} x^i · (Σ_j v^j · U[i + j·M, c]),   v = x^M.

The inner sums are products of two signed 16-bit digits with bytes, exact in 32 bits, and small transforms of them
(`few_points_plan`); only the folded rows meet arithmetic mod p. Wider entries are taken as four signed bytes side by
side.
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
from huref.prover.kernels.jit import bare_helper, frozen, helper, kernel
from huref.prover.kernels.mapped import strided_parts
from huref.prover.kernels.threads import run_ranges
from huref.prover.kernels.transforms.few_points_plan import plan_points
from huref.prover.kernels.transforms.ntt import power

_TILE = 32  # columns whose sums stay in registers, for two values of v
_MOST_POINTS = 256
_PART_BYTES = 1 << 28  # of a mapped matrix, that are read before their pages are given back
_SHIFT = np.uint32(to_mont(np.array(1 << 16, dtype=np.uint64)))


@helper
def _residues(low: Any, high: Any) -> Any:
    """low + 2^16·high mod p of signed words in (-p, p)."""
    zero = vbroadcast(np.uint32(0))
    return vadd(vsub(low, zero), vmul(vsub(high, zero), vbroadcast(_SHIFT)))


@bare_helper
def _fold_tile(
    sums: Any, first: int, second: int, wide: Any, at: int, digits: Any, row: int, length: int, count: int,
) -> None:  # fmt: skip
    """`count` rows of 32 columns times the digits of two g, the first's from `row` on in two of rows of `length`; sums
    mod p to `first` and `second`.
    """
    a = b = c = d = (zero8(), zero8(), zero8(), zero8())
    for j in range(row, row + count, 2):
        x = shorts16(wide, at), shorts16(wide, at + 16), shorts16(wide, at + 32), shorts16(wide, at + 48)
        a = multiply_add4(a, x, repeated_pair(digits, j))
        b = multiply_add4(b, x, repeated_pair(digits, j + length))
        c = multiply_add4(c, x, repeated_pair(digits, j + 2 * length))
        d = multiply_add4(d, x, repeated_pair(digits, j + 3 * length))
        at += 2 * _TILE
    for k in range(4):
        vstore(sums, first + 8 * k, _residues(a[k], b[k]))
        vstore(sums, second + 8 * k, _residues(c[k], d[k]))


@bare_helper
def _transform(sums: Any, at: int, order: int, twiddles: Any) -> None:
    """In place from `at` on, `order` rows of 32 columns: S_r to Σ_r ζ^(e·r)·S_r, e in bit-reversed order.

    Orders are so small that factors of one count: those of `ntt`, which multiply by them, take longer here.
    """
    half = order // 2
    while half:
        for start in range(0, order, 2 * half):
            for k in range(half):
                w = vbroadcast(twiddles[k * (order // (2 * half))])
                low = at + (start + k) * _TILE
                high = low + half * _TILE
                for lane in range(0, _TILE, 8):
                    x, y = vload(sums, low + lane), vload(sums, high + lane)
                    vstore(sums, low + lane, vadd(x, y))
                    y = vsub(x, y)
                    vstore(sums, high + lane, vmul(y, w) if k else y)
        half //= 2


@bare_helper
def _widen(wide: Any, pair: int, pairs: int, matrix: Any, columns: int, row: int, other: int) -> None:
    """Two rows of the flat matrix, interleaved, to pair number `pair` of every tile; zeros for rows past its end."""
    rows = matrix.size // columns
    whole = columns // 8 * 8 if other < rows else 0
    for c in range(0, whole, 8):
        to = (c // _TILE * pairs + pair) * 2 * _TILE + c % _TILE * 2
        store16(wide, to, paired_shorts(matrix, row * columns + c, other * columns + c))
    for c in range(whole, columns):
        to = (c // _TILE * pairs + pair) * 2 * _TILE + c % _TILE * 2
        wide[to] = matrix[row * columns + c] if row < rows else 0
        wide[to + 1] = matrix[other * columns + c] if other < rows else 0


@kernel
def _values(
    matrix: Any, columns: int, stride: int, order: int, digits: Any, terms: int, twiddles: Any, first_point: Any,
    points: Any, weights: Any, start: int, stop: int,
) -> Any:  # fmt: skip
    """Σ over i in [start, stop) of weight·x^i·(inner sum i): plain (points, columns filled up to tiles).

    Two i go together, so that their products are reduced once.
    """
    padded, length = -(-columns // _TILE) * _TILE, order * terms
    out = np.zeros((len(points), padded), dtype=np.uint32)
    total = out.reshape(-1)
    wide = np.zeros(
        2 * length * padded, dtype=np.int16
    )  # by tiles, pairs of rows, interleaved, of i and i + 1
    sums = np.empty(4 * order * _TILE, dtype=np.uint32)  # of i and i + 1, each for two groups
    factors = np.empty((2, len(points)), dtype=np.uint32)
    for t in range(len(points)):
        factors[0, t] = mmul(weights[t], power(points[t], start))
    for i in range(start, stop, 2):
        for t in range(len(points)):
            factors[1, t] = mmul(factors[0, t], points[t]) if i + 1 < stop else 0
        for k in range(2):
            for r in range(order):
                for q in range(0, terms, 2):
                    row = i + k + (r + order * q) * stride
                    pair = (k * length + r * terms + q) // 2
                    _widen(wide, pair, length, matrix, columns, row, row + order * stride)
        for column in range(0, padded, _TILE):
            for group in range(0, (len(first_point) - 1) // order, 2):
                for k in range(2):
                    for r in range(order):
                        to = (2 * k * order + r) * _TILE
                        at = 2 * column * length + (k * length + r * terms) * _TILE
                        row = 2 * group * length + r * terms
                        _fold_tile(sums, to, to + order * _TILE, wide, at, digits, row, length, terms)
                for half in range(2):
                    slot = (group + half) * order
                    if first_point[slot] == first_point[slot + order]:
                        continue
                    at, other = half * order * _TILE, (2 + half) * order * _TILE
                    if order > 1:
                        _transform(sums, at, order, twiddles)
                        _transform(sums, other, order, twiddles)
                    for p in range(order):
                        for t in range(first_point[slot + p], first_point[slot + p + 1]):
                            w0, w1 = vbroadcast(factors[0, t]), vbroadcast(factors[1, t])
                            to, place = t * padded + column, p * _TILE
                            for lane in range(0, _TILE, 8):
                                x0, x1 = vload(sums, at + place + lane), vload(sums, other + place + lane)
                                vstore(total, to + lane, vadd(vload(total, to + lane), vdot2(x0, x1, w0, w1)))
        for t in range(len(points)):
            factors[0, t] = mmul(factors[1, t], points[t])
    return out


def evaluate_bytes(matrix: npt.NDArray[np.int8], points: FArray, weights: FArray) -> FArray:
    """weights[t]·Σ_r points[t]^r·matrix[r]: int8 (rows, w) and canonical (t,), (t,) to (t, w), t of at least 1."""
    plan = plan_points(len(matrix), points)
    stride, order, terms = plan.stride, plan.order, plan.terms(len(matrix))
    powers = vandermonde(plan.groups, order * terms).reshape(-1, terms, order).swapaxes(1, 2)
    digits = split_digits(powers.reshape(len(plan.groups), -1).astype(np.uint32)).reshape(-1)
    ordered, twiddles = to_mont(points[plan.points]), to_mont(plan.twiddles())
    total = np.zeros((len(points), matrix.shape[1]), np.uint64)
    for low, high in strided_parts(matrix, stride, _PART_BYTES):
        flat = np.ascontiguousarray(matrix[low:]).reshape(-1)
        own = to_mont(fmul(weights, fpow(points, low))[plan.points])
        parts = run_ranges(
            _values, high - low, 16,
            frozen(flat), matrix.shape[1], stride, order, digits, terms, twiddles, plan.first_point, ordered, own,
            align=1,
        )  # fmt: skip
        total += np.stack(parts).sum(axis=0, dtype=np.uint64)[:, : matrix.shape[1]] % np.uint64(P)
    out = np.empty_like(total)
    out[plan.points] = total % np.uint64(P)
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
        if not len(segment):
            continue
        if segment.dtype == np.int8:
            total = fadd(total, evaluate_bytes(segment, points, fpow(points, row)))
        else:
            values = evaluate_bytes(_signed_bytes(segment), points, fpow(points, row))
            for digit in range(4):
                total = fadd(total, fmul(values[:, digit::4], np.uint64(1 << 8 * digit)))
        row += len(segment)
    return total


def suits_integers(segments: Sequence[npt.NDArray[Any]], points: int) -> bool:
    """Whether `evaluate_integers` is quicker than transforms: few points, and mostly bytes."""
    return 0 < points <= _MOST_POINTS and sum(s.nbytes for s in segments) <= 2 * sum(s.size for s in segments)
