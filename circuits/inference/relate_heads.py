"""Relations of norms and gains on the heads of q and k in all layers (docs/inference.md §4, protocol §13.7)."""

from __future__ import annotations

from collections.abc import Sequence

from huref.circuits.inference.builder import Builder
from huref.circuits.inference.family import Family
from huref.circuits.inference.limits import RAW_HIGH
from huref.circuits.inference.plain_sites import HighGain, OutputGain
from huref.circuits.inference.sites import Gain, HeadNorm
from huref.circuits.model.tensors import GAIN_BITS, STEP
from huref.circuits.program.functions import ROOT_HIGH
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.products import FlatProduct, HeadSquares, RowScale, StoredScale
from huref.circuits.relations.program import Own
from huref.circuits.relations.terms import Beside, Cells, Public, Sparse, Stored


def relate_heads(builder: Builder, family: Family, name: str, source: Matrix) -> Matrix:
    """q or k behind its norm and its gain."""
    return _gained(builder, family, name, _normed(builder, family, name, source))


def _normed(builder: Builder, family: Family, name: str, source: Matrix) -> Matrix:
    """Every head times F = c(m) · 2^(top − e), where its square and a constant are m · 4^e + ρ."""
    sites = family.all(f"{name}_normed", HeadNorm)
    first, top = sites[0], sites[0].top
    heads = Frame(builder.tokens, len(sites), first.cols // first.size)

    def flat(part: str, largest: int) -> Matrix:
        return builder.matrix(f"{name}_norm.{part}", heads, largest, flat=True)

    mantissa, exponent = flat("m", ROOT_HIGH), flat("e", top)
    scale = flat("scale", 1 << (12 + top))
    table = Table("scales", (first.size, first.scale, top))
    builder.look(f"{name}_norm.scale", table, Own(exponent), Own(mantissa), Own(scale))
    power, bits = flat("power", 1 << (2 * top)), flat("bits", 2 * top)
    table = Table("quads", (0, 2 * top + 1, top))
    builder.look(f"{name}_norm.power", table, Own(exponent), Own(power), Own(bits))
    rest = flat("rest", (1 << 2 * top) - 1)
    builder.remainder(f"{name}_norm.rest", Own(bits), Own(rest), range(0, 2 * top + 1, 2))
    # what is added and what is taken off are below p each
    bound = max(first.squares + first.constant, ROOT_HIGH + 1 << 2 * top)
    equation = builder.equation(f"{name}_norm", heads, bound, Public(first.constant), Beside(rest, -1))
    builder.product(HeadSquares(equation, source, first.size))
    builder.product(FlatProduct(equation, mantissa, power, -1))
    # high limbs whose squares are few keep the sum of all squares below p
    few = builder.number(f"{name}_norm.few", heads, first.high)
    equation = builder.equation(
        f"{name}_norm.few", heads, max(first.size * RAW_HIGH**2, few.largest), Beside(few, -1)
    )
    builder.product(HeadSquares(equation, builder.named(f"{name}.high"), first.size))
    width = ((first.bound >> first.shift) + 1).bit_length() + 1
    normed = builder.matrix(f"{name}_normed", source.frame, 1 << (width - 1))
    builder.bits(f"{name}_normed", normed, width, 1 << (width - 1))
    rounding, half = builder.rest(f"{name}_normed.rest", source.frame, (first.shift,) * len(sites))
    equation = builder.equation(
        f"{name}_normed",
        source.frame,
        first.bound + (normed.largest + 2 << first.shift),
        half,
        rounding,
        Cells(normed, -(1 << first.shift)),
    )
    builder.product(RowScale(equation, ((source, 1),), scale))
    return normed


def _gained(builder: Builder, family: Family, name: str, normed: Matrix) -> Matrix:
    """Times the gain, whose steps are those among the facts."""
    sites = family.all(f"{name}_gained", Gain)
    first, shifts = sites[0], tuple(site.shift for site in sites)
    tensors = relate_gain_steps(builder, f"{name}_gain", sites)
    out, rest, half, h = builder.clamped(f"{name}_gained", normed.frame, first.clamp, shifts)
    bound = first.bound + (h.largest + 2 << max(shifts))
    taken = Cells(h, tuple(-(1 << s) for s in shifts))
    equation = builder.equation(f"{name}_gained", normed.frame, bound, half, rest, taken)
    builder.product(StoredScale(equation, normed, tensors, (1 << GAIN_BITS, 1)))
    return out


def relate_gain_steps(
    builder: Builder, name: str, sites: Sequence[Gain] | Sequence[HighGain] | Sequence[OutputGain]
) -> tuple[str, ...]:
    """The gains of sites, whose steps are those among the facts."""
    tensors = tuple(site.tensor for site in sites)
    builder.equation(
        f"{name}.step",
        Frame(1, len(sites), 1, 2),
        1 << 9,
        Stored(tuple(tensor + STEP for tensor in tensors)),
        Public(tuple(-site.step for site in sites)),
        Sparse(tuple((n, 1, GAIN_BITS) for n in range(len(sites)))),
    )
    return tensors
