"""Code domains have the documented sizes and distinct points (protocol §4)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huref.common.algebra.domain import COSET_COUNTS, CodeDomain
from huref.common.algebra.field import P


@given(st.integers(1, 1 << 24), st.sampled_from([1, 2, 4, 8]))
def test_smallest_admissible_size(k_prime: int, rate_inv: int) -> None:
    domain = CodeDomain.for_length(k_prime, rate_inv)
    sizes = [(c << a, -a) for c in COSET_COUNTS for a in range(28) if c << a >= k_prime * rate_inv]
    assert (domain.n, -domain.a) == min(sizes)
    assert domain.n == domain.c << domain.a
    assert domain.rate <= 1 / rate_inv
    assert k_prime * rate_inv <= 5 or domain.n <= 1.25 * k_prime * rate_inv


@pytest.mark.parametrize("k_prime", [1, 2, 3, 5, 7, 100])
def test_points_are_distinct_and_as_documented(k_prime: int) -> None:
    domain = CodeDomain.for_length(k_prime)
    points = domain.points(np.arange(domain.n)).tolist()
    assert len(set(points)) == domain.n
    omega = pow(31, (P - 1) >> domain.a, P)
    size = 1 << domain.a
    assert points == [pow(31, i // size + 1, P) * pow(omega, i % size, P) % P for i in range(domain.n)]


def test_cosets_stay_distinct_at_full_two_adicity() -> None:
    size = 1 << 27
    assert len({pow(31, j * size, P) for j in range(1, 9)}) == 8


def test_out_of_range_is_an_error() -> None:
    domain = CodeDomain.for_length(9)
    for index in (-1, domain.n):
        with pytest.raises(IndexError):
            domain.points(np.array([0, index]))
    with pytest.raises(ValueError, match="length"):
        CodeDomain.for_length(0)
    with pytest.raises(ValueError, match="no domain"):
        CodeDomain.for_length(1 << 29)
    with pytest.raises(ValueError, match="no code domain"):
        CodeDomain(a=3, c=4, k_prime=1)
    with pytest.raises(ValueError, match="no code domain"):
        CodeDomain(a=0, c=5, k_prime=6)
