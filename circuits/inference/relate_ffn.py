"""Relations of the feed-forward part in all layers (docs/inference.md §4, protocol §13.7)."""

from __future__ import annotations

from collections.abc import Sequence

from huref.circuits.inference.builder import Builder
from huref.circuits.inference.family import Family
from huref.circuits.inference.limits import GATE_FINER
from huref.circuits.inference.relate_attention import relate_linear
from huref.circuits.inference.sites import Activate, Linear, Multiply, Rescale
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.products import Hadamard, Projection
from huref.circuits.relations.program import Number, Own
from huref.circuits.relations.terms import Cells


def relate_ffn(builder: Builder, family: Family, normed: Matrix) -> tuple[Matrix, Matrix]:
    """Everything up to what down reads; returns its limbs, the high one first."""
    gated = family.program.shape.gated
    active = _active(builder, family, normed, "gate" if gated else "up")
    up = relate_linear(builder, family, "up", normed, 1) if gated else None
    sites: Sequence[Multiply | Rescale] = family.all("a", Multiply) if gated else family.all("a", Rescale)
    site, layers = sites[0], len(sites)
    frame = Frame(builder.tokens, layers, 1, site.cols)
    reach = (site.high << site.limb) + (1 << site.limb >> 1)
    bases, extras = [each.base for each in sites], [each.extra for each in sites]
    steps = builder.steps("a", family.tensors("down"), site.cols, bases, extras, reach, site.bound)
    high, low = builder.limbs("a", frame, Table("limbs", (site.high, site.limb)))
    if steps.coarse is not None:
        builder.reached("a", steps, high, high, site.high, site.limb)
    own = () if up is not None else (Cells(active),)
    equation = builder.rounded("a", frame, steps, ((high, 1 << site.limb), (low, 1)), *own)
    if up is not None:
        builder.product(Hadamard(equation, active, up))
    return high, low


def _active(builder: Builder, family: Family, normed: Matrix, name: str) -> Matrix:
    """The gate, or up where there is none, behind its activation: one lookup clips and activates."""
    gates, sites = family.all(name, Linear), family.all("active", Activate)
    first, layers = gates[0], len(gates)
    reach = 4 * (first.clamp + 1)
    tensors = family.tensors(name)
    bases, extras = [site.base for site in gates], [site.extra for site in gates]
    steps = builder.steps(name, tensors, first.cols, bases, extras, reach, first.bound)
    frame = Frame(builder.tokens, layers, 1, first.cols)
    h = builder.matrix(f"{name}.h", frame, reach)
    active = builder.matrix("active", frame, 1 << (sites[0].bits + GATE_FINER - 1))
    units = tuple(site.unit for site in sites)
    table = Table(sites[0].kind, (reach, first.clamp, GATE_FINER, *sorted(set(units))))
    builder.look("active", table, Number(units), Own(h), Own(active))
    if steps.coarse is not None:
        builder.reached(name, steps, h, h, reach)
    equation = builder.rounded(name, frame, steps, ((h, 1),), *builder.bias(tensors, first.bias))
    builder.product(Projection(equation, normed, tensors, 1, tuple(2 * n + 1 for n in range(layers))))
    return active
