"""Eight elements of K at a time, as five `V8` limbs in a tuple: loads, stores, sums and the product."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from huref.common.algebra.field import DEGREE
from huref.prover.kernels.field.simd import (
    I32,
    I64,
    LANES,
    V8_TUPLE,
    V32,
    add_lanes,
    constant,
    intrinsic,
    splat,
    subtract_lanes,
    vkmul,
)
from huref.prover.kernels.jit import helper


def _limbs(b: ir.IRBuilder, value: Any) -> list[Any]:
    return [b.extract_value(value, limb) for limb in range(DEGREE)]


def _limb_pointers(context: Any, b: ir.IRBuilder, kind: Any, array: Any, index: Any) -> list[Any]:
    """Where the eight entries from `index` on of each row of a contiguous (5, n) array are."""
    made = context.make_array(kind)(context, b, array)
    n, at, pointers = b.extract_value(made.shape, 1), index, []
    for _ in range(DEGREE):
        pointers.append(b.bitcast(b.gep(made.data, [at]), V32.as_pointer()))
        at = b.add(at, n)
    return pointers


@intrinsic
def load5(typing_context: Any, a: Any, i: Any) -> Any:
    """Limbs of the eight elements from i on of a contiguous (5, n) K vector."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        pointers = _limb_pointers(context, b, signature.args[0], *args)
        limbs = [b.load(pointer, align=4) for pointer in pointers]
        return context.make_tuple(b, signature.return_type, limbs)

    return V8_TUPLE(a, types.int64), codegen


@intrinsic
def store5(typing_context: Any, a: Any, i: Any, x: Any) -> Any:
    """Store five V8 limbs at elements i.. of a contiguous (5, n) K vector."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        pointers = _limb_pointers(context, b, signature.args[0], *args[:2])
        for limb, pointer in zip(_limbs(b, args[2]), pointers, strict=True):
            b.store(limb, pointer, align=4)
        return context.get_dummy_value()

    return types.void(a, types.int64, V8_TUPLE), codegen


@intrinsic
def broadcast5(typing_context: Any, s: Any) -> Any:
    """Five V8 limbs whose lanes all hold the element s, a contiguous uint32 array of shape (5,)."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, b, args[0]).data
        limbs = [splat(b, b.load(b.gep(data, [ir.Constant(I64, limb)]))) for limb in range(DEGREE)]
        return context.make_tuple(b, signature.return_type, limbs)

    return (V8_TUPLE(s), codegen) if s.layout == "C" else None


@intrinsic
def broadcast_column(typing_context: Any, a: Any, i: Any) -> Any:
    """As `broadcast5` of column i of a contiguous (5, n) K vector."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        places = _limb_pointers(context, b, signature.args[0], *args)
        limbs = [splat(b, b.load(b.bitcast(place, I32.as_pointer()))) for place in places]
        return context.make_tuple(b, signature.return_type, limbs)

    return V8_TUPLE(a, types.int64), codegen


@intrinsic
def zero5(typing_context: Any) -> Any:
    """Five V8 limbs of zeros."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return context.make_tuple(b, signature.return_type, [constant(0)] * DEGREE)

    return V8_TUPLE(), codegen


@intrinsic
def lane_sums(typing_context: Any, x: Any) -> Any:
    """The sums mod p of the eight lanes of five V8 limbs, five uint32."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        sums = []
        for limb in _limbs(b, args[0]):
            total = limb
            for distance in (4, 2, 1):
                turned = [(lane + distance) % LANES for lane in range(LANES)]
                mask = ir.Constant(V32, turned)
                total = add_lanes(b, total, b.shuffle_vector(total, total, mask))
            sums.append(b.extract_element(total, ir.Constant(I32, 0)))
        return context.make_tuple(b, signature.return_type, sums)

    return types.UniTuple(types.uint32, DEGREE)(V8_TUPLE), codegen


@helper
def vkmul5(x: Any, y: Any) -> Any:
    """`vkmul` on two 5-tuples."""
    return vkmul(x[0], x[1], x[2], x[3], x[4], y[0], y[1], y[2], y[3], y[4])


def _limbwise(operation: Any) -> Any:
    """An intrinsic's typing and code for two 5-tuples, limb by limb."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        pairs = zip(_limbs(b, args[0]), _limbs(b, args[1]), strict=True)
        return context.make_tuple(b, signature.return_type, [operation(b, x, y) for x, y in pairs])

    return V8_TUPLE(V8_TUPLE, V8_TUPLE), codegen


@intrinsic
def vkadd5(typing_context: Any, x: Any, y: Any) -> Any:
    """Limb-wise sum of two 5-tuples."""
    return _limbwise(add_lanes)


@intrinsic
def vksub5(typing_context: Any, x: Any, y: Any) -> Any:
    """Limb-wise difference of two 5-tuples."""
    return _limbwise(subtract_lanes)
