"""The compiled kernels of reading, canonical form and rounding give the bits of plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from huref.prover.kernels.integers import canonical, reading
from huref.prover.kernels.integers.eigen import cholesky, symmetric_eigen
from huref.prover.kernels.integers.heads import accumulate, apply_maps, balance_heads, gram

LANES = 64


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def lane_sums(products: np.ndarray) -> np.ndarray:
    """Row sums of (m, n) float64 numbers in the pinned order."""
    m, n = products.shape
    lanes = np.zeros((m, LANES))
    for at in range(0, n, LANES):
        part = products[:, at : at + LANES]
        lanes[:, : part.shape[1]] += part
    while lanes.shape[1] > 1:
        lanes = lanes[:, : lanes.shape[1] // 2] + lanes[:, lanes.shape[1] // 2 :]
    return lanes[:, 0]


def ordered_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    out = np.zeros((a.shape[0], b.shape[1]))
    for k in range(len(b)):
        out += a[:, k, None] * b[k]
    return out


@pytest.mark.parametrize("width", [1, 48, 64, 1000])
def test_fold_rows(width: int) -> None:
    rows, gain, direction = normal(0, 130, width), normal(1, width), normal(2, width)
    length = float((direction.astype(np.float64) ** 2).sum())
    folded = rows * gain
    share = (lane_sums(folded.astype(np.float64) * direction.astype(np.float64)) / length).astype(np.float32)
    without = folded - share[:, None] * direction
    for expected, used, of in ((rows, gain[:0], 0.0), (folded, gain, 0.0), (without, gain, length)):
        out = rows.copy()
        squares = canonical.fold_rows(out, used, direction, of)
        assert np.array_equal(out, expected)
        assert np.array_equal(squares, lane_sums(expected.astype(np.float64) ** 2))


@pytest.mark.parametrize(("width", "window"), [(1, 1), (12, 8), (100, 64), (600, 512), (9000, 8192)])
def test_mix_rows(width: int, window: int) -> None:
    rows, factors = normal(3, 3, width), np.array([1.0, 0.1, 0.0])
    signs, starts = np.sign(normal(4, 2, width)), np.array([0, width - window])
    expected = rows * factors.astype(np.float32)[:, None]
    for sign, start in zip(signs, starts, strict=True):
        expected = expected * sign
        part = expected[:, start : start + window]
        step = 1
        while step < window:
            pairs = part.reshape(3, -1, 2, step)
            part = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
            step *= 2
        expected[:, start : start + window] = part.reshape(3, window) * np.float32(1 / np.sqrt(window))
    canonical.mix_rows(rows, factors, signs, starts, window)
    assert np.array_equal(rows, expected)


@pytest.mark.parametrize("width", [1, 64, 333])
def test_measure_and_round_rows(width: int) -> None:
    rows = normal(5, 130, width)
    squares, peaks = canonical.measure_rows(rows)
    assert np.array_equal(squares, lane_sums(rows.astype(np.float64) ** 2))
    assert np.array_equal(peaks, np.abs(rows).max(axis=1))
    step = np.float32(0.017)
    out = np.full((130, width + 5), 9, np.int8)
    canonical.round_rows(rows, step, 100, out)
    assert np.array_equal(out[:, :width], np.clip(np.rint(rows / step), -100, 100))
    assert not out[:, width:].any()
    out = np.empty((1, 4), np.int8)
    canonical.round_rows(np.array([[0.5, 1.5, -0.5, -2.5]], np.float32), np.float32(1), 127, out)
    assert out.tolist() == [[0, 2, 0, -2]]


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 4, 8), (33, 130, 70), (64, 7, 3), (5, 0, 4)])
def test_products_add_in_the_order_of_the_inner_index(shape: tuple[int, int, int]) -> None:
    m, inner, n = shape
    a, b = normal(6, m, inner).astype(np.float64), normal(7, inner, n) / 3.0
    out = np.zeros((m, n))
    accumulate(out, a, b.astype(np.float64), False)
    assert np.array_equal(out, ordered_product(a, b.astype(np.float64)))
    accumulate(upper := np.zeros((m, n)), a, b.astype(np.float64), True)
    assert np.array_equal(np.triu(upper), np.triu(out))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 300), (3, 40, 512)])
def test_gram(shape: tuple[int, int, int]) -> None:
    members, probe = normal(15, *shape), normal(16, shape[2])
    wide = np.concatenate(members.astype(np.float64), axis=1)
    out, along = np.empty((shape[1], shape[1])), np.empty((1, shape[1]))
    gram(members, probe, out, along)
    assert np.array_equal(out, ordered_product(wide, np.ascontiguousarray(wide.T)))
    assert np.array_equal(along, ordered_product(np.tile(probe, shape[0])[None].astype(np.float64), wide.T))


def test_apply_maps() -> None:
    maps, rows = normal(8, 2, 24, 24).astype(np.float64), normal(9, 6, 24, 700)
    expected = [ordered_product(maps[i // 3], rows[i].astype(np.float64)) for i in range(6)]
    apply_maps(maps, rows)
    assert np.array_equal(rows, np.array(expected).astype(np.float32))


@pytest.mark.parametrize("n", [1, 2, 5, 8, 33, 128])
def test_symmetric_eigen(n: int) -> None:
    root = normal(n, n, n) * np.logspace(0, -4, n)
    matrix = root @ root.T
    values, rows = np.empty(n), np.empty((n, n))
    symmetric_eigen(matrix.copy(), values, rows)
    assert (np.diff(values) <= 0).all()
    np.testing.assert_allclose(rows @ rows.T, np.eye(n), atol=1e-12)
    np.testing.assert_allclose((rows.T * values) @ rows, matrix, atol=1e-12 * values[0])


@pytest.mark.parametrize("matrix", [np.zeros((4, 4)), np.ones((4, 4)), np.diag([1.0, 3.0, 1.0, 0.0])])
def test_symmetric_eigen_of_special_matrices(matrix: np.ndarray) -> None:
    values, rows = np.empty(4), np.empty((4, 4))
    symmetric_eigen(matrix.copy(), values, rows)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1], atol=1e-12)
    np.testing.assert_allclose((rows.T * values) @ rows, matrix, atol=1e-12)


@pytest.mark.parametrize("rank", [0, 1, 5, 9])
def test_cholesky(rank: int) -> None:
    root = normal(10, 9, rank).astype(np.float64)
    gram = root @ root.T
    factor, inverse = np.empty((9, 9)), np.empty((9, 9))
    assert cholesky(gram, 1e-12, factor, inverse) == rank
    np.testing.assert_allclose(factor.T @ factor, gram, atol=1e-12)
    np.testing.assert_allclose(inverse @ gram, factor, atol=1e-10)
    assert not factor[rank:].any() and not inverse[rank:].any()


def test_maps_of_heads_are_balanced_factors() -> None:
    """128 rows, as real heads have, one side badly scaled: same product, same norms, as float64 would have it."""
    bad = np.linalg.qr(normal(11, 128, 128))[0] * np.logspace(0, 3, 128)
    stored = (bad @ normal(12, 128, 600))[None].astype(np.float32)
    grouped = (np.linalg.inv(bad).T @ normal(13, 128, 600))[None, None].astype(np.float32)
    left, right = balance_heads(stored, grouped, 1e-12, np.ones(600, np.float32), np.eye(128))
    v, o = stored[0].astype(np.float64), grouped[0, 0].astype(np.float64)
    np.testing.assert_allclose(left[0].T @ right[0], np.eye(128), atol=1e-7)
    one, other = left[0] @ v, right[0] @ o
    sigma = np.linalg.svd(np.linalg.qr(v.T)[1] @ np.linalg.qr(o.T)[1].T)[1]
    for side in (one, other):
        gram = side @ side.T
        np.testing.assert_allclose(np.diag(gram), sigma, rtol=1e-6)
        assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-6 * sigma[0]
    assert (one.sum(axis=1) >= 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (31, 65), (100, 40)])
def test_reading(shape: tuple[int, int]) -> None:
    matrix = normal(14, *shape)
    halves = (matrix.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    cut = (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)
    frozen = matrix.copy()
    frozen.flags.writeable = False
    for stored, expected in ((matrix, matrix), (frozen, matrix), (halves, cut)):
        for (found, finite), same in (
            (reading.widen(stored), expected),
            (reading.transpose(stored), expected.T),
        ):
            assert found.dtype == np.float32 and np.array_equal(found, same)
            assert finite and found.flags.writeable and found.flags.c_contiguous
    assert reading.widen(matrix)[0].base is matrix
    for bad in (np.nan, np.inf, -np.inf):
        spoiled = matrix.copy()
        spoiled[-1, -1] = bad
        for stored in (spoiled, (spoiled.view(np.uint32) >> np.uint32(16)).astype(np.uint16)):
            assert not reading.widen(stored)[1] and not reading.transpose(stored)[1]
    assert reading.widen(np.full((2, 3), np.finfo(np.float32).max))[1]
