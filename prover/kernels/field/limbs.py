"""Eight elements of K at a time, as five `V8` limbs in a tuple: loads, stores, sums and the product.

A K vector of n entries is (5, n), a row per limb, or in blocks, (n / 8, 5, 8): what is read together lies together.
Sizes are powers of two, so that rows of limbs start at the same place of a page, where few of them fit the cache at
once; a pass over sixteen parts of four tables in blocks reads 16 streams and not 80.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from huref.common.algebra.field import DEGREE
from huref.prover.kernels.field.field import U32
from huref.prover.kernels.field.product import product_limbs
from huref.prover.kernels.field.simd import (
    I32,
    I64,
    LANES,
    V8,
    V32,
    add_lanes,
    constant,
    intrinsic,
    splat,
    subtract_lanes,
)
from huref.prover.kernels.jit import helper

V8_TUPLE = types.UniTuple(V8, DEGREE)
_AHEAD = 2  # blocks; how far behind what is read or written the next is fetched
_LINE = 16  # words


def _limbs(b: ir.IRBuilder, value: Any) -> list[Any]:
    return [b.extract_value(value, limb) for limb in range(DEGREE)]


def _limb_pointers(context: Any, b: ir.IRBuilder, kind: Any, array: Any, index: Any) -> list[Any]:
    """Where the limbs of the eight entries from `index` on of a contiguous K vector are."""
    made = context.make_array(kind)(context, b, array)
    if kind.ndim == 3:
        first = b.gep(made.data, [b.mul(index, ir.Constant(I64, DEGREE))])
        places = [b.gep(first, [ir.Constant(I64, LANES * limb)]) for limb in range(DEGREE)]
        return [b.bitcast(place, V32.as_pointer()) for place in places]
    n, at, pointers = b.extract_value(made.shape, 1), index, []
    for _ in range(DEGREE):
        pointers.append(b.bitcast(b.gep(made.data, [at]), V32.as_pointer()))
        at = b.add(at, n)
    return pointers


def _fetch_ahead(b: ir.IRBuilder, kind: Any, first: Any, write: bool) -> None:
    """Fetches a later block into the cache: streams that change their place often are too short for the processor to
    see them coming, and it writes to lines that are not there one at a time.
    """
    if kind.ndim < 3:
        return
    byte, size = ir.IntType(8).as_pointer(), DEGREE * LANES
    fetch = b.module.declare_intrinsic(
        "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
    )
    word = b.bitcast(first, I32.as_pointer())
    for offset in range(_AHEAD * size, (_AHEAD + 1) * size, _LINE):
        place = b.bitcast(b.gep(word, [ir.Constant(I64, offset)]), byte)
        b.call(fetch, [place, ir.Constant(I32, int(write)), ir.Constant(I32, 3), ir.Constant(I32, 1)])


@intrinsic
def load5(typing_context: Any, a: Any, i: Any) -> Any:
    """Limbs of the eight elements from i on of a contiguous K vector; i is a multiple of eight in blocks."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        pointers = _limb_pointers(context, b, signature.args[0], *args)
        _fetch_ahead(b, signature.args[0], pointers[0], write=False)
        limbs = [b.load(pointer, align=4) for pointer in pointers]
        return context.make_tuple(b, signature.return_type, limbs)

    return V8_TUPLE(a, types.int64), codegen


@intrinsic
def store5(typing_context: Any, a: Any, i: Any, x: Any) -> Any:
    """Store five V8 limbs at elements i.. of a contiguous K vector, as `load5`."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        pointers = _limb_pointers(context, b, signature.args[0], *args[:2])
        _fetch_ahead(b, signature.args[0], pointers[0], write=True)
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


@intrinsic
def vkmul5(typing_context: Any, x: Any, y: Any) -> Any:
    """Products in K of two 5-tuples, of canonical Montgomery limbs."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return context.make_tuple(b, signature.return_type, product_limbs(b, *(_limbs(b, v) for v in args)))

    return V8_TUPLE(V8_TUPLE, V8_TUPLE), codegen


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


def entries(vector: U32) -> int:
    """How many elements a K vector in blocks has."""
    return len(vector) * LANES


def blocks(count: int) -> U32:
    """Space for a K vector of `count` elements, a multiple of eight, in blocks."""
    return np.empty((count // LANES, DEGREE, LANES), np.uint32)


@helper
def empty_blocks(count: int) -> Any:
    """`blocks` for kernels."""
    return np.empty((count // LANES, DEGREE, LANES), np.uint32)


def to_blocks(vector: U32) -> U32:
    """(5, n) in blocks."""
    return np.ascontiguousarray(vector.reshape(DEGREE, -1, LANES).swapaxes(0, 1))


def from_blocks(vector: U32) -> U32:
    """A K vector in blocks as (5, n)."""
    return np.ascontiguousarray(vector.swapaxes(0, 1)).reshape(DEGREE, -1)
