"""Functionals evaluated on committed integers, and weights of equations, straight from their definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Functional
from huref.circuits.relations.weights import EquationWeights, point_sizes
from huref.common.algebra.field import DEGREE, P, kmatvec, kmul, kouter, kscale, ksum, to_field
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table
from huref.prover.kernels.field.field import U32
from huref.prover.relations.sides import Sides
from huref.prover.relations.values import Values
from tests.support.terms import coefficients
from tests.support.toy_relations import Toy

Array = NDArray[Any]


def random_point(count: int, seed: int) -> list[KS]:
    rng = np.random.default_rng(seed)
    return KS.list_from_array(rng.integers(0, P, (count, DEGREE)).astype(np.uint64))


def committed(toy: Toy) -> dict[str, Array]:
    """Residues of W and A, without masks; cells that nothing constrains are random."""
    rng, layout = np.random.default_rng(3), toy.setup.layout
    values = Values(layout, toy.found)
    a = rng.integers(0, P, (layout.rows, layout.w)).astype(np.uint64)
    for matrix in layout.relations.matrices:
        place = layout.placed[matrix.name]
        rows, cols = matrix.shape
        cells = to_field(values.stacked(matrix).astype(np.int64)).reshape(place.blocks, place.rows, layout.w)
        for block in range(place.blocks):
            width = min(layout.w, cols - block * layout.w)
            start = place.start + block * place.rows
            a[start : start + rows, :width] = cells[block, :, :width]
    w = rng.integers(0, P, (layout.weight_rows, layout.w)).astype(np.uint64)
    for name, place in layout.weights.items():
        tensor = to_field(toy.weights[name].astype(np.int64))
        for block in range(place.blocks):
            part = tensor[:, block * layout.w : (block + 1) * layout.w]
            w[place.start + block : place.start + place.count : place.blocks, : part.shape[1]] = part
    return {"W": w, "A": a}


def whole(sides: Sides) -> tuple[U32, U32]:
    """Both vectors of the inner product, (5, n) Montgomery."""
    return sides.read(0, sides.length)


def value(functional: Functional, cells: dict[str, Array]) -> KS:
    """Σ over its terms."""
    found = KS(0)
    for term in functional.terms:
        start, own = coefficients(term, functional.columns)
        read = cells[term.matrix][start : start + len(own)]
        found += KS.from_array(ksum(kscale(own, read).reshape(-1, DEGREE)))
    return found


def weighted(weights: EquationWeights, point: Sequence[KS], eta: KS, equation: str, sums: Array) -> KS:
    """Σ weight · entry of an equation's sums (outer, inner, heads, cols)."""
    relations = weights.layout.relations
    number = [e.name for e in relations.equations].index(equation)
    at, tables = 0, []
    for size in point_sizes(relations, weights.layout.w):
        tables.append(eq_table(list(point[at : at + size])))
        at += size
    outer, inner, heads, cols = sums.shape
    frame = relations.equations[number].frame
    by_row = kouter(tables[0][:outer], tables[1][:inner]).reshape(-1, DEGREE)
    if frame.heads > 1:
        by_row = kouter(by_row, tables[2][:heads]).reshape(-1, DEGREE)
    across = kmatvec(to_field(sums.reshape(-1, cols)), tables[3][:cols])
    return KS.from_array(ksum(kmul(by_row, across))) * eta**number
