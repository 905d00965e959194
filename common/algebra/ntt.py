"""Reed–Solomon encoding on cosets in numpy, the plain twin of `prover/kernels/transforms/ntt.py` (protocol §4)."""

from __future__ import annotations

import numpy as np

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import FArray, fadd, fmul, fpowers, fsub, root_of_unity


def bit_reversal(log_n: int) -> np.ndarray:
    """The permutation of [0, 2^log_n) that reverses the bits, as int64."""
    order = np.zeros(1, dtype=np.int64)
    for _ in range(log_n):
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def ntt(values: FArray) -> FArray:
    """Values at omega^e, e = 0, 1, .., of the polynomials in the columns of (2^a, width) coefficients."""
    size, width = values.shape
    log_n = size.bit_length() - 1
    if size != 1 << log_n:
        raise ValueError(f"transform size {size} is not a power of two")
    out = values[bit_reversal(log_n)]
    for level in range(log_n):
        half = 1 << level
        twiddles = fpowers(root_of_unity(level + 1), half)[None, :, None]
        blocks = out.reshape(size // (2 * half), 2, half, width)
        high = fmul(blocks[:, 1], twiddles)
        out = np.stack([fadd(blocks[:, 0], high), fsub(blocks[:, 0], high)], axis=1).reshape(size, width)
    return out


def encode_columns(coeffs: FArray, domain: CodeDomain) -> FArray:
    """Code of every column: coefficients (k', width) to values (n, width), row i at point index i."""
    rows, width = coeffs.shape
    if rows != domain.k_prime:
        raise ValueError(f"expected {domain.k_prime} coefficients per column, got {rows}")
    out = np.empty((domain.n, width), dtype=np.uint64)
    size = domain.subgroup
    for coset in range(1, domain.c + 1):
        scaled = fmul(coeffs, fpowers(domain.shift(coset), rows)[:, None])
        folded = np.zeros((size, width), dtype=np.uint64)
        for start in range(0, rows, size):  # mod X^(2^a) - shift^(2^a), the shift already multiplied in
            part = scaled[start : start + size]
            folded[: len(part)] = fadd(folded[: len(part)], part)
        out[(coset - 1) * size : coset * size] = ntt(folded)
    return out
