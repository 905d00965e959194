"""The compiled integer product is exact, at every remainder of its block sizes and at the largest entries."""

from __future__ import annotations

import numpy as np
import pytest

from prover.kernels.integer_gemm import product


@pytest.mark.parametrize(
    "shape", [(4, 16, 4), (5, 33, 7), (8, 1024, 12), (9, 2500, 18), (1, 1, 1), (16, 4096, 70)]
)
def test_equal_to_numpy(shape: tuple[int, int, int]) -> None:
    m, n, f = shape
    rng = np.random.default_rng(n)
    left = rng.integers(-2047, 2048, (m, n)).astype(np.int16)
    right = rng.integers(-128, 128, (f, n)).astype(np.int8)
    assert np.array_equal(product(left, right), left.astype(np.int64) @ right.astype(np.int64).T)


def test_largest_sums() -> None:
    left, right = np.full((4, 8192), 1023, np.int16), np.full((4, 8192), -128, np.int8)
    assert (product(left, right) == -1023 * 128 * 8192).all()


def test_operands_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        product(np.zeros((2, 3), np.int16), np.zeros((2, 4), np.int8))
