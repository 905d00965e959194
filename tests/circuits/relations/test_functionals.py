"""Every kind of term and product: the functionals on committed data against integers, at random points."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from huref.circuits.argument.functional import Columns
from huref.circuits.relations.bilinear import product_functionals
from huref.circuits.relations.layout import lay_out
from huref.circuits.relations.linear import linear_part
from huref.circuits.relations.products import Product
from huref.circuits.relations.program import Look, Own, Spread
from huref.circuits.relations.terms import Equation, Linear
from huref.circuits.relations.weights import EquationWeights, point_sizes
from huref.common.algebra.field import kdot
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table
from huref.prover.argument.lookup_tree import scalar
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import k_from_mont
from huref.prover.relations.values import Values
from huref.prover.relations.vectors import product_sides
from tests.support.functionals import committed, random_point, value, weighted, whole
from tests.support.inference_runs import TINY, make_run
from tests.support.relations import Checker, seen
from tests.support.toy_relations import BITS, Toy, toy

TOYS = {
    "one block": toy(2, 32, 3, 6, 3, seed=1),
    "a cut block": toy(5, 40, 2, 4, 2, seed=2),
    "tokens in two blocks": toy(37, 72, 2, 4, 1, seed=3),
    "sequences of one length": toy((3, 3, 3), 40, 2, 4, 2, seed=4),
    "a sequence that begins inside a block": toy((3, 40, 1, 2, 2), 40, 2, 4, 2, seed=5),
    "whole blocks": toy(2, 96, 2, 4, 4, seed=6),
}
ETA = random_point(1, 4)[0]


@pytest.fixture(scope="module", params=TOYS)
def made(request: pytest.FixtureRequest) -> Toy:
    return TOYS[request.param]


def weights_of(one: Toy) -> tuple[EquationWeights, list[KS]]:
    layout = one.setup.layout
    point = random_point(sum(point_sizes(layout.relations, layout.w)), 5)
    return EquationWeights(layout, point, ETA, Columns(layout.w)), point


def terms(one: Toy) -> list[tuple[Equation, Linear]]:
    return [(equation, term) for equation in one.relations.equations for term in equation.linear]


def test_all_kinds_are_there() -> None:
    found = TOYS["one block"]
    assert {type(term).__name__ for _, term in terms(found)} == {kind.__name__ for kind in Linear.__args__}
    assert {type(x).__name__ for x in found.relations.products} == {
        kind.__name__ for kind in Product.__args__
    }


def test_linear_terms(made: Toy) -> None:
    cells, checker = committed(made), Checker(made.relations, made.found, made.weights)
    for equation, term in terms(made):
        alone = tuple(
            replace(e, linear=(term,) if e.name == equation.name else ()) for e in made.relations.equations
        )
        one = replace(
            made, relations=replace(made.relations, equations=alone, products=made.relations.products)
        )
        weights, point = weights_of(one)
        functional, constant = linear_part(weights)
        f = equation.frame
        sums = np.broadcast_to(checker.linear(f, term), (f.outer, f.inner, f.heads, f.cols)).copy()
        if f.causal:
            sums *= seen(f)
        expected = weighted(weights, point, ETA, equation.name, sums)
        assert value(functional, cells) + constant == expected, (equation.name, term)


def assert_extended(layout: Any, weights: EquationWeights, sides: tuple[Any, Any], cells: Any) -> None:
    """Both functionals of the products give the extensions of the prover's vectors."""
    zeta = random_point(layout.log_inner, 6)
    eq = eq_table(zeta)[: sides[0].shape[1]]
    for side, functional in zip(sides, product_functionals(weights, zeta, weights.columns), strict=True):
        assert value(functional, cells) == KS.from_array(kdot(eq, k_from_mont(side)))


def test_products(made: Toy) -> None:
    """⟨l, r⟩ of the prover's vectors is the weighted sum of integers, and both functionals give their extensions."""
    cells, checker = committed(made), Checker(made.relations, made.found, made.weights)
    for product in made.relations.products:
        one = replace(made, relations=replace(made.relations, products=(product,)))
        weights, point = weights_of(one)
        layout = one.setup.layout
        left, right = whole(product_sides(weights, Values(layout, made.found), made.weights))
        expected = KS(0)
        for name, sums in checker.products(product):
            frame = made.relations.equation[name].frame
            expected += weighted(weights, point, ETA, name, sums * (seen(frame) if frame.causal else 1))
        assert scalar(vectors.dot(left, right)) == expected, product
        assert_extended(layout, weights, (left, right), cells)


@pytest.mark.parametrize("vocab", [96, 70])
@pytest.mark.parametrize("hidden", [(1,), (3,)])
def test_hidden_tokens_of_a_vocabulary_of_several_blocks(hidden: tuple[int, ...], vocab: int) -> None:
    """One hidden token and several, where the last block of the vocabulary is whole and where it is cut."""
    run = make_run(replace(TINY, vocab=vocab), 5, (1, 4), hidden=hidden)
    made = Toy(run.relations, run.weights, run.found)
    weights, _ = weights_of(made)
    layout = made.setup.layout
    assert layout.w == 32
    sides = whole(product_sides(weights, Values(layout, made.found), made.weights))
    assert_extended(layout, weights, sides, committed(made))


def test_a_program_of_all_of_them(made: Toy) -> None:
    assert made.wrong() == []
    weights, _ = weights_of(made)
    functional, constant = linear_part(weights)
    layout = made.setup.layout
    left, right = whole(product_sides(weights, Values(layout, made.found), made.weights))
    assert value(functional, committed(made)) + constant + scalar(vectors.dot(left, right)) == KS(0)


def test_a_number_of_a_row_is_not_spread_over_sequences_of_several_lengths() -> None:
    """A run of some tokens' rows would begin inside the row that such numbers are committed as."""
    made = toy((3, 2), seed=6)
    share, per_head = made.relations.matrix["share"], made.relations.matrix["per head"]
    look = Look("spread share", BITS, share.frame, False, (Spread(per_head), Own(share)))
    with pytest.raises(TypeError, match="no place to spread to"):
        lay_out(replace(made.relations, looks=(*made.relations.looks, look)), 32)
