"""The compiled field kernels equal their numpy twins (protocol §1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numba import njit

from huref.common.algebra import field as F
from huref.common.algebra.field import P
from huref.prover.kernels import threads
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import (
    from_mont,
    k_from_mont,
    k_to_mont,
    kmul,
    madd,
    mmul,
    msub,
    to_mont,
)
from huref.prover.kernels.field.simd import LANES, vbroadcast, vdot_small, vlifted, vload, vstore
from huref.prover.kernels.field.small import small_matvec, small_vecmat
from tests.support.field_strategies import EDGES, k_pairs, random_k


def same(limbs: np.ndarray, expected: np.ndarray) -> None:
    assert limbs.dtype == np.uint32
    assert np.array_equal(k_from_mont(limbs), expected)


def raw(k: np.ndarray) -> np.ndarray:
    """Limbs as if they were Montgomery residues, so that edge values hit the representation itself."""
    return np.ascontiguousarray(k.T.astype(np.uint32))


def test_conversions() -> None:
    values = np.array(EDGES, dtype=np.uint64)
    assert to_mont(values).tolist() == [(v << 32) % P for v in EDGES]
    assert np.array_equal(from_mont(to_mont(values)), values)
    assert np.array_equal(k_from_mont(k_to_mont(F.embed(values))), F.embed(values))


@njit
def _scalars(x: Any, y: Any) -> Any:
    return madd(x, y), msub(x, y), mmul(x, y)


@njit
def _product(a: Any, b: Any) -> Any:
    return kmul(a[0], a[1], a[2], a[3], a[4], b[0], b[1], b[2], b[3], b[4])


def test_scalars_on_all_pairs_of_edges() -> None:
    inverse = pow(1 << 32, -1, P)
    for a in EDGES:
        for b in EDGES:
            total, difference, product = _scalars(np.uint32(a), np.uint32(b))
            assert total == (a + b) % P
            assert difference == (a - b) % P
            assert product == a * b * inverse % P


@settings(max_examples=60, deadline=None)
@given(k_pairs(30))
def test_vector_operations(pair: tuple[np.ndarray, np.ndarray]) -> None:
    left, right = (raw(k) for k in pair)
    a, b = k_from_mont(left), k_from_mont(right)
    scalar, s = right[:, 0], b[0]
    same(vectors.add(left, right), F.kadd(a, b))
    same(vectors.sub(left, right), F.ksub(a, b))
    same(vectors.mul(left, right), F.kmul(a, b))
    same(vectors.scale(left, scalar), F.kmul(a, s))
    same(vectors.fma(left, scalar, right), F.kadd(a, F.kmul(b, s)))
    same(vectors.lerp(left, right, scalar), F.kadd(a, F.kmul(F.ksub(b, a), s)))
    same(vectors.dot(left, right), F.kdot(a, b))
    same(vectors.total(left), F.ksum(a))
    same(vectors.mul_base(left, right[0]), F.kscale(a, b[:, 0]))
    assert np.array_equal(vectors.from_plain(a), left)
    assert np.array_equal(vectors.from_plain(a.astype(np.uint32)), left)
    assert np.array_equal(vectors.to_plain(left), a)
    product = np.array(_product(left[:, 0], right[:, 0]), dtype=np.uint32)
    same(product, F.kmul(a[0], b[0]))


def test_worst_case_of_the_lazy_reduction() -> None:
    for value in ((P - 1) // 2, (P + 1) // 2, P - 1):
        limbs = np.full((5, 16), value, dtype=np.uint32)
        k = k_from_mont(limbs)
        same(vectors.mul(limbs, limbs), F.kmul(k, k))
        same(np.array(_product(limbs[:, 0], limbs[:, 0]), dtype=np.uint32), F.kmul(k[0], k[0]))


@pytest.mark.parametrize("n", [2, 34, 1 << 17])
def test_fold_and_threads(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b, r = random_k(rng, n), random_k(rng, n), random_k(rng, 1)
    left, right, scalar = k_to_mont(a), k_to_mont(b), k_to_mont(r[0])
    half = n // 2
    expected = F.kadd(a[:half], F.kmul(F.ksub(a[half:], a[:half]), r[0]))
    same(vectors.fold(left, scalar), expected)
    same(vectors.lerp(left[:, :half], left[:, half:], scalar), expected)
    same(vectors.mul(left, right), F.kmul(a, b))
    same(vectors.dot(left, right), F.kdot(a, b))
    same(vectors.add(left, right, out=left), F.kadd(a, b))


@pytest.mark.parametrize(
    ("n", "half"), [(2, 1), (3, 2), (16, 8), (24, 16), (27, 16), ((1 << 16) + 72, 1 << 16)]
)
def test_halves_of_tables_that_may_end_early(n: int, half: int) -> None:
    rng = np.random.default_rng(n)
    a, b, r = random_k(rng, n), random_k(rng, n), random_k(rng, 1)
    (low, high), (low_b, high_b) = (
        np.pad(x, ((0, 2 * half - n), (0, 0))).reshape(2, half, 5) for x in (a, b)
    )
    zero, infinite = vectors.halves(k_to_mont(a), k_to_mont(b), half)
    same(zero, F.kdot(low, low_b))
    same(infinite, F.kdot(F.ksub(high, low), F.ksub(high_b, low_b)))
    same(vectors.fold(k_to_mont(a), k_to_mont(r[0]), half), F.kadd(low, F.kmul(F.ksub(high, low), r[0])))


@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 21), (700, 40), (1, 0), (0, 5)])
def test_outer_products_are_added_in_place(m: int, n: int) -> None:
    rng = np.random.default_rng(m)
    a, b, out = random_k(rng, m), random_k(rng, n), random_k(rng, m * n + 7)
    limbs = k_to_mont(out)
    vectors.add_outer(limbs, 4, k_to_mont(a), k_to_mont(b))
    out[4 : 4 + m * n] = F.kadd(out[4 : 4 + m * n], F.kouter(a, b).reshape(-1, 5))
    same(limbs, out)
    with pytest.raises(ValueError, match="fit"):
        vectors.add_outer(limbs, 8, k_to_mont(a), k_to_mont(b))


def test_shapes_are_checked() -> None:
    good = np.zeros((5, 4), dtype=np.uint32)
    for bad in (good[:4], good.astype(np.uint64), good[:, :3]):
        with pytest.raises(ValueError, match="K vector"):
            vectors.mul(good, bad)
    for length, half in ((3, None), (3, 1), (1, 2)):
        with pytest.raises(ValueError, match="fold"):
            vectors.fold(good[:, :length], good[:, 0], half)
    with pytest.raises(ValueError, match="halves"):
        vectors.halves(good, good, 1)
    with pytest.raises(ValueError, match="factors"):
        vectors.mul_base(good, good[0].astype(np.int64))
    with pytest.raises(ValueError, match="fit"):
        small_matvec(np.zeros((3, 5), dtype=np.int8), good)
    with pytest.raises(ValueError, match="entries"):
        small_matvec(np.zeros((3, 4), dtype=np.float64), good)


LIMITS = {np.int8: (-128, 128), np.int16: (-32768, 32768), np.int32: (-P + 1, P), np.uint32: (0, P)}


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 17), (131, 41), (5, 5000), (300, 8), (2, 0), (0, 3), (900, 100)]
)
def test_integer_matrix_products(dtype: type, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    m, n = shape
    low, high = LIMITS[dtype]
    matrix = rng.integers(low, high, shape).astype(dtype)
    left, right = random_k(rng, m), random_k(rng, n)
    assert np.array_equal(small_matvec(matrix, raw(right)).T, F.kmatvec(F.to_field(matrix), right))
    assert np.array_equal(small_vecmat(raw(left), matrix).T, F.kvecmat(left, F.to_field(matrix)))


@pytest.mark.parametrize("limb", [P - 32768, 32767, (P - 1) // 2, (P + 1) // 2])
@pytest.mark.parametrize("entry", [-128, 127])
def test_largest_partial_sums_of_bytes(limb: int, entry: int) -> None:
    """Every 16-bit digit product at its extreme, over more terms than one 32-bit partial sum may hold."""
    n = 9000
    matrix = np.full((19, n), entry, dtype=np.int8)
    vector = np.full((5, n), limb, dtype=np.uint32)
    assert np.all(small_matvec(matrix, vector) == entry * limb * n % P)
    assert np.all(small_vecmat(vector, np.ascontiguousarray(matrix.T)) == entry * limb * n % P)


@pytest.mark.parametrize("limb", [P - 32768, P - 32640, 32767, 127, 128, (P - 1) // 2, (P + 1) // 2])
@pytest.mark.parametrize("entry", [-32768, 32767])
def test_largest_partial_sums_of_shorts(limb: int, entry: int) -> None:
    """As above for 16-bit entries, whose digits have 8 bits."""
    n = 9000
    matrix, vector = np.full((n, 19), entry, np.int16), np.full((5, n), limb, np.uint32)
    assert np.all(small_vecmat(vector, matrix) == entry * limb * n % P)


def test_ranges_cover_the_work_once() -> None:
    seen = np.zeros(1001, dtype=np.int64)

    def mark(start: int, stop: int) -> int:
        seen[start:stop] += 1
        return start

    starts = threads.run_ranges(mark, 1001, 10)
    assert np.all(seen == 1)
    assert starts == sorted(starts)
    assert all(start % 8 == 0 for start in starts)
    assert threads.run_ranges(mark, 0, 10) == [0]


@njit
def _small_sums(high: Any, low: Any, out: Any) -> None:
    zero = vbroadcast(np.uint32(0))
    for i in range(0, len(high), LANES):
        x = vdot_small(zero, zero, zero, zero, zero, zero, vbroadcast(low), zero, zero, zero, vload(high, i))
        vstore(out, i, x)


def test_small_dot_reduces_every_sum() -> None:
    """The smallest and largest low part with every high part that three bytes and an offset can give."""
    high = np.arange((3 * 255 + 1) * (1 << 15), dtype=np.uint64)
    found = np.empty(len(high), np.uint32)
    for low in (0, P & 0xFFFF, (3 * 255 + 1) * 0xFFFF):
        _small_sums(high.astype(np.uint32), np.uint32(low), found)
        assert np.array_equal(found, (np.uint64(low) + (high << np.uint64(16))) % np.uint64(P))


@njit
def _small_dots(x: Any, low: Any, high: Any, out: Any) -> None:
    v = vbroadcast
    for i in range(0, len(out), LANES):
        x0, x1, x2 = vlifted(x, i, 128), vlifted(x, len(out) + i, 128), vlifted(x, 2 * len(out) + i, 128)
        lows, highs = (
            (v(low[0]), v(low[1]), v(low[2]), v(low[3])),
            (v(high[0]), v(high[1]), v(high[2]), v(high[3])),
        )
        vstore(out, i, vdot_small(x0, x1, x2, *lows, *highs))


def test_small_dot_of_bytes() -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(-128, 128, (3, 4096)).astype(np.int8)
    for scales in (rng.integers(0, P, 4), np.full(4, P - 1), np.zeros(4, np.int64)):
        digits = scales.astype(np.uint32)
        found = np.empty(4096, np.uint32)
        _small_dots(x.reshape(-1), digits & np.uint32(0xFFFF), digits >> np.uint32(16), found)
        expected = ((x.astype(np.int64) + 128) * scales[:3, None]).sum(0) + scales[3]
        assert np.array_equal(found, expected % P)
