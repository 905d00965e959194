"""Relations of models with norms behind attention and FFN, whose stream is not rotated (docs/inference.md §4, protocol
§13.7): gains, rotations, and what is added to the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

from huref.circuits.inference.builder import Builder, limb_cells
from huref.circuits.inference.family import Family
from huref.circuits.inference.limits import stream_size
from huref.circuits.inference.plain_sites import Add, HighGain, Lift, LowGain, OutputGain, Rotate
from huref.circuits.inference.relate_heads import relate_gain_steps
from huref.circuits.inference.relate_norm import relate_norms
from huref.circuits.inference.relate_prompts import TokenIds, embedding_rows
from huref.circuits.inference.relate_rows import row_multiples
from huref.circuits.inference.sites import Norm, Site
from huref.circuits.model.tensors import GAIN_BITS
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.products import RowScale, StoredScale
from huref.circuits.relations.terms import Cells, Rotated

S = TypeVar("S", bound=Site)


def relate_rows(builder: Builder, family: Family, tokens: TokenIds, high: Matrix, low: Matrix) -> None:
    """Rows of the embedding, rotated back, times what they stand for."""
    back, lift = cast(Rotate, family.one("embedded_back")), cast(Lift, family.one("embedded"))
    size = stream_size(family.program.shape)
    limb, over = size.limb, size.over
    rows = embedding_rows(builder, tokens, lift.cols)
    turned = _turned_back(builder, "embed.back", rows, [back])
    power = row_multiples(builder, "embed", tokens, lift.unit, lift.square, lift.high)
    rest, half = builder.rest("embed.rest", rows.frame, (lift.shift,))
    equation = builder.equation(
        "embed",
        rows.frame,
        lift.bound + (lift.limit + over + 2 << lift.shift),
        half,
        rest,
        *limb_cells((high, low), limb, lift.shift, (0,), -1),
    )
    builder.product(RowScale(equation, ((turned, 1),), power))


def _halves(family: Family) -> list[str]:
    return [f"l{n}.{part}" for n in range(family.program.shape.layers) for part in ("attn", "ffn")]


def relate_gained(
    builder: Builder, family: Family, limbs: Table, high: Matrix, low: Matrix
) -> tuple[Matrix, Matrix]:
    """The stream times the gain of each norm, in limbs."""
    names = [*_halves(family), "final"]
    frame = high.frame
    lows = _sites(family, [f"{name}_low" for name in names], LowGain)
    sites = _sites(family, [f"{name}_gained" for name in names], HighGain)
    tensors = relate_gain_steps(builder, "gained.gain", sites)
    limb, over = limbs.parameters[1], 1 << limbs.parameters[1] >> 1
    reach = sites[0].limit + over
    small = builder.limbs("gained.small", frame, limbs)
    shift = lows[0].shift
    rest, half = builder.rest("gained.small.rest", frame, (shift,) * len(lows))
    equation = builder.equation(
        "gained.small",
        frame,
        lows[0].bound + (reach + 2 << shift),
        half,
        rest,
        *limb_cells(small, limb, shift, sign=-1),
    )
    builder.product(StoredScale(equation, low, tensors, (1 << GAIN_BITS, 1)))
    out = builder.limbs("gained", frame, limbs)
    shifts = tuple(site.shift for site in sites)
    rest, half = builder.rest("gained.rest", frame, shifts)
    equation = builder.equation(
        "gained",
        frame,
        sites[0].bound + reach + (reach + 2 << max(shifts)),
        *limb_cells(small, limb, 0),
        half,
        rest,
        *limb_cells(out, limb, shifts, sign=-1),
    )
    lifted = 1 << sites[0].lifted
    builder.product(StoredScale(equation, high, tensors, (lifted << GAIN_BITS, lifted)))
    return out


def relate_reading(builder: Builder, family: Family, normed: Matrix) -> Matrix:
    """What matrices read: the stream behind gain and norm, rotated."""
    sites = _sites(family, [f"{name}_read" for name in (*_halves(family), "final")], Rotate)
    first, shifts = sites[0], tuple(site.shift for site in sites)
    out, rest, half, h = builder.clamped("read", normed.frame, first.clamp, shifts)
    bound = first.bound + (h.largest + 2 << max(shifts))
    taken = Cells(h, tuple(-(1 << s) for s in shifts))
    builder.equation("read", normed.frame, bound, Rotated(normed, first.bits, first.back), half, rest, taken)
    return out


def relate_branch(
    builder: Builder, family: Family, tables: tuple[Table, Table], high: Matrix, low: Matrix
) -> tuple[Matrix, Matrix]:
    """From the limbs of what is written, which are returned, to the stream behind it."""
    names = [f"l{n}.{part}" for n in range(family.program.shape.layers) for part in ("o", "down")]
    limbs, narrow = tables
    limb, over = limbs.parameters[1], 1 << limbs.parameters[1] >> 1
    adds = _sites(family, [f"{name}_added" for name in names], Add)
    frame = Frame(builder.tokens, len(names), 1, adds[0].cols)
    written = builder.limbs("branch", frame, narrow)
    normed = relate_norms(
        builder, "branch.norm", _sites(family, [f"{name}_norm" for name in names], Norm), *written
    )
    back = _turned_back(
        builder, "branch.back", normed, _sites(family, [f"{name}_back" for name in names], Rotate)
    )
    gains = _sites(family, [f"{name}_branch" for name in names], OutputGain)
    shifts = tuple(site.shift for site in gains)
    out = builder.limbs("branch.gained", frame, limbs)
    rest, half = builder.rest("branch.gained.rest", frame, shifts)
    reach = adds[0].limit + over
    equation = builder.equation(
        "branch.gained",
        frame,
        gains[0].bound + (reach + 2 << max(shifts)),
        half,
        rest,
        *limb_cells(out, limb, shifts, sign=-1),
    )
    tensors = relate_gain_steps(builder, "branch.gain", gains)
    builder.product(StoredScale(equation, back, tensors, (1 << GAIN_BITS, 1)))
    shifts = tuple(site.shift for site in adds)
    rest, half = builder.rest("added.rest", frame, shifts)
    before, after = tuple(range(len(names))), tuple(range(1, len(names) + 1))
    builder.equation(
        "added",
        frame,
        max(site.bound for site in adds) + (reach + 2 << max(shifts)),
        *limb_cells(out, limb, tuple(site.lifted for site in adds)),
        *limb_cells((high, low), limb, tuple(site.raised for site in adds), before),
        half,
        rest,
        *limb_cells((high, low), limb, shifts, after, -1),
    )
    return written


def _sites(family: Family, names: Sequence[str], kind: type[S]) -> list[S]:
    found = [family.one(name) for name in names]
    if not all(isinstance(site, kind) for site in found):
        raise TypeError(f"{names[0]} and others are no {kind.__name__}")
    return cast(list[S], found)


def _turned_back(builder: Builder, name: str, source: Matrix, sites: Sequence[Rotate]) -> Matrix:
    """A vector rotated back, all of it."""
    first = sites[0]
    bits = first.largest.bit_length()
    out = builder.matrix(name, source.frame, 1 << bits)
    builder.bits(name, out, bits + 1, 1 << bits)
    rest, half = builder.rest(f"{name}.rest", source.frame, (first.shift,) * len(sites))
    bound = first.bound + (out.largest + 2 << first.shift)
    taken = Cells(out, -(1 << first.shift))
    builder.equation(name, source.frame, bound, Rotated(source, first.bits, first.back), half, rest, taken)
    return out
