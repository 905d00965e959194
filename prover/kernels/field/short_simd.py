"""Sixteen signed 16-bit numbers in one vector register, as a numba type: exact dot products of small integers.

The processor multiplies 16 pairs of 16-bit numbers and adds them in twos to 32-bit sums in one instruction. As in
`simd`, the intrinsics emit generic LLVM vector code.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.datamodel import models
from numba.extending import register_model

from huref.prover.kernels.field.simd import V8, intrinsic
from huref.prover.kernels.jit import helper

SHORT_LANES = 16
_I32 = ir.IntType(32)
_BYTES16 = ir.VectorType(ir.IntType(8), 16)
_BYTES8 = ir.VectorType(ir.IntType(8), 8)
SHORTS = ir.VectorType(ir.IntType(16), 16)
_WIDE = ir.VectorType(_I32, 16)
_WORDS = ir.VectorType(_I32, 8)


class _ShortsType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="V16i16")


_V16 = _ShortsType()


@register_model(_ShortsType)
class _ShortsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, SHORTS)


def _order(lanes: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)


def _load(context: Any, b: Any, kind: Any, array: Any, index: Any, vector: Any) -> Any:
    data = context.make_array(kind)(context, b, array).data
    size = vector.element.width // 8
    return b.load(b.bitcast(b.gep(data, [index]), vector.as_pointer()), align=size)


def interleaved(context: Any, b: Any, kind: Any, array: Any, first: Any, second: Any) -> Any:
    """What `paired_shorts` gives."""
    eight = ir.VectorType(ir.IntType(kind.dtype.bitwidth), 8)
    x, y = (_load(context, b, kind, array, at, eight) for at in (first, second))
    both = b.shuffle_vector(x, y, _order([lane for i in range(8) for lane in (i, 8 + i)]))
    return both if both.type == SHORTS else b.sext(both, SHORTS)


@intrinsic
def paired_shorts(typing_context: Any, array: Any, first: Any, second: Any) -> Any:
    """8 entries of an int8 or int16 array from `first` on and 8 from `second` on, interleaved."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return interleaved(context, b, signature.args[0], *args)

    return _V16(array, types.int64, types.int64), codegen


@intrinsic
def shorts16(typing_context: Any, array: Any, index: Any) -> Any:
    """16 entries of an int8 or int16 array."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        if kind.dtype == types.int8:
            return b.sext(_load(context, b, kind, args[0], args[1], _BYTES16), SHORTS)
        return _load(context, b, kind, args[0], args[1], SHORTS)

    return _V16(array, types.int64), codegen


@intrinsic
def store16(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Store 16 entries of an int16 array from `index` on."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, b, args[0]).data
        b.store(args[2], b.bitcast(b.gep(data, [args[1]]), SHORTS.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.void(array, types.int64, _V16), codegen


@intrinsic
def repeated_pair(typing_context: Any, array: Any, index: Any) -> Any:
    """Entries `index` and `index` + 1 of an int16 array, eight times."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        pair = _load(context, b, signature.args[0], args[0], args[1], ir.VectorType(ir.IntType(16), 2))
        return b.shuffle_vector(pair, pair, _order([0, 1] * 8))

    return _V16(array, types.int64), codegen


def products(b: Any, x: Any, y: Any) -> Any:
    """x[2i] y[2i] + x[2i+1] y[2i+1], eight 32-bit signed lanes."""
    product = b.mul(b.sext(x, _WIDE), b.sext(y, _WIDE))
    even, odd = (b.shuffle_vector(product, product, _order(list(range(at, 16, 2)))) for at in (0, 1))
    return b.add(even, odd)


@intrinsic
def multiply_add(typing_context: Any, total: Any, x: Any, y: Any) -> Any:
    """total[i] + x[2i] y[2i] + x[2i+1] y[2i+1], on 32-bit signed lanes."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return b.add(args[0], products(b, args[1], args[2]))

    return V8(V8, _V16, _V16), codegen


@helper
def multiply_add4(sums: Any, x: Any, y: Any) -> Any:
    """`multiply_add` of four sums with four x and one y."""
    return (
        multiply_add(sums[0], x[0], y),
        multiply_add(sums[1], x[1], y),
        multiply_add(sums[2], x[2], y),
        multiply_add(sums[3], x[3], y),
    )


@intrinsic
def zero8(typing_context: Any) -> Any:
    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(_WORDS, [0] * 8)

    return V8(), codegen


@intrinsic
def horizontal(typing_context: Any, x: Any) -> Any:
    """The sum of the eight signed lanes, as int64."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        wide = b.sext(args[0], ir.VectorType(ir.IntType(64), 8))
        kind = ir.FunctionType(ir.IntType(64), [wide.type])
        reduce = b.module.declare_intrinsic("llvm.vector.reduce.add.v8i64", (), kind)
        return b.call(reduce, [wide])

    return types.int64(V8), codegen
