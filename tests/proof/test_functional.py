"""Terms in factors: the row functional as prover and verifier make it, and by its definition."""

from __future__ import annotations

from typing import Literal

import numpy as np

from huref.circuits.argument.functional import Claim, Columns, Functional, Term
from huref.circuits.argument.opening import row_functional
from huref.common.algebra.field import fadd, kdot, kmul
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from huref.common.argument.hidden import Form
from huref.prover.argument.opening import _functional, _merge
from huref.prover.kernels.field.field import k_from_mont
from tests.proof.oracles import elements
from tests.proof.programs import Case

Matrix = Literal["W", "A"]


def scalars(count: int) -> list[KS]:
    return [KS.from_array(x) for x in elements(count)]


def random_term(rng: np.random.Generator, matrix: Matrix, rows: int) -> Term:
    """Any lengths of the factors, cut anywhere, anywhere in the matrix: up to its last row."""
    m, n = int(rng.integers(1, 9)), int(rng.choice([1, 2, 5, 8]))
    right = elements(n) if rng.integers(3) else None
    length = m if right is None else m * n
    count = int(rng.integers(1, length + 1)) if rng.integers(2) else None
    kept = length if count is None else count
    start = int(rng.choice([0, rows - kept, rng.integers(0, rows - kept + 1)]))
    return Term(matrix, start, elements(m), f"c{rng.integers(3)}", right, count)


def coefficients(term: Term) -> np.ndarray:
    """`left` ⊗ `right` entry by entry, cut."""
    one = KS(1).array()[None]
    right = one if term.right is None else term.right
    pairs = [kmul(x[None], y[None])[0] for x in term.left for y in right]
    return np.stack(pairs[: term.count])


def test_row_functional(tall: Case) -> None:
    setup, rng = tall.setup(), np.random.default_rng(0)
    layout, geometry = setup.layout, setup.geometry
    base = {"W": 0, "A": geometry.weights.k_prime}
    for _ in range(20):
        columns = Columns(layout.w)
        for i in range(3):
            columns.add(f"c{i}", elements(layout.w))
        claims, weights, eq_rho = [], scalars(3), eq_table(scalars(log2_ceil(layout.w)))
        wanted = np.zeros((geometry.length, 5), np.uint64)
        for i, weight in enumerate(weights):
            functional = Functional(columns)
            for matrix, rows in (("W", geometry.weights.k_prime), ("A", geometry.proof.k_prime)) * 2:
                term = random_term(rng, matrix, rows)  # type: ignore[arg-type]
                functional.terms.append(term)
                at = weight * KS.from_array(kdot(columns.vectors[term.columns], eq_rho))
                a, start = coefficients(term), base[matrix] + term.start
                assert len(a) == term.length and np.array_equal(a, term.a)
                part = wanted[start : start + term.length]
                part[:] = fadd(part, kmul(a, at.array()))
            claims.append(Claim(f"claim {i}", functional, Form.public(KS(0))))
        found = row_functional(layout, geometry, claims, weights, columns, eq_rho)
        assert np.array_equal(found, wanted)
        merged, dense = _merge(layout, claims, weights)
        assert np.array_equal(k_from_mont(_functional(geometry, merged, dense, columns, eq_rho)), wanted)
