"""Values at a few points: every way to group them gives what the definition gives (protocol §4)."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import P, fpow
from huref.prover.kernels.transforms import few_points, few_points_plan
from huref.prover.kernels.transforms.few_points import evaluate_bytes
from huref.prover.kernels.transforms.few_points_plan import PointPlan, plan_points

DRAW = np.random.default_rng(7)


def by_definition(matrix: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    powers = [[pow(int(x), r, P) for r in range(len(matrix))] for x in points]
    values = np.array(powers, object) @ matrix.astype(object)
    return (values * weights.astype(object)[:, None] % P).astype(np.uint64)


@pytest.mark.parametrize("order", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize(("rows", "stride"), [(1, 1), (7, 2), (300, 1), (300, 8), (301, 64), (520, 512)])
def test_every_stride_and_order(rows: int, stride: int, order: int) -> None:
    """Points of a code, two of them in one slot, and any others; columns that fill no tile."""
    domain = CodeDomain.for_length(max(rows, 40), 2)
    chosen = domain.points(np.sort(DRAW.choice(domain.n, 23, replace=False)))
    points = np.concatenate([chosen, chosen[:1], DRAW.integers(1, P, 3, dtype=np.uint64)])
    weights = DRAW.integers(0, P, len(points), dtype=np.uint64)
    matrix = DRAW.integers(-128, 128, (rows, 37), dtype=np.int8)
    matrix[0], matrix[-1, :5] = -128, 127
    with mock.patch.object(few_points, "plan_points", lambda _, x: few_points_plan._group(x, stride, order)):
        assert np.array_equal(evaluate_bytes(matrix, points, weights), by_definition(matrix, points, weights))


def slots(plan: PointPlan) -> np.ndarray:
    """The slot of every point, in the order of the plan."""
    return np.repeat(np.arange(len(plan.first_point) - 1), np.diff(plan.first_point))


@pytest.mark.parametrize("order", [1, 4, 16])
def test_points_lie_in_the_group_that_they_belong_to(order: int) -> None:
    domain = CodeDomain.for_length(5000, 2)
    points = domain.points(np.sort(DRAW.choice(domain.n, 193, replace=False)))
    plan = few_points_plan._group(points, 64, order)
    assert len(plan.groups) % 2 == 0 and sorted(plan.points) == list(range(193))
    bits = order.bit_length() - 1
    for slot, x in zip(slots(plan), points[plan.points], strict=True):
        group, place = divmod(int(slot), order)
        exponent = int(f"{place:0{bits}b}"[::-1], 2) if bits else 0
        zeta = pow(int(plan.twiddles()[1]) if order > 2 else P - 1, exponent, P)
        assert pow(int(x), 64, P) == int(plan.groups[group]) * zeta % P


def test_a_plan_groups_the_points_of_a_long_code() -> None:
    """Few integer products, and sums that stay exact."""
    rows = 1 << 20
    domain = CodeDomain.for_length(rows, 2)
    points = domain.points(np.sort(DRAW.choice(domain.n, 193, replace=False)))
    plan = plan_points(rows, points)
    assert plan.order > 1 and len(plan.groups) <= domain.c + 1
    assert plan.terms(rows) * plan.order * plan.stride >= rows
    assert plan.terms(rows) <= few_points_plan.MOST_TERMS
    assert len(np.unique(fpow(points, plan.stride * plan.order))) <= len(plan.groups)
