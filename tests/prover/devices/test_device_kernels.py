"""Tensor arithmetic for GPUs, on CPU tensors: transforms and hashes against their definitions."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest
import torch

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import P
from huref.common.algebra.ntt import encode_columns
from huref.common.argument.merkle import MerkleTree
from huref.prover.devices.leaves import hash_nodes
from huref.prover.devices.products import MAX_RADIX_BITS, Step, Transforms, radices, reduce_, transform_order
from huref.prover.devices.sha256 import Sha256, block_words, byte_swap

CPU = torch.device("cpu")


@pytest.mark.parametrize("log_n", range(28))
def test_radices_multiply_to_the_size(log_n: int) -> None:
    for bits in (1, 3, MAX_RADIX_BITS):
        sizes = radices(log_n, bits)
        assert np.prod(sizes) == 1 << log_n
        assert max(sizes) <= 1 << bits and (min(sizes) > 1 or log_n == 0)


def test_order_of_uneven_digits() -> None:
    """Place k1·4 + k2 of a 2 x 4 split holds point k1 + 2·k2."""
    assert transform_order([2, 4]).tolist() == [0, 2, 4, 6, 1, 3, 5, 7]


@pytest.mark.parametrize("shift", [31, 31**8 % P])
@pytest.mark.parametrize("rest", [1, 2, 8192])
def test_sums_of_products_are_exact_in_float64(rest: int, shift: int) -> None:
    """The worst case of every row, plus what recombining and reducing add, stays below 2^53."""
    matrix = Step.of(1 << MAX_RADIX_BITS, rest, shift, CPU).matrix
    assert torch.equal(matrix, matrix.round())
    worst = int(matrix.abs().sum(1).max()) * (P - 1)
    assert worst + (P // 2 + 1) * (1 << 16) + P < 1 << 53


def test_reduction_at_the_edges() -> None:
    values = [
        s * (k * P + d) for s in (1, -1) for k in (0, 1, 2**21, 2**22 - 2) for d in (0, 1, P // 2, P - 1)
    ]
    values += [2**53 - 1, 1 - 2**53]
    reduced = reduce_(torch.tensor(values, dtype=torch.float64))
    for value, residue in zip(values, reduced.tolist(), strict=True):
        assert (value - int(residue)) % P == 0 and abs(residue) <= P // 2 + 1


def codes(coefficients: np.ndarray, domain: CodeDomain, bits: int) -> np.ndarray:
    """(k', width) integers to the code (n, width) in point order."""
    transforms = Transforms(domain, CPU, bits)
    data = torch.from_numpy(np.ascontiguousarray(coefficients.T).astype(np.float64))
    out = np.empty((domain.n, coefficients.shape[1]), np.int64)
    for coset in range(domain.c):
        start = coset * domain.subgroup
        out[start + transforms.order] = transforms.evaluate(data, coset).numpy().T
    return out


@pytest.mark.parametrize("a", range(10))
@pytest.mark.parametrize("bits", [1, 2, MAX_RADIX_BITS])
def test_transforms_equal_the_numpy_code(a: int, bits: int) -> None:
    rng = np.random.default_rng(a)
    for k_prime in {1, 1 << a, min((1 << a) + 1, 5 << a), 5 << a}:
        domain = CodeDomain(a, 5, k_prime)
        coefficients = rng.integers(0, P, (k_prime, 3), dtype=np.uint64)
        expected = encode_columns(coefficients, domain)
        assert np.array_equal(codes(coefficients, domain, bits), expected)


@pytest.mark.parametrize("value", [P - 1, 1 - P])
@pytest.mark.parametrize("a", [7, 14])
def test_extreme_coefficients(a: int, value: int) -> None:
    """Full radix and entries of the largest size, all alike and signed like a matrix row's digits."""
    domain = CodeDomain(a, 5, 1 << a)
    first = Step.of(128, (1 << a) // 128, domain.shift(1), CPU).matrix[133].sign().numpy()
    aligned = np.repeat(np.where(first == 0, 1, first), domain.k_prime // 128) * value
    coefficients = np.stack([np.full(domain.k_prime, value), aligned.astype(np.int64)], axis=1)
    expected = encode_columns(np.mod(coefficients, P).astype(np.uint64), domain)
    assert np.array_equal(codes(coefficients, domain, MAX_RADIX_BITS), expected)


def test_compressions_equal_hashlib() -> None:
    rng = np.random.default_rng(0)
    sha = Sha256(CPU)
    header = rng.bytes(64)
    rows = [rng.bytes(64) for _ in range(7)]
    state = sha.start(7, header)
    sha.compress(state, torch.tensor([block_words(row) for row in rows], dtype=torch.int32).T)
    sha.compress_constant(state, b"\x80" + bytes(55) + (8 * 128).to_bytes(8, "big"))
    digests = byte_swap(state).T.contiguous().numpy()
    assert digests.tobytes() == b"".join(sha256(header + row).digest() for row in rows)


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("count", [2, 14, 34])
def test_levels_build_the_same_tree(count: int, rows: int) -> None:
    digests = np.random.default_rng(count).integers(0, 256, (count, 32), dtype=np.uint8)
    sha = Sha256(CPU)
    assert MerkleTree(digests, lambda c: hash_nodes(sha, c, rows)).root == MerkleTree(digests).root
