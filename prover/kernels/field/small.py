"""Products of integer matrices with K vectors, streaming over the matrix once (protocol §6.2, §7).

Entries of 8 bits take the fast path: a Montgomery limb, centred, is two signed 16-bit digits, and the
processor multiplies 16 pairs of 16-bit numbers and adds them in twos in one instruction. Such a step adds
at most 2 * 2^7 * 2^15 = 2^23 to a 32-bit partial sum, so partial sums move to 64 bits after 128 steps. For entries
of 16 bits on a vector's right the digits have 8 bits, and there are two products. Wider entries, and 16-bit ones on
its left, are multiplied as residues, eight at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from huref.common.algebra.field import DEGREE, P
from huref.prover.kernels.field.field import (
    ONE_SQUARED,
    P64,
    U32,
    centred,
    check_k,
    madd,
    mmul,
    mreduce,
    to_mont,
)
from huref.prover.kernels.field.limbs import broadcast_column, lane_sums, load5, store5, vkadd5, zero5
from huref.prover.kernels.field.short_simd import (
    SHORT_LANES,
    horizontal,
    multiply_add,
    paired_shorts,
    repeated_pair,
    shorts16,
    zero8,
)
from huref.prover.kernels.field.simd import LANES, vmul, vresidues, vstore
from huref.prover.kernels.jit import frozen, helper, kernel
from huref.prover.kernels.mapped import row_parts
from huref.prover.kernels.threads import run_ranges

_DIGITS = 2 * DEGREE
_STEP = SHORT_LANES
_SPAN = 128 * _STEP
_ROW_BLOCK = 128
_MOST_COLUMNS = 1 << 22  # of a matrix of bytes: digit sums stay below 2^45
_BIAS = np.int64(P << 31)


@helper
def _joined(low: Any, high: Any) -> Any:
    """low + 2^16 high mod p of digit sums below 2^45."""
    return mmul(mreduce(np.uint64(low + (high << 16) + _BIAS)), ONE_SQUARED)


@kernel
def _bytes_matvec(out: Any, matrix: Any, flat: Any, start: int, stop: int) -> None:
    """out[:, row] = sum_j matrix[row, j] vector[:, j]; `matrix` and the vector's ten rows of digits flat."""
    n = flat.size // _DIGITS
    sums = np.empty(_DIGITS, dtype=np.int64)
    for row in range(start, stop):
        sums[:] = 0
        for first in range(0, n, _SPAN):
            last = min(n, first + _SPAN)
            whole = first + (last - first) // _STEP * _STEP
            t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = t8 = t9 = zero8()
            for j in range(first, whole, _STEP):
                x = shorts16(matrix, row * n + j)
                t0 = multiply_add(t0, x, shorts16(flat, j))
                t1 = multiply_add(t1, x, shorts16(flat, n + j))
                t2 = multiply_add(t2, x, shorts16(flat, 2 * n + j))
                t3 = multiply_add(t3, x, shorts16(flat, 3 * n + j))
                t4 = multiply_add(t4, x, shorts16(flat, 4 * n + j))
                t5 = multiply_add(t5, x, shorts16(flat, 5 * n + j))
                t6 = multiply_add(t6, x, shorts16(flat, 6 * n + j))
                t7 = multiply_add(t7, x, shorts16(flat, 7 * n + j))
                t8 = multiply_add(t8, x, shorts16(flat, 8 * n + j))
                t9 = multiply_add(t9, x, shorts16(flat, 9 * n + j))
            sums[0] += horizontal(t0)
            sums[1] += horizontal(t1)
            sums[2] += horizontal(t2)
            sums[3] += horizontal(t3)
            sums[4] += horizontal(t4)
            sums[5] += horizontal(t5)
            sums[6] += horizontal(t6)
            sums[7] += horizontal(t7)
            sums[8] += horizontal(t8)
            sums[9] += horizontal(t9)
            for d in range(_DIGITS):
                for j in range(whole, last):
                    sums[d] += np.int64(matrix[row * n + j]) * np.int64(flat[d * n + j])
        for limb in range(DEGREE):
            out[limb, row] = _joined(sums[2 * limb], sums[2 * limb + 1])


@kernel
def _shorts_vecmat(digits: Any, matrix: Any, n: int, start: int, stop: int) -> Any:
    """sum_i digits[d, i] matrix[i, j] over rows [start, stop), as int64 (10, n); `matrix` flat, bytes, or 16-bit
    entries and digits of 8 bits.
    """
    out = np.zeros((_DIGITS, n), dtype=np.int64)
    pairs = np.empty(_ROW_BLOCK * _DIGITS, dtype=np.int16)
    sums = np.empty(_DIGITS * 8, dtype=np.uint32)
    signed = sums.view(np.int32)
    whole = n // 8 * 8
    for top in range(start, stop, _ROW_BLOCK):
        bottom = min(stop, top + _ROW_BLOCK)
        count = (bottom - top) // 2
        if not digits[:, top:bottom].any():
            continue  # much of a vector may be zero
        for d in range(_DIGITS):
            for pair in range(count):
                at = 2 * (pair * _DIGITS + d)
                pairs[at] = digits[d, top + 2 * pair]
                pairs[at + 1] = digits[d, top + 2 * pair + 1]
        for j in range(0, whole, 8):
            t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = t8 = t9 = zero8()
            for pair in range(count):
                row = (top + 2 * pair) * n + j
                x = paired_shorts(matrix, row, row + n)
                at = 2 * pair * _DIGITS
                t0 = multiply_add(t0, x, repeated_pair(pairs, at))
                t1 = multiply_add(t1, x, repeated_pair(pairs, at + 2))
                t2 = multiply_add(t2, x, repeated_pair(pairs, at + 4))
                t3 = multiply_add(t3, x, repeated_pair(pairs, at + 6))
                t4 = multiply_add(t4, x, repeated_pair(pairs, at + 8))
                t5 = multiply_add(t5, x, repeated_pair(pairs, at + 10))
                t6 = multiply_add(t6, x, repeated_pair(pairs, at + 12))
                t7 = multiply_add(t7, x, repeated_pair(pairs, at + 14))
                t8 = multiply_add(t8, x, repeated_pair(pairs, at + 16))
                t9 = multiply_add(t9, x, repeated_pair(pairs, at + 18))
            vstore(sums, 0, t0)
            vstore(sums, 8, t1)
            vstore(sums, 16, t2)
            vstore(sums, 24, t3)
            vstore(sums, 32, t4)
            vstore(sums, 40, t5)
            vstore(sums, 48, t6)
            vstore(sums, 56, t7)
            vstore(sums, 64, t8)
            vstore(sums, 72, t9)
            for d in range(_DIGITS):
                for lane in range(8):
                    out[d, j + lane] += np.int64(signed[d * 8 + lane])
        for row in range(top, bottom):
            first = 0 if row == top + 2 * count else whole
            for d in range(_DIGITS):
                for j in range(first, n):
                    out[d, j] += np.int64(digits[d, row]) * np.int64(matrix[row * n + j])
    return out


@helper
def _residue(value: Any) -> Any:
    x = np.int64(value)
    return np.uint32(x + P if x < 0 else x)


@kernel
def _wide_matvec(out: Any, matrix: Any, vector: Any, start: int, stop: int) -> None:
    """out[:, row] = sum_j matrix[row, j] vector[:, j], `matrix` flat; the vector has an extra factor 2^32."""
    n = vector.shape[1]
    whole = n // LANES * LANES
    for row in range(start, stop):
        total = zero5()
        for j in range(0, whole, LANES):
            x, v = vresidues(matrix, row * n + j), load5(vector, j)
            product = (vmul(x, v[0]), vmul(x, v[1]), vmul(x, v[2]), vmul(x, v[3]), vmul(x, v[4]))
            total = vkadd5(total, product)
        sums = lane_sums(total)
        for limb in range(DEGREE):
            value = sums[limb]
            for j in range(whole, n):
                value = madd(value, mmul(_residue(matrix[row * n + j]), vector[limb, j]))
            out[limb, row] = value


@kernel
def _wide_vecmat(vector: Any, matrix: Any, n: int, start: int, stop: int) -> Any:
    """As `_wide_matvec` from the other side: (5, n), over rows [start, stop)."""
    out = np.zeros((DEGREE, n), dtype=np.uint32)
    whole = n // LANES * LANES
    for row in range(start, stop):
        if not vector[:, row].any():
            continue
        v = broadcast_column(vector, row)
        for j in range(0, whole, LANES):
            x = vresidues(matrix, row * n + j)
            product = (vmul(x, v[0]), vmul(x, v[1]), vmul(x, v[2]), vmul(x, v[3]), vmul(x, v[4]))
            store5(out, j, vkadd5(load5(out, j), product))
        for j in range(whole, n):
            for limb in range(DEGREE):
                product = mmul(_residue(matrix[row * n + j]), vector[limb, row])
                out[limb, j] = madd(out[limb, j], product)
    return out


@kernel
def _split(out: Any, vector: Any, start: int, stop: int) -> None:
    for limb in range(len(vector)):
        for i in range(start, stop):
            x = centred(vector[limb, i])
            low = np.int16(x)
            out[2 * limb, i] = low
            out[2 * limb + 1, i] = np.int16((x - np.int64(low)) >> 16)


def split_digits(vector: U32) -> npt.NDArray[np.int16]:
    """Two signed 16-bit digits per limb, (2l, n) of (l, n): limb = digit[2l] + 2^16 digit[2l+1] mod p."""
    limbs, count = vector.shape
    out = np.empty((2 * limbs, count), dtype=np.int16)
    run_ranges(_split, count, 1 << 14, out, vector)
    return out


def _shorter(digits: npt.NDArray[np.int16]) -> list[tuple[int, npt.NDArray[np.int16]]]:
    """Digits of 8 bits, from -128 to 128, with the shifts that make those of 16 bits of them."""
    low = ((digits + np.int16(128)) & np.int16(255)) - np.int16(128)
    return [(0, low), (8, (digits.astype(np.int32) - low >> 8).astype(np.int16))]


def _join_digits(sums: npt.NDArray[np.int64]) -> U32:
    pairs = np.mod(sums, P).reshape(DEGREE, 2, -1)
    return np.mod(pairs[:, 0] + (pairs[:, 1] << 16), P).astype(np.uint32)


def _checked(matrix: npt.NDArray[Any], vector: U32, axis: int) -> npt.NDArray[Any]:
    check_k(vector)
    if matrix.ndim != 2 or matrix.shape[axis] != vector.shape[1]:
        raise ValueError(f"a {matrix.shape} matrix does not fit a K vector of length {vector.shape[1]}")
    if matrix.dtype not in (np.int8, np.int16, np.int32, np.uint32):
        raise ValueError(f"entries must be int8, int16, int32 or canonical uint32, got {matrix.dtype}")
    contiguous = np.ascontiguousarray(matrix)  # a residue is below 2^31
    return frozen(contiguous.view(np.int32) if matrix.dtype == np.uint32 else contiguous)


def small_matvec(matrix: npt.NDArray[Any], vector: U32) -> U32:
    """Integer matrix (m, n) times K vector (5, n) Montgomery: (5, m) Montgomery.

    Entries are int8, int16, int32 (above -p) or canonical uint32, all as plain integers.
    """
    data = _checked(matrix, vector, 1)
    rows, columns = data.shape
    grain = max(1, (1 << 16) // max(1, columns))
    out = np.empty((DEGREE, rows), dtype=np.uint32)
    if data.dtype == np.int8:
        if columns > _MOST_COLUMNS:
            raise ValueError(f"rows of {columns} entries are too long")
        arguments = out, data.reshape(-1), split_digits(vector).reshape(-1)
        for low, high in row_parts(matrix):
            run_ranges(_bytes_matvec, high - low, grain, *arguments, align=1, first=low)
    else:
        run_ranges(_wide_matvec, rows, grain, out, data.reshape(-1), to_mont(vector), align=1)
    return out


def small_vecmat(vector: U32, matrix: npt.NDArray[Any]) -> U32:
    """K vector (5, m) Montgomery times integer matrix (m, n): (5, n), entries as for `small_matvec`."""
    data = _checked(matrix, vector, 0)
    rows, columns = data.shape
    grain = max(_ROW_BLOCK, (1 << 16) // max(1, columns))
    if data.dtype.itemsize < 4:
        digits, total = split_digits(vector), np.zeros((_DIGITS, columns), np.int64)
        for shift, own in [(0, digits)] if data.dtype == np.int8 else _shorter(digits):
            for low, high in row_parts(matrix):
                given = own, data.reshape(-1), columns
                parts = run_ranges(_shorts_vecmat, high - low, grain, *given, first=low)
                total += np.sum(parts, axis=0) << shift
        return _join_digits(total)
    parts = run_ranges(_wide_vecmat, rows, grain, to_mont(vector), data.reshape(-1), columns)
    return (np.stack(parts).sum(axis=0, dtype=np.uint64) % P64).astype(np.uint32)
