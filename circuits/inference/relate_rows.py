"""What rows of the embedding are multiplied by, from their steps (docs/inference.md §4, protocol §13.7)."""

from __future__ import annotations

from huref.circuits.inference.builder import Builder
from huref.circuits.inference.limits import LARGEST_MULTIPLE
from huref.circuits.inference.relate_prompts import TokenIds, chosen_row
from huref.circuits.model.tensors import STEP
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.program import Own
from huref.circuits.relations.terms import Beside, Public, StoredAt


def row_multiples(
    builder: Builder, tensor: str, index: TokenIds, unit: int, square: int, high: int
) -> Matrix:
    """√square · 2^(unit + step) of the rows `index` of a tensor, whose exponents are in [0, high]."""
    tokens = Frame(builder.tokens, 1)
    shift = builder.matrix(f"{tensor}.shift", tokens, high, flat=True)
    power = builder.matrix(f"{tensor}.power", tokens, 1 << LARGEST_MULTIPLE, flat=True)
    builder.look(f"{tensor}.power", Table("multiples", (square, high)), Own(shift), Own(power))
    step = StoredAt(tensor + STEP, index.ids, -1)
    equation = builder.equation(f"{tensor}.shift", tokens, 1 << 9, Beside(shift), step, Public(-unit))
    chosen_row(builder, equation, tensor + STEP, index)
    return power
