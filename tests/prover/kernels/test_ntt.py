"""Encoders: the numpy one equals polynomial evaluation, the compiled one equals the numpy one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import P, to_field
from huref.common.algebra.ntt import bit_reversal, encode_columns, ntt
from huref.prover.devices.compiled import encode_rows
from huref.prover.devices.matrix import StackedMatrix
from huref.prover.kernels.transforms.few_points import evaluate_integers
from tests import ROOT

VECTORS = json.loads((ROOT / "tests/vectors/field.json").read_text())


def evaluate(coefficients: list[int], point: int) -> int:
    value = 0
    for c in reversed(coefficients):
        value = (value * point + c) % P
    return value


def test_transform_vectors() -> None:
    for case in VECTORS["transforms"]:
        values = ntt(np.array(case["coefficients"], dtype=np.uint64)[:, None])
        assert values[:, 0].tolist() == case["values"]


def test_bit_reversal_is_an_involution() -> None:
    for log_n in range(8):
        order = bit_reversal(log_n)
        assert np.array_equal(order[order], np.arange(1 << log_n))
    assert bit_reversal(3).tolist() == [0, 4, 2, 6, 1, 5, 3, 7]
    with pytest.raises(ValueError, match="power of two"):
        ntt(np.zeros((3, 1), dtype=np.uint64))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(0, 2**32 - 1))
def test_code_is_evaluation_at_the_points(k_prime: int, width: int, rate_inv: int, seed: int) -> None:
    domain = CodeDomain.for_length(k_prime, rate_inv)
    coefficients = np.random.default_rng(seed).integers(0, P, (k_prime, width), dtype=np.uint64)
    code = encode_columns(coefficients, domain)
    points = domain.points(np.arange(domain.n)).tolist()
    columns = [[int(c) for c in column] for column in coefficients.T]
    assert code.tolist() == [[evaluate(column, x) for column in columns] for x in points]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 600), st.integers(1, 40), st.sampled_from([1, 2, 4, 8]), st.integers(0, 2**32 - 1))
def test_compiled_rows_equal_the_numpy_code(k_prime: int, width: int, rate_inv: int, seed: int) -> None:
    domain = CodeDomain.for_length(k_prime, rate_inv)
    rng = np.random.default_rng(seed)
    coefficients = rng.integers(0, P, (k_prime, width), dtype=np.uint32)
    coefficients[rng.random((k_prime, width)) < 0.1] = P - 1
    rows = np.flatnonzero(rng.random(domain.n) < 0.2)
    code = encode_columns(coefficients.astype(np.uint64), domain)
    assert np.array_equal(encode_rows(StackedMatrix([coefficients]), domain, rows), code[rows])


def test_wrong_number_of_rows_is_an_error() -> None:
    domain = CodeDomain.for_length(8)
    with pytest.raises(ValueError, match="8 coefficients"):
        encode_columns(np.zeros((7, 1), dtype=np.uint64), domain)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 900), st.integers(1, 70), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_values_at_few_points_equal_the_numpy_code(rows: int, width: int, count: int, seed: int) -> None:
    """Bytes, and wider entries up to the ends of F, with points of one coset and of all of them."""
    rng = np.random.default_rng(seed)
    segments = [
        rng.choice([-128, 127], (rows, width)).astype(np.int8),
        rng.integers(-128, 128, (rows // 2, width), dtype=np.int8),
        rng.choice([1 - P, P - 1, 0, -1], (rows // 7, width)).astype(np.int32),
        rng.choice([-(1 << 15), (1 << 15) - 1], (2, width)).astype(np.int16),
        rng.integers(0, P, (1, width), dtype=np.uint32),
    ]
    coefficients = np.concatenate([to_field(segment) for segment in segments])
    domain = CodeDomain.for_length(len(coefficients), 2)
    for end in (domain.n, domain.subgroup):
        at = np.sort(rng.choice(end, min(count, end), replace=False))
        values = encode_columns(coefficients, domain)[at]
        assert np.array_equal(evaluate_integers(segments, domain.points(at)), values)


def test_batches_of_bytes_and_columns_beside_equal_the_numpy_code() -> None:
    """Whole and broken batches, a segment of bytes that ends inside a run of pass one, more rows than 2^a."""
    rng = np.random.default_rng(8)
    for rows, width, rate_inv in ((130, 48, 2), (130, 128, 1), (700, 80, 1), (64, 24, 4)):
        segments = [
            rng.integers(-128, 128, (rows, width), dtype=np.int8),
            rng.integers(0, P, (9, width), np.uint32),
        ]
        beside = rng.integers(0, P, (rows + 9, 5), dtype=np.uint32)
        matrix = StackedMatrix(segments, beside)
        coefficients = np.concatenate([*map(to_field, segments)])
        domain = CodeDomain.for_length(matrix.rows, rate_inv)
        code = encode_columns(np.concatenate([coefficients, beside], axis=1), domain)
        assert np.array_equal(encode_rows(matrix, domain, range(domain.n)), code)
        assert np.array_equal(
            to_field(matrix.columns(0, matrix.width)), np.concatenate([coefficients, beside], 1)
        )
