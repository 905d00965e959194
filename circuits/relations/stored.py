"""Functionals of committed weights that follow one another, such as one tensor of all layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from huref.circuits.argument.functional import Array, Functional
from huref.circuits.relations.layout import RelationLayout
from huref.common.algebra.field import DEGREE, kmul

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
    first, w = places[0], layout.w
    follow = all(b.start == a.start + a.count for a, b in pairwise(places))
    if not follow or (first.blocks & (first.blocks - 1) == 0 and first.count > _SHORT):
        for place, row, block in zip(places, rows, blocks, strict=True):
            into.tensor(place, row, block, name)
        return
    written = kmul(np.stack(rows)[:, :, None], blocks[:, None]).reshape(-1, first.blocks, DEGREE)
    tail = first.cols - (first.blocks - 1) * w
    if tail < w:
        last = np.ascontiguousarray(written[:, -1])
        start = first.start + first.blocks - 1
        into.rows("W", start, last, into.columns.masked(name, tail), step=first.blocks)
        written = written.copy()
        written[:, -1] = 0
    if tail == w or first.blocks > 1:
        into.rows("W", first.start, written.reshape(-1, DEGREE), name)
