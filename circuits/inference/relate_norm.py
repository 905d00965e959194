"""Relations of all norms of an inference program (docs/inference.md §4, protocol §13.7).

Q = Σr² + E = m·4^e + ρ exceeds the field, so it is held in digits; with limbs r = r1·2^9 + r0 at the bits 0, 10, 18, 28
and 38.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from huref.circuits.inference.builder import Builder
from huref.circuits.inference.sites import Norm
from huref.circuits.program.functions import ROOT_HIGH
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.products import FlatProduct, RowScale, Squares
from huref.circuits.relations.program import Own, Spread
from huref.circuits.relations.terms import Beside, Cells, Public
from huref.common.algebra.field import P
from huref.common.errors import Unsupported

TOP = 10
"""Bits of the last digit of Q."""
CARRY = 13
PIECE = 11


def digits(limb: int) -> tuple[tuple[int, int], ...]:
    """First bit and width of all digits of Q but the last, which begins where they end."""
    return (0, limb + 1), (limb + 1, limb - 1), (2 * limb, 10), (2 * limb + 10, 10)


def largest_exponent(limb: int) -> int:
    """Q is below 2^14 · 4^e for this e."""
    return limb + 6


def carry_bits(hidden: int, high: int, limb: int) -> tuple[int, int]:
    """Bits of the two carries of Σr0² and Σr1·r0, the second with an offset of half its range; |r1| ≤ `high`."""
    low = ((hidden << (2 * limb - 2)) >> (limb + 1)) + 2
    mixed = hidden * high << (limb - 1)
    return low.bit_length(), ((mixed + (1 << low.bit_length())) // (1 << (limb - 1)) + 2).bit_length() + 1


def pieces(bits: int) -> list[int]:
    """Widths of the digits of a number of so many bits, lowest first."""
    return [min(PIECE, bits - at) for at in range(0, bits, PIECE)]


def relate_norms(
    builder: Builder,
    named: str,
    norms: Sequence[Norm],
    high: Matrix,
    low: Matrix,
    scaled: tuple[Matrix, Matrix] | None = None,
) -> Matrix:
    """All norms, whose sources are the instances of the limbs `high` and `low` in this order; returns the outputs,
    which are `named` so. `scaled` are the limbs of what is scaled instead.
    """
    first, tokens, count = norms[0], builder.tokens, len(norms)
    scalars = Frame(tokens, count)
    add = _Scalars(builder, scalars)
    limb, largest_e = first.limb, largest_exponent(first.limb)
    low_bits, mixed_bits = carry_bits(first.cols, high.largest, limb)
    places = digits(limb)
    q = [add.bits(f"{named}.q{start}", width) for start, width in places]
    top = add.bits(f"{named}.q{2 * limb + 20}", TOP)
    low_carry, mixed_carry = (
        add.number(f"{named}.carry0", low_bits),
        add.number(f"{named}.carry1", mixed_bits),
    )
    constants = [norm.constant for norm in norms]
    if max(constants) >> 2 * limb >= 1 << 28:
        raise Unsupported("inference: epsilon is too large at the unit of the stream")
    low_sum = builder.equation(
        f"{named}.low",
        scalars,
        max((first.cols << (2 * limb - 2)) + (2 << limb), 1 << (low_bits + limb + 1)),
        Public(tuple(c & ((2 << limb) - 1) for c in constants)),
        Beside(q[0], -1),
        *low_carry(-(2 << limb)),
    )
    mixed_sum = builder.equation(
        f"{named}.mixed",
        scalars,
        # half of the carry is offset
        first.squares + (1 << (mixed_bits + limb - 2)) + (1 << low_bits) + (1 << limb),
        Public(
            tuple(
                ((c >> limb + 1) & ((1 << limb - 1) - 1)) + (1 << (mixed_bits - 1) + limb - 1)
                for c in constants
            )
        ),
        *low_carry(1),
        Beside(q[1], -1),
        *mixed_carry(-(1 << limb - 1)),
    )
    high_sum = builder.equation(
        f"{named}.high",
        scalars,
        (1 << mixed_bits) + max(first.squares + (1 << 28), 1 << 20 + TOP),
        Public(tuple((c >> 2 * limb) - (1 << (mixed_bits - 1)) for c in constants)),
        *mixed_carry(1),
        Beside(q[2], -1),
        Beside(q[3], -1024),
        Beside(top, -(1 << 20)),
    )
    builder.product(Squares(high_sum, mixed_sum, low_sum, high, low))
    mantissa, root = add.matrix(f"{named}.m", ROOT_HIGH), add.matrix(f"{named}.c", 1 << 12)
    builder.look(f"{named}.root", Table("roots", (first.cols, first.scale)), Own(mantissa), Own(root))
    exponent = add.matrix(f"{named}.e", largest_e)
    carry: Matrix | None = None
    for number, (start, width) in enumerate(places):
        digit, rest_bits = add.matrix(f"{named}.f{start}", 1 << width), add.matrix(f"{named}.b{start}", width)
        table = Table("quads", (start, width, largest_e))
        builder.look(f"{named}.f{start}", table, Own(exponent), Own(digit), Own(rest_bits))
        rest = add.matrix(f"{named}.rho{start}", 1 << width)
        builder.remainder(f"{named}.rho{start}", Own(rest_bits), Own(rest), range(width + 1))
        last = number == len(places) - 1
        following = top if last else add.bits(f"{named}.kappa{start}", CARRY)
        equation = builder.equation(
            f"{named}.digit{start}",
            scalars,
            (ROOT_HIGH << width) + (following.largest + 3 << width) + (1 << CARRY),
            Beside(rest),
            *([Beside(carry)] if carry else []),
            Beside(q[number], -1),
            Beside(following, -(1 << width)),
        )
        builder.product(FlatProduct(equation, mantissa, digit))
        carry = following
    return _outputs(builder, named, first, scalars, exponent, root, *(scaled or (high, low)))


def _outputs(
    builder: Builder,
    named: str,
    norm: Norm,
    scalars: Frame,
    exponent: Matrix,
    root: Matrix,
    high: Matrix,
    low: Matrix,
) -> Matrix:
    """n = clip(round(r·c / 2^(shift + e)))."""
    least, most = norm.shift, norm.shift + largest_exponent(norm.limb)
    add = _Scalars(builder, scalars)
    shift, power, half = (add.matrix(f"{named}.{name}", 1 << most) for name in ("shift", "power", "half"))
    builder.look(f"{named}.power", Table("power", (least, most)), Own(shift), Own(power), Own(half))
    builder.equation(
        f"{named}.shift", scalars, 1 << 8, Beside(shift), Beside(exponent, -1), Public(-norm.shift)
    )
    frame = Frame(builder.tokens, scalars.inner, 1, norm.cols)
    reach = 4 * (norm.clamp + 1)
    h, rest = (
        builder.matrix(f"{named}.h", frame, reach),
        builder.matrix(f"{named}.rest", frame, (1 << most) - 1),
    )
    out = builder.matrix(named, frame, norm.clamp)
    builder.remainder(f"{named}.rest", Spread(shift), Own(rest), range(least, most + 1))
    heights = [_height(norm.bound, s, reach) for s in range(least, most + 1)]
    table = Table("shifted", (norm.clamp, least, *heights))
    builder.look(f"{named}.clamp", table, Spread(shift), Own(h), Own(out))
    bound = norm.bound + max(height + 2 << s for s, height in enumerate(heights, least))
    equation = builder.equation(named, frame, bound, Beside(half), Cells(rest, -1))
    builder.product(RowScale(equation, ((high, 1 << norm.limb), (low, 1)), root))
    builder.product(RowScale(equation, ((h, 1),), power, -1))
    return out


def _height(bound: int, shift: int, reach: int) -> int:
    """H of h in [−H, H): the power of two above all that |acc| ≤ bound gives at this shift, or the least H that holds
    them where with that power two solutions h would fit the field (hidden sizes of 896 and 3584, say).
    """
    height = min(reach, 1 << ((bound >> shift) + 1).bit_length())
    return height if bound + (height + 2 << shift) < P else (bound >> shift) + 2


class _Scalars:
    """Numbers that every norm has for every token."""

    def __init__(self, builder: Builder, frame: Frame) -> None:
        self.builder, self.frame = builder, frame

    def matrix(self, name: str, largest: int) -> Matrix:
        return self.builder.matrix(name, self.frame, largest, flat=True)

    def bits(self, name: str, bits: int) -> Matrix:
        """A digit of so many bits."""
        return self.builder.number(name, self.frame, bits)

    def number(self, name: str, bits: int) -> Callable[[int], list[Beside]]:
        """A number in digits; called with a factor it gives the terms of its multiple."""
        digits = [self.bits(f"{name}.{i}", width) for i, width in enumerate(pieces(bits))]
        return lambda factor: [Beside(digit, factor << (PIECE * i)) for i, digit in enumerate(digits)]
