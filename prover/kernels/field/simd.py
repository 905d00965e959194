"""Eight 32-bit residues in one vector register, as a numba type, and field arithmetic on it.

Auto-vectorisation gives up on kernels that touch many arrays, so the kernels that matter are written with
`V8` values: `vload`, `vstore`, `vbroadcast`, `vadd`, `vsub` and `vmul` (Montgomery product); `limbs` has elements
of K. The intrinsics emit generic LLVM vector code, so they also compile where AVX2 is missing. Products use the even
and odd lanes as two vectors of 64-bit words, which is what the hardware multiplies.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.datamodel import models
from numba.extending import intrinsic as _intrinsic
from numba.extending import register_model

from huref.common.algebra.field import P

LANES = 8

intrinsic: Any = _intrinsic  # its declared type keeps the typing-context argument that callers do not pass

I32 = ir.IntType(32)
I64 = ir.IntType(64)
V32 = ir.VectorType(I32, LANES)
V64 = ir.VectorType(I64, LANES // 2)
_MU = pow(P, -1, 1 << 32)


class _V8Type(types.Type):
    def __init__(self) -> None:
        super().__init__(name="V8")


V8 = _V8Type()


@register_model(_V8Type)
class _V8Model(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, V32)


def constant(value: int, vector: ir.VectorType = V32) -> ir.Constant:
    return ir.Constant(vector, [value] * vector.count)


def smaller(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    return b.select(b.icmp_unsigned("<", x, y), x, y)


def add_lanes(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    total = b.add(x, y)
    return smaller(b, total, b.sub(total, constant(P)))


def subtract_lanes(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    total = b.sub(x, y)
    return smaller(b, total, b.add(total, constant(P)))


def _low(b: ir.IRBuilder, x: Any) -> Any:
    """The low 32 bits of each 64-bit word, zero-extended."""
    return b.and_(x, constant(0xFFFFFFFF, V64))


def _odd(b: ir.IRBuilder, x: Any) -> Any:
    """The odd lanes of a vector of 32-bit lanes, as 64-bit words."""
    return b.lshr(b.bitcast(x, V64), constant(32, V64))


def signed_words(b: ir.IRBuilder, x: Any) -> Any:
    """The low 32 bits of each 64-bit word, sign-extended."""
    shift = constant(32, V64)
    return b.ashr(b.shl(x, shift), shift)


def high_lanes(b: ir.IRBuilder, even: Any, odd: Any) -> Any:
    """Interleave the high halves of the words of `even` and `odd`."""
    order = [lane for i in range(LANES // 2) for lane in (2 * i + 1, LANES + 2 * i + 1)]
    mask = ir.Constant(V32, order)
    return b.shuffle_vector(b.bitcast(even, V32), b.bitcast(odd, V32), mask)


def quotient_times_p(b: ir.IRBuilder, t: Any) -> Any:
    """q * p with q = (t * p^-1 mod 2^32), whose low half equals that of t."""
    q = b.mul(b.bitcast(t, V32), constant(_MU))  # the odd lanes mean nothing
    return b.mul(_low(b, b.bitcast(q, V64)), constant(P, V64))


def _reduced(b: ir.IRBuilder, even: Any, odd: Any) -> Any:
    """Words below p * 2^32 over 2^32 mod p: both high halves are below p."""
    quotients = high_lanes(b, quotient_times_p(b, even), quotient_times_p(b, odd))
    return subtract_lanes(b, high_lanes(b, even, odd), quotients)


def _mul(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    even = b.mul(_low(b, b.bitcast(x, V64)), _low(b, b.bitcast(y, V64)))
    odd = b.mul(_odd(b, x), _odd(b, y))
    return _reduced(b, even, odd)


def splat(b: ir.IRBuilder, scalar: Any) -> Any:
    undefined = ir.Constant(V32, ir.Undefined)
    first = b.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return b.shuffle_vector(first, undefined, constant(0))


def flat_pointer(context: Any, b: ir.IRBuilder, array_type: Any, array: Any, index: Any) -> Any:
    """Where the V8 at a flat element of a contiguous array of 32-bit words is."""
    data = context.make_array(array_type)(context, b, array).data
    return b.bitcast(b.gep(data, [index]), V32.as_pointer())


@intrinsic
def vload(typing_context: Any, array: Any, index: Any) -> Any:
    """The V8 at flat element `index` of a contiguous uint32 array; no bounds check."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return b.load(flat_pointer(context, b, signature.args[0], args[0], args[1]), align=4)

    return V8(array, types.int64), codegen


@intrinsic
def vstore(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Store a V8 at flat element `index` of a contiguous uint32 array; no bounds check."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        b.store(args[2], flat_pointer(context, b, signature.args[0], args[0], args[1]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, V8), codegen


@intrinsic
def vbroadcast(typing_context: Any, scalar: Any) -> Any:
    """A V8 whose lanes all equal the given uint32."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return splat(b, args[0])

    return V8(types.uint32), codegen


@intrinsic
def vadd(typing_context: Any, x: Any, y: Any) -> Any:
    """Lane-wise x + y mod p."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return add_lanes(b, args[0], args[1])

    return V8(V8, V8), codegen


@intrinsic
def vsub(typing_context: Any, x: Any, y: Any) -> Any:
    """Lane-wise x - y mod p."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return subtract_lanes(b, args[0], args[1])

    return V8(V8, V8), codegen


@intrinsic
def vmul(typing_context: Any, x: Any, y: Any) -> Any:
    """Lane-wise Montgomery product x * y / 2^32 mod p."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return _mul(b, args[0], args[1])

    return V8(V8, V8), codegen


def _dot(b: ir.IRBuilder, x: list[Any], y: list[Any]) -> Any:
    words = [[(_low(b, b.bitcast(v, V64)), _odd(b, v)) for v in group] for group in (x, y)]
    even, odd = (reduce(b.add, [b.mul(u[i], v[i]) for u, v in zip(*words, strict=True)]) for i in (0, 1))
    return _reduced(b, even, odd)


@intrinsic
def vdot2(typing_context: Any, x0: Any, x1: Any, y0: Any, y1: Any) -> Any:
    """Lane-wise (x0 y0 + x1 y1) / 2^32 mod p: two products of residues are below p * 2^32."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return _dot(b, args[:2], args[2:])

    return V8(*[V8] * 4), codegen


_INVERSE = float(np.float32(65536 / P * (1 - 2.0**-20)))  # a little small: quotients are never too large


def _small_dot(b: ir.IRBuilder, x: list[Any], low: list[Any], high: list[Any]) -> Any:
    """Barrett reduction of v = L + 2^16 H: the quotient from H alone, in single precision, is at most one short."""
    lows, highs = low[3], high[3]
    for value, u, v in zip(x, low, high, strict=False):
        lows, highs = b.add(lows, b.mul(value, u)), b.add(highs, b.mul(value, v))
    floats = ir.VectorType(ir.FloatType(), LANES)
    scaled = b.fmul(b.sitofp(highs, floats), ir.Constant(floats, [_INVERSE] * LANES))
    quotient = b.fptosi(scaled, V32)
    rest = b.sub(b.add(lows, b.shl(highs, constant(16))), quotient)
    rest = b.add(
        b.sub(rest, b.shl(quotient, constant(31))), b.shl(quotient, constant(27))
    )  # p = 2^31 - 2^27 + 1
    return smaller(b, rest, b.sub(rest, constant(P)))


@intrinsic
def vdot_small(
    typing_context: Any, x0: Any, x1: Any, x2: Any, l0: Any, l1: Any, l2: Any, l3: Any,
    h0: Any, h1: Any, h2: Any, h3: Any,
) -> Any:  # fmt: skip
    """Lane-wise x0 s0 + x1 s1 + x2 s2 + s3 mod p for x below 256 and residues s_i = l_i + 2^16 h_i, l_i < 2^16.

    Products of 32-bit lanes only.
    """

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return _small_dot(b, args[:3], args[3:7], args[7:])

    return V8(*[V8] * 11), codegen


@intrinsic
def vlifted(typing_context: Any, array: Any, index: Any, lift: Any) -> Any:
    """The eight integers at flat element `index` of a contiguous int8 or int16 array, each plus `lift`."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, b, args[0]).data
        eight = ir.VectorType(ir.IntType(signature.args[0].dtype.bitwidth), LANES)
        loaded = b.load(b.bitcast(b.gep(data, [args[1]]), eight.as_pointer()), align=1)
        return b.add(b.sext(loaded, V32), splat(b, b.trunc(args[2], I32)))

    return V8(array, types.int64, types.int64), codegen


def _integers(context: Any, b: ir.IRBuilder, kind: Any, array: Any, index: Any) -> Any:
    """Eight entries of a contiguous integer array of at most 32 bits, negative ones as 32-bit words."""
    bits = kind.dtype.bitwidth
    pointer = b.gep(context.make_array(kind)(context, b, array).data, [index])
    own = ir.VectorType(ir.IntType(bits), LANES)
    loaded = b.load(b.bitcast(pointer, own.as_pointer()), align=bits // 8)
    return loaded if bits == 32 else b.sext(loaded, V32)


@intrinsic
def vresidues(typing_context: Any, array: Any, index: Any) -> Any:
    """Eight entries in (-p, p), negative ones as such, as residues."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return subtract_lanes(b, _integers(context, b, signature.args[0], *args), constant(0))

    return V8(array, types.int64), codegen
