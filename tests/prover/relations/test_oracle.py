"""What a proof of relations reads: its integers as rows, and inner products whose length is no power of two."""

from __future__ import annotations

import numpy as np
import pytest

from huref.common.algebra.field import DEGREE, P, kdot
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table
from huref.common.errors import ProverError
from huref.prover.argument.inner import ProductOracle
from huref.prover.kernels.field.field import k_to_mont
from huref.prover.relations.values import Values
from tests.support.functionals import random_point
from tests.support.toy_relations import toy


@pytest.mark.parametrize("length", [1, 2, 3, 8, 13, 96])
def test_rounds_are_those_of_the_padded_vectors(length: int) -> None:
    rng = np.random.default_rng(length)
    left, right = (rng.integers(0, P, (length, DEGREE)).astype(np.uint64) for _ in range(2))
    oracle = ProductOracle(k_to_mont(left), k_to_mont(right))
    claim = oracle.total()
    assert claim == KS.from_array(kdot(left, right))
    point = random_point((length - 1).bit_length(), 7)
    for x in point:
        zero, infinite = oracle.message()
        claim = zero + x * (claim - 2 * zero) + x * (x - 1) * infinite
        oracle.bind(x)
    eq = eq_table(point)[:length]
    found = oracle.finals()
    assert found == (KS.from_array(kdot(eq, left)), KS.from_array(kdot(eq, right)))
    assert found[0] * found[1] == claim


def test_integers_of_another_shape_are_refused() -> None:
    made = toy(2, 32)
    values = Values(made.setup.layout, made.found)
    for matrix in made.relations.matrices:
        np.testing.assert_array_equal(
            values.plain(matrix).reshape(-1), made.found[matrix.name].reshape(-1), err_msg=matrix.name
        )
    with pytest.raises(ProverError, match=r"x: \(3,\) values"):
        Values(made.setup.layout, {**made.found, "x": np.zeros(3, np.int16)})
