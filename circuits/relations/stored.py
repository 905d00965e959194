"""Functionals of committed weights that follow one another, such as one tensor of all layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from huref.circuits.argument.functional import Array, Functional
from huref.circuits.relations.layout import RelationLayout

_SHORT = 1 << 12


def stored_tensors(
    into: Functional,
    layout: RelationLayout,
    tensors: Sequence[str],
    rows: list[Array],
    blocks: Array,
    name: str,
) -> None:
    """Add Σ_i of rows[i] ⊗ blocks[i] ⊗ (column vector `name`) of tensors of one shape, `blocks` (tensors, blocks, 5).

    Tensors that follow one another are one term, unless their blocks are a power of two: then outer products are cheap.
    """
    places = [layout.weights[tensor] for tensor in tensors]
    first = places[0]
    follow = all(b.start == a.start + a.count for a, b in pairwise(places))
    if not follow or (first.blocks & (first.blocks - 1) == 0 and first.count > _SHORT):
        for place, row, block in zip(places, rows, blocks, strict=True):
            into.tensor(place, row, block, name)
        return
    into.stacked(first, np.stack(rows), blocks, name)
