"""Sums of 16-bit numbers times fixed residues, mod p: products in pairs, and one reduction in single precision.

A residue s in (−p/2, p/2) is l + 2^16·h with signed digits of 16 bits. A vector holds eight pairs (x, y) of signed
16-bit numbers; x·s + y·t has the parts L = x·l + y·l' and H = x·h + y·h', an instruction each. The quotient of
L + 2^16·H by p is estimated from both as floats, so that L and 2^16·H may be added mod 2^32: what is left lies in
(−p, p).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from huref.common.algebra.field import P
from huref.prover.kernels.field.short_simd import SHORTS, interleaved, products
from huref.prover.kernels.field.simd import LANES, V8, V32, constant, flat_pointer, intrinsic, smaller

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_MAGIC = 12582912.0  # 1.5 · 2^23: what is added to it is rounded to an integer, its last bits
_MAGIC_WORD = 0x4B400000


def _float(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [value] * LANES)


@intrinsic
def add_pairs(typing_context: Any, total: Any, estimate: Any, x: Any, low: Any, high: Any) -> Any:
    """`total` + L + 2^16·H mod 2^32, and `estimate`, floats in 32-bit lanes, with their quotient by p added. Pairs of
    numbers, and of digits, are words of two halves, the first the low one.
    """

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        pairs, low, high = (b.bitcast(arg, SHORTS) for arg in args[2:])
        lows, highs = products(b, pairs, low), products(b, pairs, high)
        added = b.add(args[0], b.add(lows, b.shl(highs, constant(16))))
        floats = b.bitcast(args[1], _FLOATS)
        for part, unit in ((highs, 65536 / P), (lows, 1 / P)):
            share = b.fmul(b.sitofp(part, _FLOATS), _float(unit), flags=("contract",))
            floats = b.fadd(floats, share, flags=("contract",))
        return context.make_tuple(b, signature.return_type, [added, b.bitcast(floats, V32)])

    return types.UniTuple(V8, 2)(V8, V8, V8, V8, V8), codegen


@intrinsic
def eight_pairs(typing_context: Any, array: Any, first: Any, second: Any) -> Any:
    """Eight words of a contiguous array from `first` on; of an int16 array the entries from `first` and those from
    `second` on, as words of two halves.
    """

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        if kind.dtype.bitwidth == 16:
            return b.bitcast(interleaved(context, b, kind, *args), V32)
        return b.load(flat_pointer(context, b, kind, args[0], args[1]), align=4)

    return V8(array, types.int64, types.int64), codegen


@intrinsic
def pairs_residue(typing_context: Any, total: Any, estimate: Any) -> Any:
    """The canonical residue of what was added up from a start below p/2 and its quotient by p."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        rounded = b.fadd(b.bitcast(args[1], _FLOATS), _float(_MAGIC))
        quotient = b.sub(b.bitcast(rounded, V32), constant(_MAGIC_WORD))
        rest = b.sub(args[0], b.mul(quotient, constant(P)))
        return smaller(b, rest, b.add(rest, constant(P)))

    return V8(V8, V8), codegen
