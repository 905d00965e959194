"""The inner product whose vectors are made where they are read, against the one that holds them."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import log2_ceil
from huref.prover.argument.inner import ProductOracle
from huref.prover.kernels.field.field import k_to_mont
from huref.prover.relations import sides
from huref.prover.relations.sides import Sides, SidesOracle
from tests.proof.oracles import elements
from tests.support.functionals import whole


def stretches(length: int, cuts: list[int]) -> tuple[Sides, np.ndarray, np.ndarray]:
    """Random vectors, of which every second stretch is zero and the others are read in parts."""
    left, right = (k_to_mont(elements(length)) for _ in range(2))
    made = Sides(length)
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, length], strict=True)):
        if number % 2:
            left[:, start:stop] = right[:, start:stop] = 0
            continue
        own = left[:, start:stop].copy(), right[:, start:stop].copy()
        if number % 4:
            made.put(start, *own)
        else:
            made.add(start, stop - start, lambda a, b, own=own: (own[0][:, a:b], own[1][:, a:b]))
    return made, left, right


@pytest.mark.parametrize(
    ("length", "cuts"),
    [(1, []), (64, []), (65, []), (300, [40, 41, 200]), (513, [8, 500, 510]), (769, [128])],
)
@pytest.mark.parametrize(("short", "chunk"), [(1, 7), (40, 64), (256, 1 << 10), (1 << 24, 1 << 20)])
def test_every_round_is_that_of_the_held_vectors(
    length: int, cuts: list[int], short: int, chunk: int
) -> None:
    made, left, right = stretches(length, cuts)
    both = whole(made)
    assert np.array_equal(both[0], left) and np.array_equal(both[1], right)
    with mock.patch.object(sides, "SHORT_ENTRIES", short), mock.patch.object(sides, "_CHUNK", chunk):
        lazy, held = SidesOracle(made), ProductOracle(left, right)
        assert lazy.total() == held.total()
        for value in elements(log2_ceil(length)):
            assert lazy.message() == held.message()
            lazy.bind(KS.from_array(value))
            held.bind(KS.from_array(value))
        assert lazy.finals() == held.finals()
