"""Relations of the feed-forward part in all layers (docs/inference.md §4, protocol §13.7)."""

from __future__ import annotations

from huref.circuits.inference.builder import Builder
from huref.circuits.inference.compile import GATE_FINER
from huref.circuits.inference.family import Family
from huref.circuits.inference.relate_attention import relate_linear
from huref.circuits.inference.sites import Activate, Linear, Multiply
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.products import Hadamard, Projection
from huref.circuits.relations.program import Number, Own


def relate_ffn(builder: Builder, family: Family, normed: Matrix) -> tuple[Matrix, Matrix]:
    """Everything up to what down reads; returns its limbs, the high one first."""
    active = _active(builder, family, normed)
    up = relate_linear(builder, family, "up", normed, 1)
    sites = family.all("a", Multiply)
    site, layers = sites[0], len(sites)
    frame = Frame(builder.tokens, layers, 1, site.cols)
    reach = (site.high << site.limb) + (1 << site.limb >> 1)
    bases, extras = [each.base for each in sites], [each.extra for each in sites]
    steps = builder.steps("a", family.tensors("down"), site.cols, bases, extras, reach, site.bound)
    high, low = (
        builder.matrix("a.high", frame, site.high),
        builder.matrix("a.low", frame, 1 << (site.limb - 1)),
    )
    builder.look("a", Table("limbs", (site.high, site.limb)), Own(high), Own(low))
    equation = builder.rounded("a", frame, steps, ((high, 1 << site.limb), (low, 1)))
    builder.product(Hadamard(equation, active, up))
    return high, low


def _active(builder: Builder, family: Family, normed: Matrix) -> Matrix:
    """The gate behind its activation: one lookup clips and activates."""
    gates, sites = family.all("gate", Linear), family.all("active", Activate)
    first, layers = gates[0], len(gates)
    reach = 4 * (first.clamp + 1)
    tensors = family.tensors("gate")
    bases, extras = [site.base for site in gates], [site.extra for site in gates]
    steps = builder.steps("gate", tensors, first.cols, bases, extras, reach, first.bound)
    frame = Frame(builder.tokens, layers, 1, first.cols)
    h = builder.matrix("gate.h", frame, reach)
    active = builder.matrix("active", frame, 1 << (sites[0].bits + GATE_FINER - 1))
    units = tuple(site.unit for site in sites)
    table = Table("silu", (reach, first.clamp, GATE_FINER, *sorted(set(units))))
    builder.look("active", table, Number(units), Own(h), Own(active))
    equation = builder.rounded("gate", frame, steps, ((h, 1),))
    builder.product(Projection(equation, normed, tensors, 1, tuple(2 * n + 1 for n in range(layers))))
    return active
