"""Evaluation domains of the Reed–Solomon code: c cosets of one power-of-two subgroup (protocol §4).

The domain has n = c * 2^a points, c in {5, 6, 7, 8}. Point index (j-1)*2^a + e, with j = 1..c and
0 <= e < 2^a, is 31^j * omega^e for omega the fixed primitive 2^a-th root of unity. The cosets are distinct
because 31 generates F* and (p-1)/2^a >= 15 > c - 1. A codeword is the list of values at all points of a
polynomial with k' coefficients, rate k'/n <= 1/rate_inv.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref.common.algebra.field import GENERATOR, TWO_ADICITY, FArray, P, fmul, fpowers, root_of_unity

COSET_COUNTS = (5, 6, 7, 8)


@dataclass(frozen=True)
class CodeDomain:
    """c cosets of the subgroup of order 2^a, used for polynomials of `k_prime` coefficients."""

    a: int
    c: int
    k_prime: int

    def __post_init__(self) -> None:
        if not (0 <= self.a <= TWO_ADICITY and self.c in COSET_COUNTS and 1 <= self.k_prime <= self.n):
            raise ValueError(f"no code domain with a={self.a}, c={self.c}, k'={self.k_prime}")

    @classmethod
    def for_length(cls, k_prime: int, rate_inv: int = 4) -> CodeDomain:
        """The smallest c*2^a >= k_prime*rate_inv, ties to the larger a.

        The smallest domain has 5 points (a = 0), so very short codes have a rate below 1/rate_inv.
        ValueError if k_prime < 1 or the domain would exceed the field's 2-adicity.
        """
        target = k_prime * rate_inv
        if k_prime < 1 or rate_inv < 1:
            raise ValueError(f"no code of length {k_prime} at rate 1/{rate_inv}")
        candidates = []
        for c in COSET_COUNTS:
            a = max(0, (-(-target // c) - 1).bit_length())
            if a <= TWO_ADICITY:
                candidates.append((c << a, -a, c))
        if not candidates:
            raise ValueError(f"no domain for {k_prime} coefficients at rate 1/{rate_inv}")
        _, minus_a, c = min(candidates)
        return cls(a=-minus_a, c=c, k_prime=k_prime)

    @property
    def n(self) -> int:
        """Number of points, the code length."""
        return self.c << self.a

    @property
    def subgroup(self) -> int:
        """Order 2^a of the subgroup."""
        return 1 << self.a

    @property
    def rate(self) -> float:
        """k'/n, exactly what the soundness terms use."""
        return self.k_prime / self.n

    def shift(self, coset: int) -> int:
        """31^coset, the shift of coset 1..c."""
        return pow(GENERATOR, coset, P)

    def points(self, indices: np.ndarray) -> FArray:
        """The points with the given indices, shape of `indices`. IndexError out of [0, n)."""
        index = np.asarray(indices, dtype=np.int64)
        if index.size and (int(index.min()) < 0 or int(index.max()) >= self.n):
            raise IndexError(f"point index outside [0, {self.n})")
        exponent = (index & (self.subgroup - 1)).astype(np.uint64)
        shifts = fpowers(GENERATOR, self.c + 1)[(index >> self.a) + 1]
        result = shifts
        square = root_of_unity(self.a)
        for bit in range(self.a):
            taken = (exponent >> np.uint64(bit)) & np.uint64(1)
            result = fmul(result, np.where(taken == 1, np.uint64(square), np.uint64(1)))
            square = square * square % P
        return result
