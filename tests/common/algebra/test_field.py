"""The numpy field and the scalar K class equal plain integers and the galois vectors (protocol §1)."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref.common.algebra import field as F
from huref.common.algebra.field import P
from huref.common.algebra.kscalar import KS, ONE, ZERO, X
from huref.common.errors import Malformed
from tests import ROOT
from tests.support.field_strategies import EDGES, base_arrays, base_elements, k_arrays, k_pairs, random_k

VECTORS = json.loads((ROOT / "tests/vectors/field.json").read_text())


def schoolbook(x: list[int], y: list[int]) -> list[int]:
    """x * y mod X^5 - 2 in Python integers."""
    out = [0] * 9
    for i, a in enumerate(x):
        for j, b in enumerate(y):
            out[i + j] += a * b
    return [(out[i] + (2 * out[i + 5] if i < 4 else 0)) % P for i in range(5)]


def as_ints(k: np.ndarray) -> list[list[int]]:
    return [[int(limb) for limb in row] for row in k]


def test_constants_of_the_field() -> None:
    assert P == VECTORS["modulus"] == 15 * 2**27 + 1
    assert VECTORS["x5_minus_2_irreducible"] is True
    assert all(pow(F.GENERATOR, (P - 1) // q, P) != 1 for q in (2, 3, 5))
    for log_n in (0, 1, 5, 27):
        root = F.root_of_unity(log_n)
        assert pow(root, 1 << log_n, P) == 1
        assert log_n == 0 or pow(root, 1 << (log_n - 1), P) == P - 1
    with pytest.raises(ValueError, match="log_n"):
        F.root_of_unity(28)


def test_base_vectors() -> None:
    v = {key: np.array(values, dtype=np.uint64) for key, values in VECTORS["base"].items()}
    assert np.array_equal(F.fadd(v["a"], v["b"]), v["sum"])
    assert np.array_equal(F.fsub(v["a"], v["b"]), v["difference"])
    assert np.array_equal(F.fmul(v["a"], v["b"]), v["product"])
    nonzero = v["a"] != 0
    assert np.array_equal(F.finv(v["a"][nonzero]), v["inverse_a"][nonzero])


def test_extension_vectors() -> None:
    for case in VECTORS["extension"]:
        x, y = (np.array(case[key], dtype=np.uint64) for key in "xy")
        assert F.kmul(x, y).tolist() == case["product"]
        assert F.kinv(x).tolist() == case["inverse_x"]
        assert list(KS(case["x"]) * KS(case["y"])) == case["product"]
        assert list(KS(case["x"]).inverse()) == case["inverse_x"]


@given(base_arrays(2), st.data())
def test_base_arithmetic(a: np.ndarray, data: st.DataObject) -> None:
    b = data.draw(base_arrays(len(a), len(a)))
    x, y = [int(v) for v in a], [int(v) for v in b]
    assert F.fadd(a, b).tolist() == [(s + t) % P for s, t in zip(x, y, strict=True)]
    assert F.fsub(a, b).tolist() == [(s - t) % P for s, t in zip(x, y, strict=True)]
    assert F.fmul(a, b).tolist() == [s * t % P for s, t in zip(x, y, strict=True)]
    assert F.fneg(a).tolist() == [-s % P for s in x]
    exponent = data.draw(st.integers(0, 1 << 40))
    assert F.fpow(a, exponent).tolist() == [pow(s, exponent, P) for s in x]
    if 0 not in x:
        assert F.finv(a).tolist() == [pow(s, -1, P) for s in x]
        assert F.fpow(a, -3).tolist() == [pow(s, -3, P) for s in x]


@given(st.lists(st.integers(-(1 << 62), 1 << 62), min_size=1))
def test_signed_embedding(values: list[int]) -> None:
    embedded = F.to_field(np.array(values, dtype=np.int64))
    assert embedded.tolist() == [v % P for v in values]
    centred = F.to_signed(embedded)
    assert np.array_equal(F.to_field(centred), embedded)
    assert np.all(np.abs(centred) <= (P - 1) // 2)


def test_embedding_takes_every_integer_type_and_no_float() -> None:
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        assert F.to_field(np.array([-1, 0, 5], dtype=dtype)).tolist() == [P - 1, 0, 5]
    assert F.to_field(np.array([2**64 - 1], dtype=np.uint64)).tolist() == [(2**64 - 1) % P]
    with pytest.raises(TypeError):
        F.to_field(np.array([1.0]))


@given(k_pairs(), st.data())
def test_extension_arithmetic(pair: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    a, b = pair
    expected = [schoolbook(x, y) for x, y in zip(as_ints(a), as_ints(b), strict=True)]
    assert as_ints(F.kmul(a, b)) == expected
    assert as_ints(F.kmul(a, b[0])) == [schoolbook(x, as_ints(b)[0]) for x in as_ints(a)]
    total = [sum(column) % P for column in zip(*expected, strict=True)]
    assert F.kdot(a, b).tolist() == total
    assert F.ksum(F.kmul(a, b)).tolist() == total
    assert np.array_equal(F.kscale(a, b[:, 0]), F.kmul(a, F.embed(b[:, 0])))
    assert np.array_equal(F.kouter(a, b)[0, -1], F.kmul(a[0], b[-1]))
    e = data.draw(st.integers(0, 1000))
    assert np.array_equal(F.kpow(a[0], e), F.kpowers(a[0], e + 1)[-1])
    if all(any(x) for x in as_ints(a)):
        assert np.array_equal(F.kmul(a, F.kinv(a)), F.kone(len(a)))


@given(k_arrays(2, 2), base_elements, st.integers(-50, 50))
def test_scalar_class_matches_numpy(pair: np.ndarray, n: int, e: int) -> None:
    a, b = pair
    x, y = KS.from_array(a), KS.from_array(b)
    number = F.embed(np.uint64(n))
    assert np.array_equal((x + y).array(), F.kadd(a, b))
    assert np.array_equal((x - y).array(), F.ksub(a, b))
    assert np.array_equal((x * y).array(), F.kmul(a, b))
    assert np.array_equal((-x).array(), F.kneg(a))
    assert np.array_equal((x + n).array(), F.kadd(a, number))
    assert np.array_equal((n - x).array(), F.ksub(number, a))
    assert np.array_equal((n * x).array(), F.kmul(number, a))
    assert x.shift() == x * X
    assert x**0 == 1
    if x:
        assert np.array_equal((y / x).array(), F.kmul(b, F.kinv(a)))
        assert n / x == KS(n) * x.inverse()
        assert np.array_equal((x**e).array(), F.kpow(a, e))
    if n:
        assert y / n * n == y


def test_scalar_class_as_a_value() -> None:
    assert KS(5) == 5 == KS(5 + P)
    assert KS(-1) == -1
    assert KS((1, 2, 3, 4, 5)) != 1
    assert len({KS(7), 7, KS((7, 0, 0, 0, 0))}) == 1
    assert not ZERO
    assert ONE
    assert KS.list_from_array(F.kone(2)) == [ONE, ONE]
    with pytest.raises(ZeroDivisionError):
        ONE / ZERO
    with pytest.raises(ZeroDivisionError):
        ONE / P
    with pytest.raises(ValueError, match="limbs"):
        KS((1, 2))
    with pytest.raises(TypeError):
        ONE + 0.5  # type: ignore[operator]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 64, 100])
def test_powers(n: int) -> None:
    assert F.fpowers(31, n).tolist() == [pow(31, i, P) for i in range(n)]
    x = KS((3, 1, 4, 1, 5))
    assert as_ints(F.kpowers(x.array(), n)) == [list(x**i) for i in range(n)]


def test_inverse_of_zero_is_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        F.finv(np.array([3, 0], dtype=np.uint64))
    with pytest.raises(ZeroDivisionError):
        F.kinv(F.kzero(1))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint64])
def test_matrix_vector_products(dtype: type) -> None:
    rng = np.random.default_rng(3)
    low, high = (0, P) if dtype is np.uint64 else (max(np.iinfo(dtype).min, -P // 2), 0)
    matrix = rng.integers(low, high, (7, 30)).astype(dtype)
    matrix[0] = low if low else P - 1
    vector, other = random_k(rng, 30), random_k(rng, 7)
    ints = [[int(x) for x in row] for row in matrix]
    expected = [
        [sum(m * int(v[limb]) for m, v in zip(row, vector, strict=True)) % P for limb in range(5)]
        for row in ints
    ]
    assert as_ints(F.kmatvec(matrix, vector)) == expected
    assert np.array_equal(F.kvecmat(other, matrix), F.kmatvec(np.ascontiguousarray(matrix.T), other))


@pytest.mark.slow
def test_long_inner_products_stay_exact() -> None:
    """Worst case for the digit sums: all low digits 2^16 - 1, over more terms than 2^53 leaves room for."""
    n = (1 << 22) + 5
    a = np.full((n, 5), P - 2, dtype=np.uint64)
    unit = KS((P - 2,) * 5)
    assert KS.from_array(F.kdot(a, a)) == unit * unit * n


@settings(max_examples=50)
@given(k_arrays())
def test_bytes_round_trip(a: np.ndarray) -> None:
    data = F.encode_k(a)
    assert len(data) == 20 * len(a)
    assert np.array_equal(F.decode_k(data, len(a)), a)
    assert data[:4] == int(a[0, 0]).to_bytes(4, "little")
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(Malformed):
            F.decode_k(wrong, len(a))


@pytest.mark.parametrize("value", [P, P + 1, 2**32 - 1])
def test_non_canonical_bytes_are_malformed(value: int) -> None:
    data = F.encode_f(np.array(EDGES, dtype=np.uint64)) + value.to_bytes(4, "little")
    with pytest.raises(Malformed, match=f"index {len(EDGES)}"):
        F.decode_f(data, len(EDGES) + 1)
    assert F.decode_f(b"", 0).shape == (0,)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 5), (80, 90), (700, 64), (1, 5000), (2, 40000)])
def test_outer_products_and_folds(m: int, n: int) -> None:
    """By matrix products and one by one, the largest entries included."""
    rng = np.random.default_rng(m * n)
    for a, b in (
        (rng.integers(0, P, (m, 5)), rng.integers(0, P, (n, 5))),
        (np.full((m, 5), P - 1), np.full((n, 5), P - 1)),
    ):
        left, right = a.astype(np.uint64), b.astype(np.uint64)
        each = F.kmul(left[:, None], right[None])
        assert np.array_equal(F.kouter(left, right), each)
        assert np.array_equal(F.kfold(each, right), F.ksum(F.kmul(each, right).swapaxes(0, 1)))
