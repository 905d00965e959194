"""The executor's kernels are exact: products at every remainder of their block sizes and at the largest entries."""

from __future__ import annotations

import numpy as np
import pytest

from huref.circuits.program.program import SketchSum
from huref.prover.kernels.integers.integer_gemm import product
from huref.prover.kernels.integers.row_sums import row_sums
from huref.prover.kernels.integers.sites import signed_sums
from huref.prover.kernels.jit import flat_rows


@pytest.mark.parametrize(("kind", "size"), [(np.int8, 128), (np.int16, 256)])
@pytest.mark.parametrize(
    "shape",
    [
        (4, 16, 4),
        (5, 33, 7),
        (8, 1024, 12),
        (9, 2500, 18),
        (1, 1, 1),
        (16, 4096, 70),
        (1, 4100, 9),
        (7, 64, 8),
    ],
)
def test_equal_to_numpy(shape: tuple[int, int, int], kind: type, size: int) -> None:
    m, n, f = shape
    rng = np.random.default_rng(n)
    left = rng.integers(-2047, 2048, (m, n)).astype(np.int16)
    right = rng.integers(-size, size, (f, n)).astype(kind)
    assert np.array_equal(product(left, right), left.astype(np.int64) @ right.astype(np.int64).T)


@pytest.mark.parametrize("shape", [(1, 300, 9), (6, 80, 33)])
def test_rows_of_a_wider_matrix_are_read_where_they_lie(shape: tuple[int, int, int]) -> None:
    m, n, f = shape
    rng = np.random.default_rng(m)
    left = rng.integers(-2047, 2048, (m, n)).astype(np.int16)
    stored = rng.integers(-128, 128, (f, n + 20)).astype(np.int8)
    for right in (stored[:, :n], stored[::2, 7 : n + 7], stored[::-1, :n], stored.T[:n].T):
        flat, step = flat_rows(right)
        assert np.shares_memory(flat, stored) == (right.strides[0] > 0)
        assert [int(flat[row * step]) for row in range(len(right))] == right[:, 0].tolist()
        assert not flat.flags.writeable
        wide = right.astype(np.int64)
        assert np.array_equal(product(left, right), left.astype(np.int64) @ wide.T)
        some = np.ascontiguousarray(left[:, : len(right)])
        assert np.array_equal(row_sums(some, right), some.astype(np.int64) @ wide)


def test_largest_sums() -> None:
    left, right = np.full((4, 8192), 1023, np.int16), np.full((4, 8192), -128, np.int8)
    assert (product(left, right) == -1023 * 128 * 8192).all()
    assert (product(left, right.astype(np.int16)) == -1023 * 128 * 8192).all()


def test_operands_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        product(np.zeros((2, 3), np.int16), np.zeros((2, 4), np.int8))
    with pytest.raises(ValueError, match="do not fit"):
        product(np.zeros((2, 3), np.int16), np.zeros((2, 3), np.int32))


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (4, 256, 32), (5, 33, 7), (9, 301, 65), (12, 600, 130), (3, 2, 96), (1, 600, 70)]
)
def test_sums_of_rows(shape: tuple[int, int, int]) -> None:
    m, n, d = shape
    rng = np.random.default_rng(n)
    left = rng.integers(-2047, 2048, (m, n)).astype(np.int16)
    matrix = rng.integers(-128, 128, (n, d)).astype(np.int8)
    assert np.array_equal(row_sums(left, matrix), left.astype(np.int64) @ matrix.astype(np.int64))


def test_largest_sums_of_rows() -> None:
    left, matrix = np.full((4, 8192), 1023, np.int16), np.full((8192, 32), -128, np.int8)
    assert (row_sums(left, matrix) == -1023 * 128 * 8192).all()


def test_rows_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        row_sums(np.zeros((2, 3), np.int16), np.zeros((4, 2), np.int8))
    with pytest.raises(ValueError, match="do not fit"):
        row_sums(np.zeros((2, 3), np.int16), np.zeros((3, 2), np.int16))


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.float32])
def test_signed_sums(kind: type) -> None:
    """Entries in any order, on strided sources; float sums are those of the entries' order."""
    rng = np.random.default_rng(7)
    row, token = rng.permutation(np.repeat(np.arange(40), 3)), rng.permutation(120)
    acc = SketchSum("x", row, token, rng.choice([-1, 1], 120).astype(np.int8))
    source = (rng.normal(size=(120, 70)) * 50).astype(kind)[:, :33]
    found = signed_sums(acc, 40, source)
    expected = np.zeros((40, 33), np.float32 if kind is np.float32 else np.int32)
    np.add.at(expected, row, source[token].astype(expected.dtype) * acc.sign[:, None])
    assert found.dtype == expected.dtype and np.array_equal(found, expected)
