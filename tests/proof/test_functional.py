"""Terms in factors: the row functional by its definition, as the prover makes it, and as the verifier folds it."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal
from unittest import mock

import numpy as np
import pytest

from huref.circuits.argument.folded import Cell, Folded, LevelFunctional, Powers, Rows
from huref.circuits.argument.functional import (
    Claim,
    Columns,
    Functional,
    Grouped,
    Own,
    Scattered,
    Stacked,
    Term,
)
from huref.common.algebra.field import P, fadd, kdot, kmul, kzero
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from huref.common.argument.hidden import Form
from huref.prover.argument.merged import merge, row_functional
from huref.prover.kernels.field.field import k_from_mont
from tests.proof.oracles import elements, scalars
from tests.proof.programs import Case
from tests.support.terms import coefficients as coefficients_of

Matrix = Literal["W", "A"]


def random_term(rng: np.random.Generator, matrix: Matrix, rows: int) -> Term:
    """Any lengths of the factors, cut anywhere, anywhere in the matrix: up to its last row."""
    m, n = int(rng.integers(1, 9)), int(rng.choice([1, 2, 5, 8]))
    right = elements(n) if rng.integers(3) else None
    length = m if right is None else m * n
    count = int(rng.integers(1, length + 1)) if rng.integers(2) else None
    kept = length if count is None else count
    start = int(rng.choice([0, rows - kept, rng.integers(0, rows - kept + 1)]))
    return Term(matrix, start, elements(m), f"c{rng.integers(3)}", right, count)


def random_stack(rng: np.random.Generator, rows: int) -> Stacked:
    """Tensors of any number and size."""
    n, each, blocks = (int(rng.integers(1, most)) for most in (4, 6, 5))
    start = int(rng.choice([0, rows - n * each * blocks, rng.integers(0, rows - n * each * blocks + 1)]))
    shapes = (n, each), (n, blocks)
    own = [elements(a * b).reshape(a, b, 5) for a, b in shapes]
    return Stacked("W", start, own[0], own[1], "c0", str(rng.choice(["c0", "c1"])))


def random_own(rng: np.random.Generator, matrix: Matrix, rows: int, w: int) -> list[Own]:
    """Groups of either kind, and cells, two of them in one place."""
    found: list[Own] = []
    for interleaved in (False, True):
        m, n = (int(rng.integers(1, most)) for most in (6, 9))
        start = int(rng.choice([0, rows - m * n, rng.integers(0, rows - m * n + 1)]))
        found.append(Grouped(matrix, start, elements(n), elements(m, w), interleaved))
    at, cols = rng.integers(0, rows, 7), rng.integers(0, w, 7)
    at[3], cols[3] = at[5], cols[5]
    return [*found, Scattered(matrix, at, cols, elements(7))]


def entries(stack: Stacked, at: dict[str, KS]) -> np.ndarray:
    """What a stack asks of every row, from its definition; `at` are the values of column vectors."""
    found = []
    for rows, blocks in zip(stack.rows, stack.blocks, strict=True):
        for row in rows:
            for b, block in enumerate(blocks):
                column = at[stack.tail if b == len(blocks) - 1 else stack.columns]
                found.append(kmul(kmul(row, block), column.array()))
    return np.stack(found)


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
            again = replace(term, right=None if term.right is None else elements(len(term.right)))
            functional.terms.append(again)  # with the left side of the last one
            part[:] = fadd(part, kmul(coefficients(again), at.array()))
            stack = random_stack(rng, geometry.weights.k_prime)
            functional.terms.append(stack)
            by_name = {name: KS.from_array(kdot(vector, eq_rho)) for name, vector in columns.vectors.items()}
            a = kmul(entries(stack, by_name), weight.array())
            part = wanted[stack.start : stack.start + len(a)]
            part[:] = fadd(part, a)
            for matrix, rows in (("W", geometry.weights.k_prime), ("A", geometry.proof.k_prime)):
                for own in random_own(rng, matrix, rows, layout.w):  # type: ignore[arg-type]
                    functional.terms.append(own)
                    start, cells = coefficients_of(own, columns)
                    a = np.stack([kdot(row, eq_rho) for row in cells])
                    part = wanted[base[matrix] + start :][: len(a)]
                    part[:] = fadd(part, kmul(a, weight.array()))
            claims.append(Claim(f"claim {i}", functional, Form.public(KS(0))))
        merged, own_vectors = merge(layout, claims, weights)
        assert np.array_equal(
            k_from_mont(row_functional(geometry, merged, own_vectors, columns, eq_rho)), wanted
        )
        rows = Rows(layout, geometry.weights.k_prime, claims, weights, columns, eq_rho)
        for bits in (0, 1, 3, 8):
            z, folded = folded_vector(geometry.length, bits)
            for long in (16, 1 << 8):  # terms that are written out, or not
                with mock.patch("huref.circuits.argument.folded._LONG", long):
                    assert rows.dot(folded) == KS.from_array(kdot(wanted, z))


def folded_vector(length: int, bits: int) -> tuple[np.ndarray, Folded]:
    """A random vector in factors, and its first `length` entries written out."""
    values, point = elements(-(-length >> bits) + 3), scalars(bits)
    whole = kmul(values[:, None], eq_table(point)[None]).reshape(-1, 5)
    return whole[:length], Folded(values, point)


@pytest.mark.parametrize("m", [1, 2, 7, 40])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 16, 43, 100])
def test_outer_products_by_blocks(m: int, n: int) -> None:
    """Any lengths and starts, and every block size: each gives what the products one by one give."""
    rng = np.random.default_rng(m + n)
    z, folded = folded_vector(4200, 5)
    for start in (0, 1, int(rng.integers(0, 200)), 4200 - m * n):
        left, right = elements(m), elements(n)
        wanted = KS.from_array(
            kdot(kmul(left[:, None], right[None]).reshape(-1, 5), z[start : start + m * n])
        )
        assert folded.outer_dot(start, left, right) == wanted
        for s in range(6):
            with mock.patch.object(Folded, "_work", staticmethod(lambda bits, *_, s=s: abs(bits - s))):
                assert folded.outer_dot(start, left, right) == wanted


@pytest.mark.parametrize(
    "n,rows,blocks", [(1, 1, 1), (3, 7, 5), (2, 40, 1), (5, 3, 8), (1, 9, 43), (30, 2, 3)]
)
def test_stacks_by_blocks(n: int, rows: int, blocks: int) -> None:
    """Any lengths and starts, and every block size."""
    z, folded = folded_vector(4200, 5)
    for start in (0, 1, 77, 4200 - n * rows * blocks):
        own, across = elements(n * rows).reshape(n, rows, 5), elements(n * blocks).reshape(n, blocks, 5)
        wanted = KS.from_array(
            kdot(
                kmul(own[:, :, None], across[:, None]).reshape(-1, 5),
                z[start : start + n * rows * blocks],
            )
        )
        assert folded.stacked_dot(start, own, across) == wanted
        for s in range(6):
            with mock.patch.object(
                Folded, "_stacked_work", staticmethod(lambda bits, *_, s=s: abs(bits - s))
            ):
                assert folded.stacked_dot(start, own, across) == wanted


@pytest.mark.parametrize("start,length", [(16, 40), (0, 96), (17, 79), (3, 38), (5, 2), (6, 4), (95, 1)])
def test_parts_of_a_level_fold_as_the_vector_does(start: int, length: int) -> None:
    """Powers and cells on 96 entries, folded by rows of 4 and then of 2, against f'[r] = Σ_c f[r·w + c]·eq(ρ, c)."""
    rng = np.random.default_rng(3)
    dense, points = kzero((96,)), rng.integers(1, P, 3).astype(np.uint64)
    nothing: Any = SimpleNamespace(dot=lambda _: KS(0))
    functional, weights = LevelFunctional(nothing), scalars(3)
    for x, weight in zip(points, weights, strict=True):
        for r in range(length):
            dense[start + r] = fadd(dense[start + r], (weight * pow(int(x), r, P)).array())
    functional.add(Powers(start, length, points, np.stack([weight.array() for weight in weights])))
    cell = scalars(1)[0]
    dense[77] = fadd(dense[77], cell.array())
    functional.add(Cell(77, cell))
    for w in (4, 2):
        rho = scalars(log2_ceil(w))
        functional.fold(rho)
        rows = dense.reshape(-1, w, 5)
        dense = np.stack([kdot(row, eq_table(rho)) for row in rows])
        y = elements(len(dense))
        assert functional.dot(y) == KS.from_array(kdot(dense, y))


def test_a_whole_model_takes_memory_by_its_claims() -> None:
    """6.6 million rows, of which three claims and an odd number of column blocks: never one array of that length."""
    count = 6_600_000
    folded = Folded(elements(500), scalars(14))
    left, right = elements(count // 4), elements(4)
    tracemalloc.start()
    total = folded.outer_dot(3, left[: count // 8], right)
    total += folded.outer_dot(1 << 20, elements(3000), elements(512)[:2048])
    total += folded.outer_dot(5, elements(40_000), elements(43))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total and peak < 600 << 20


def test_no_cells_are_no_term() -> None:
    """As where every token of a prompt is hidden: nothing is read at a public index."""
    functional = Functional(Columns(16))
    functional.scattered("W", np.empty(0, np.int64), np.empty(0, np.int64), elements(0))
    functional.grouped("A", 3, elements(2), np.zeros((4, 16, 5), np.uint64))
    assert not functional.terms
