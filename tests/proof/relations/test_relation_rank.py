"""The opening hides what it opens for the claims of relations too: the exact rank computation of `test_rank`, with
their functionals (dense terms, steps, cut outer products) at one point of the equations and one of the inner product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from huref.circuits.argument.functional import Claim, Columns
from huref.circuits.argument.opening import pad_coefficients
from huref.circuits.relations.bilinear import product_functionals
from huref.circuits.relations.layout import lay_out
from huref.circuits.relations.linear import linear_part
from huref.circuits.relations.weights import EquationWeights, point_sizes
from huref.common.algebra.field import DEGREE, P
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form
from tests.proof import test_rank
from tests.support.functionals import random_point
from tests.support.terms import coefficients
from tests.support.toy_relations import toy

pytestmark = pytest.mark.slow
NAMES = ("projection", "row", "causal", "stored at", "mapped", "mix")
MATRICES = (
    "x",
    "y",
    "scalar",
    "per head",
    "query",
    "key",
    "value",
    "share",
    *(f"{name}.slack" for name in NAMES),
)
WHOLE = toy((1, 2), 8, 2, 2, 1).relations
RELATIONS = replace(
    WHOLE,
    stack=tuple(weight for weight in WHOLE.stack if weight.name in ("read0", "read1", "row0")),
    matrices=tuple(matrix for matrix in WHOLE.matrices if matrix.name in MATRICES),
    looks=(),
    equations=tuple(equation for equation in WHOLE.equations if equation.name in NAMES),
    products=tuple(product for product in WHOLE.products if product.equation in NAMES),
)
LAYOUT = lay_out(RELATIONS, test_rank.W)
DATA = {"W": LAYOUT.weight_rows, "A": LAYOUT.pad_start}
MASK_START = LAYOUT.pad_start + 10
PLACES: Any = SimpleNamespace(
    w=LAYOUT.w, pads=test_rank.PADS, pad_start=LAYOUT.pad_start, mask_start=MASK_START
)


@cache
def claims() -> tuple[list[Claim], Columns]:
    """The equations and both sides of the inner product, with pads in their values."""
    columns = Columns(LAYOUT.w)
    point = random_point(sum(point_sizes(LAYOUT.relations, LAYOUT.w)), 1)
    weights = EquationWeights(LAYOUT, point, random_point(1, 2)[0], columns)
    linear, _ = linear_part(weights)
    left, right = product_functionals(weights, random_point(LAYOUT.log_inner, 3), columns)
    pads = random_point(3 * test_rank.PADS.total, 4)
    found = []
    for number, functional in enumerate((linear, left, right)):
        own = pads[number * test_rank.PADS.total :][: test_rank.PADS.total]
        found.append(Claim(str(number), functional, Form(KS(1), dict(enumerate(own)))))
    return found, columns


def claim_map() -> np.ndarray:
    """`test_rank.claim_map`, with every kind of term."""
    given, columns = claims()
    equations = []
    for claim in given:
        data = {name: np.zeros((rows, LAYOUT.w, DEGREE), np.uint64) for name, rows in DATA.items()}
        data["A"] = np.zeros((MASK_START, LAYOUT.w, DEGREE), np.uint64)
        for term in claim.functional.terms:
            start, own = coefficients(term, columns)
            data[term.matrix][start : start + len(own)] += own
        pads = pad_coefficients(PLACES, [claim], [KS(1)])
        data["A"][LAYOUT.pad_start :] += pads.values[pads.choice]
        equations.append(
            np.concatenate([part.reshape(-1, DEGREE) for part in data.values()]).T % np.uint64(P)
        )
    return np.concatenate(equations)


@pytest.fixture(scope="module")
def opening() -> Iterator[tuple[test_rank.Instance, np.ndarray]]:
    with mock.patch.multiple(
        test_rank, DATA=DATA, PAD_START=LAYOUT.pad_start, MASK_START=MASK_START, LAYOUT=PLACES,
        claims=claims, claim_map=claim_map,
    ):  # fmt: skip
        instance = test_rank.Instance()
        yield instance, test_rank.linear_map(instance)


def test_view_is_linear(opening: tuple[test_rank.Instance, np.ndarray]) -> None:
    instance, matrix = opening
    unknown = np.random.default_rng(1).integers(0, P, matrix.shape[1]).astype(np.uint64)
    assert np.array_equal(test_rank.fdot(matrix, unknown[:, None])[:, 0], test_rank.view(instance, unknown))


def test_randomness_covers_every_view(opening: tuple[test_rank.Instance, np.ndarray]) -> None:
    assert test_rank.leaked(opening[1], opening[0]) == 0


@pytest.mark.parametrize("without", ["R", "R'", "rows W", "g"])
def test_every_kind_of_randomness_is_needed(
    without: str, opening: tuple[test_rank.Instance, np.ndarray]
) -> None:
    assert test_rank.leaked(opening[1], opening[0], (without,)) > 0
