"""The product of eight pairs of elements of K, as a function that is called: 300 instructions are no shorter inlined.

Some kernels have sixteen products in their loop, which together would not fit the processor's instruction cache; and
what is not inlined is not compiled anew for every product.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]

from huref.common.algebra.field import DEGREE, P
from huref.prover.kernels.field.simd import (
    V32,
    V64,
    add_lanes,
    constant,
    high_lanes,
    quotient_times_p,
    signed_words,
    smaller,
    subtract_lanes,
)

_NAME = "huref_kmul"


def _kmul(b: ir.IRBuilder, x: Any, y: Any) -> list[Any]:
    """Limbs of the product in K, from canonical Montgomery limbs.

    A signed product of centred limbs is at most p^2/4, one unit. Limb k has k + 1 plain products and 4 - k with
    doubled limbs of y, two units each unless the double is centred again, as that of y1 is. So no limb sums more
    than eight units, 2 p^2: the high half is in (-p, p) and one conditional addition makes it canonical before
    the reduction.
    """
    half = constant((P - 1) // 2)

    def centre(v: Any) -> Any:
        above = b.icmp_signed(">", v, half)  # canonical residues are below 2^31
        return b.select(above, b.sub(v, constant(P)), v)

    left = [centre(v) for v in x]
    right = [centre(v) for v in y]
    doubled = [centre(add_lanes(b, y[1], y[1])), *(b.add(v, v) for v in right[2:])]  # of y1 to y4

    def halves(v: Any) -> tuple[Any, Any]:
        word = b.bitcast(v, V64)
        return signed_words(b, word), b.ashr(word, constant(32, V64))

    parts = [[halves(v) for v in group] for group in (left, right, doubled)]
    out = []
    for limb in range(DEGREE):
        sums = []
        for parity in (0, 1):
            low = None
            for i in range(limb + 1):
                term = b.mul(parts[0][i][parity], parts[1][limb - i][parity])
                low = term if low is None else b.add(low, term)
            for i in range(limb + 1, DEGREE):
                low = b.add(low, b.mul(parts[0][i][parity], parts[2][limb + DEGREE - i - 1][parity]))
            sums.append(low)
        high = high_lanes(b, sums[0], sums[1])
        high = smaller(b, high, b.add(high, constant(P)))
        quotient = high_lanes(b, quotient_times_p(b, sums[0]), quotient_times_p(b, sums[1]))
        out.append(subtract_lanes(b, high, quotient))
    return out


def product_limbs(b: ir.IRBuilder, x: Any, y: Any) -> list[Any]:
    """The limbs of x·y: a call of a function that is defined once in every module that has one."""
    function = b.module.globals.get(_NAME) or _define(b.module)
    product = b.call(function, [*x, *y])
    return [b.extract_value(product, limb) for limb in range(DEGREE)]


def _define(module: ir.Module) -> ir.Function:
    kind = ir.FunctionType(ir.LiteralStructType([V32] * DEGREE), [V32] * (2 * DEGREE))
    function = ir.Function(module, kind, _NAME)
    function.linkage = "linkonce_odr"  # libraries that are linked together keep one
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    b = ir.IRBuilder(function.append_basic_block())
    out = ir.Constant(kind.return_type, ir.Undefined)
    for limb, value in enumerate(_kmul(b, function.args[:DEGREE], function.args[DEGREE:])):
        out = b.insert_value(out, value, limb)
    b.ret(out)
    return function
