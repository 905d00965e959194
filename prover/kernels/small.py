"""Products of integer matrices with K vectors, streaming over the matrix once (protocol §6.2, §7).

Entries of 8 bits take the fast path: a Montgomery limb, centred, is two signed 16-bit digits, and the
processor multiplies 16 pairs of 16-bit numbers and adds them in twos in one instruction. Such a step adds
at most 2 * 2^7 * 2^15 = 2^23 to a 32-bit partial sum, so partial sums move to 64 bits after 128 steps. Wider
entries are multiplied as residues, and the halves of the 64-bit products are summed apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core.datamodel import models
from numba.extending import register_model

from common.field import DEGREE, P
from prover.kernels.field import P64, U32, check_k
from prover.kernels.simd import V8, intrinsic, vstore
from prover.kernels.threads import run_ranges

_DIGITS = 2 * DEGREE
_STEP = 16
_SPAN = 128 * _STEP
_ROW_BLOCK = 128
_I32 = ir.IntType(32)
_BYTES16 = ir.VectorType(ir.IntType(8), 16)
_BYTES8 = ir.VectorType(ir.IntType(8), 8)
_SHORTS = ir.VectorType(ir.IntType(16), 16)
_WIDE = ir.VectorType(_I32, 16)
_WORDS = ir.VectorType(_I32, 8)


class _ShortsType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="V16i16")


_V16 = _ShortsType()


@register_model(_ShortsType)
class _ShortsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _SHORTS)


def _order(lanes: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)


def _load(context: Any, b: Any, kind: Any, array: Any, index: Any, vector: Any) -> Any:
    data = context.make_array(kind)(context, b, array).data
    size = vector.element.width // 8
    return b.load(b.bitcast(b.gep(data, [index]), vector.as_pointer()), align=size)


@intrinsic
def _bytes(typing_context: Any, array: Any, index: Any) -> Any:
    """16 entries of an int8 array."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return b.sext(_load(context, b, signature.args[0], args[0], args[1], _BYTES16), _SHORTS)

    return _V16(array, types.int64), codegen


@intrinsic
def _paired_bytes(typing_context: Any, array: Any, first: Any, second: Any) -> Any:
    """8 entries from `first` on and 8 from `second` on, interleaved."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        x = _load(context, b, signature.args[0], args[0], args[1], _BYTES8)
        y = _load(context, b, signature.args[0], args[0], args[2], _BYTES8)
        order = _order([lane for i in range(8) for lane in (i, 8 + i)])
        return b.sext(b.shuffle_vector(x, y, order), _SHORTS)

    return _V16(array, types.int64, types.int64), codegen


@intrinsic
def _shorts(typing_context: Any, array: Any, index: Any) -> Any:
    """16 entries of an int16 array."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return _load(context, b, signature.args[0], args[0], args[1], _SHORTS)

    return _V16(array, types.int64), codegen


@intrinsic
def _multiply_add(typing_context: Any, total: Any, x: Any, y: Any) -> Any:
    """total[i] + x[2i] y[2i] + x[2i+1] y[2i+1], on 32-bit signed lanes."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        product = b.mul(b.sext(args[1], _WIDE), b.sext(args[2], _WIDE))
        even = b.shuffle_vector(product, product, _order(list(range(0, 16, 2))))
        odd = b.shuffle_vector(product, product, _order(list(range(1, 16, 2))))
        return b.add(args[0], b.add(even, odd))

    return V8(V8, _V16, _V16), codegen


@intrinsic
def _zero(typing_context: Any) -> Any:
    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(_WORDS, [0] * 8)

    return V8(), codegen


@intrinsic
def _horizontal(typing_context: Any, x: Any) -> Any:
    """The sum of the eight signed lanes, as int64."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        wide = b.sext(args[0], ir.VectorType(ir.IntType(64), 8))
        kind = ir.FunctionType(ir.IntType(64), [wide.type])
        reduce = b.module.declare_intrinsic("llvm.vector.reduce.add.v8i64", (), kind)
        return b.call(reduce, [wide])

    return types.int64(V8), codegen


@njit(cache=True, nogil=True)
def _bytes_matvec(out: Any, matrix: Any, flat: Any, start: int, stop: int) -> None:
    """out[d, row] += sum_j matrix[row, j] digits[d, j]; `matrix` and the ten rows of digits flat."""
    n = flat.size // _DIGITS
    for row in range(start, stop):
        for first in range(0, n, _SPAN):
            last = min(n, first + _SPAN)
            whole = first + (last - first) // _STEP * _STEP
            t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = t8 = t9 = _zero()
            for j in range(first, whole, _STEP):
                x = _bytes(matrix, row * n + j)
                t0 = _multiply_add(t0, x, _shorts(flat, j))
                t1 = _multiply_add(t1, x, _shorts(flat, n + j))
                t2 = _multiply_add(t2, x, _shorts(flat, 2 * n + j))
                t3 = _multiply_add(t3, x, _shorts(flat, 3 * n + j))
                t4 = _multiply_add(t4, x, _shorts(flat, 4 * n + j))
                t5 = _multiply_add(t5, x, _shorts(flat, 5 * n + j))
                t6 = _multiply_add(t6, x, _shorts(flat, 6 * n + j))
                t7 = _multiply_add(t7, x, _shorts(flat, 7 * n + j))
                t8 = _multiply_add(t8, x, _shorts(flat, 8 * n + j))
                t9 = _multiply_add(t9, x, _shorts(flat, 9 * n + j))
            out[0, row] += _horizontal(t0)
            out[1, row] += _horizontal(t1)
            out[2, row] += _horizontal(t2)
            out[3, row] += _horizontal(t3)
            out[4, row] += _horizontal(t4)
            out[5, row] += _horizontal(t5)
            out[6, row] += _horizontal(t6)
            out[7, row] += _horizontal(t7)
            out[8, row] += _horizontal(t8)
            out[9, row] += _horizontal(t9)
            for d in range(_DIGITS):
                for j in range(whole, last):
                    out[d, row] += np.int64(matrix[row * n + j]) * np.int64(flat[d * n + j])


@njit(cache=True, nogil=True)
def _bytes_vecmat(digits: Any, matrix: Any, n: int, start: int, stop: int) -> Any:
    """sum_i digits[d, i] matrix[i, j] over rows [start, stop), as int64 (10, n); `matrix` flat."""
    out = np.zeros((_DIGITS, n), dtype=np.int64)
    pairs = np.zeros(_ROW_BLOCK // 2 * _DIGITS * _STEP, dtype=np.int16)
    sums = np.empty(_DIGITS * 8, dtype=np.uint32)
    signed = sums.view(np.int32)
    whole = n // 8 * 8
    for top in range(start, stop, _ROW_BLOCK):
        bottom = min(stop, top + _ROW_BLOCK)
        count = (bottom - top) // 2
        for pair in range(count):
            for d in range(_DIGITS):
                for lane in range(0, _STEP, 2):
                    at = (pair * _DIGITS + d) * _STEP + lane
                    pairs[at] = digits[d, top + 2 * pair]
                    pairs[at + 1] = digits[d, top + 2 * pair + 1]
        for j in range(0, whole, 8):
            t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = t8 = t9 = _zero()
            for pair in range(count):
                row = (top + 2 * pair) * n + j
                x = _paired_bytes(matrix, row, row + n)
                at = pair * _DIGITS * _STEP
                t0 = _multiply_add(t0, x, _shorts(pairs, at))
                t1 = _multiply_add(t1, x, _shorts(pairs, at + 16))
                t2 = _multiply_add(t2, x, _shorts(pairs, at + 32))
                t3 = _multiply_add(t3, x, _shorts(pairs, at + 48))
                t4 = _multiply_add(t4, x, _shorts(pairs, at + 64))
                t5 = _multiply_add(t5, x, _shorts(pairs, at + 80))
                t6 = _multiply_add(t6, x, _shorts(pairs, at + 96))
                t7 = _multiply_add(t7, x, _shorts(pairs, at + 112))
                t8 = _multiply_add(t8, x, _shorts(pairs, at + 128))
                t9 = _multiply_add(t9, x, _shorts(pairs, at + 144))
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


@njit(cache=True)
def _residue(value: Any) -> Any:
    x = np.int64(value)
    return np.uint64(x + P if x < 0 else x)


@njit(cache=True, nogil=True)
def _wide_matvec(out: Any, matrix: Any, vector: Any, start: int, stop: int) -> None:
    """Low and high halves of the products, summed apart: out (2, 5, m), `matrix` (m, n)."""
    n = vector.shape[1]
    mask = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    for row in range(start, stop):
        for limb in range(DEGREE):
            low = high = np.uint64(0)
            for j in range(n):
                t = _residue(matrix[row, j]) * np.uint64(vector[limb, j])
                low += t & mask
                high += t >> shift
            out[0, limb, row] = low
            out[1, limb, row] = high


@njit(cache=True, nogil=True)
def _wide_vecmat(vector: Any, matrix: Any, start: int, stop: int) -> Any:
    """As `_wide_matvec` from the other side: (2, 5, n), over rows [start, stop)."""
    n = matrix.shape[1]
    out = np.zeros((2, DEGREE, n), dtype=np.uint64)
    mask = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    for row in range(start, stop):
        for limb in range(DEGREE):
            factor = np.uint64(vector[limb, row])
            for j in range(n):
                t = _residue(matrix[row, j]) * factor
                out[0, limb, j] += t & mask
                out[1, limb, j] += t >> shift
    return out


def _split(vector: U32) -> npt.NDArray[np.int16]:
    """Two signed 16-bit digits per limb, (10, n): limb = digit[2l] + 2^16 digit[2l+1] mod p."""
    centred = vector.astype(np.int64)
    centred[centred > (P - 1) // 2] -= P
    low = ((centred + (1 << 15)) & 0xFFFF) - (1 << 15)
    high = (centred - low) >> 16
    return np.ascontiguousarray(np.stack([low, high], axis=1).reshape(_DIGITS, -1).astype(np.int16))


def _join_digits(sums: npt.NDArray[np.int64]) -> U32:
    pairs = np.mod(sums, P).reshape(DEGREE, 2, -1)
    return np.mod(pairs[:, 0] + (pairs[:, 1] << 16), P).astype(np.uint32)


def _join_halves(sums: npt.NDArray[np.uint64]) -> U32:
    high = sums[1] % P64 * np.uint64((1 << 32) % P) % P64
    return ((sums[0] % P64 + high) % P64).astype(np.uint32)


def _checked(matrix: npt.NDArray[Any], vector: U32, axis: int) -> npt.NDArray[Any]:
    check_k(vector)
    if matrix.ndim != 2 or matrix.shape[axis] != vector.shape[1]:
        raise ValueError(f"a {matrix.shape} matrix does not fit a K vector of length {vector.shape[1]}")
    if matrix.dtype not in (np.int8, np.int16, np.int32, np.uint32):
        raise ValueError(f"entries must be int8, int16, int32 or canonical uint32, got {matrix.dtype}")
    return np.ascontiguousarray(matrix)


def small_matvec(matrix: npt.NDArray[Any], vector: U32) -> U32:
    """Integer matrix (m, n) times K vector (5, n) Montgomery: (5, m) Montgomery.

    Entries are int8, int16, int32 (above -p) or canonical uint32, all as plain integers.
    """
    data = _checked(matrix, vector, 1)
    rows, columns = data.shape
    grain = max(1, (1 << 16) // max(1, columns))
    if data.dtype == np.int8:
        sums = np.zeros((_DIGITS, rows), dtype=np.int64)
        run_ranges(_bytes_matvec, rows, grain, sums, data.reshape(-1), _split(vector).reshape(-1), align=1)
        return _join_digits(sums)
    halves = np.zeros((2, DEGREE, rows), dtype=np.uint64)
    run_ranges(_wide_matvec, rows, grain, halves, data, np.ascontiguousarray(vector), align=1)
    return _join_halves(halves)


def small_vecmat(vector: U32, matrix: npt.NDArray[Any]) -> U32:
    """K vector (5, m) Montgomery times integer matrix (m, n): (5, n), entries as for `small_matvec`."""
    data = _checked(matrix, vector, 0)
    rows, columns = data.shape
    grain = max(_ROW_BLOCK, (1 << 16) // max(1, columns))
    if data.dtype == np.int8:
        parts = run_ranges(_bytes_vecmat, rows, grain, _split(vector), data.reshape(-1), columns)
        return _join_digits(np.sum(parts, axis=0))
    halves = run_ranges(_wide_vecmat, rows, grain, np.ascontiguousarray(vector), data)
    return _join_halves(np.sum(halves, axis=0))
