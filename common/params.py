"""From a few knobs to the frozen geometry of the code and its openings (protocol §1, §4, §7).

Knobs are pinned by the protocol version and the caller's security level; everything else is computed from the
weights' shape and the proof's row counts, by the prover and the verifier alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.multilinear import log2_ceil

WIDTHS = (32, 64, 128, 256, 512, 1024)
CLEAR_ROWS = 4096  # up to this many rows y' is sent in the clear instead of committed
FAST_RATE_FROM = 1 << 27  # weights from which W and A are encoded at 1/FAST_RATE_INV
FAST_RATE_INV = 2


@dataclass(frozen=True)
class Knobs:
    """`security` λ in bits; `grinding` bits before each query round; `proofs` a commitment must outlive;
    1/`rate_inv` is the code rate of everything but the large matrices of a large model (`choose_rate`).
    """

    security: int = 100
    grinding: int = 20
    rate_inv: int = 4
    proofs: int = 16


def queries_for(domain: CodeDomain, bits: int) -> int:
    """Smallest t with ((1 + ρ)/2)^t ≤ 2^(−bits) for ρ = k'/n, in exact integer arithmetic."""
    numerator, denominator = domain.n + domain.k_prime, 2 * domain.n
    t, left, right = 0, 1 << bits, 1
    while left > right:
        t, left, right = t + 1, left * numerator, right * denominator
    return t


def choose_rate(entries: int, knobs: Knobs) -> int:
    """Inverse rate of the codes of W and A for that many weights.

    A large model halves the work of encoding and hashing at the price of more opened leaves (193 instead of 118
    at λ = 100); in a small one the leaves weigh more. Both are within the unique-decoding radius.
    """
    return min(FAST_RATE_INV, knobs.rate_inv) if entries >= FAST_RATE_FROM else knobs.rate_inv


def most_queries(rate_inv: int, knobs: Knobs) -> int:
    """Query count at the full rate 1/rate_inv, an upper bound for every domain."""
    return queries_for(CodeDomain(k_prime=5, c=5, a=log2_ceil(rate_inv)), knobs.security - knobs.grinding)


@dataclass(frozen=True)
class CodeGeometry:
    """One committed matrix: `rows` data rows, `random` random ones, k' = domain.k_prime, `width` columns."""

    rows: int
    random: int
    width: int
    domain: CodeDomain
    queries: int

    @property
    def k_prime(self) -> int:
        """Polynomial length k'."""
        return self.domain.k_prime


def code_geometry(
    rows: int, random: int, width: int, align: int, rate_inv: int, knobs: Knobs
) -> CodeGeometry:
    """Geometry of a matrix whose k' is the least multiple of `align` holding the data and random rows.

    Rows between data and the multiple are random too.
    """
    k_prime = -(-(rows + random) // align) * align
    domain = CodeDomain.for_length(k_prime, rate_inv)
    queries = queries_for(domain, knobs.security - knobs.grinding)
    return CodeGeometry(rows, k_prime - rows, width, domain, queries)


@dataclass(frozen=True)
class WeightGeometry:
    """What the weights' commitment fixes for all proofs on it: widths w, w2, the code of W and its inverse rate."""

    w: int
    w2: int
    rate_inv: int
    code: CodeGeometry


def choose_width(tensors: Sequence[tuple[int, int]], rate_inv: int, knobs: Knobs) -> int:
    """Row width w for tensors given as (rows, cols): the least estimated proof size, ties to the smaller."""
    queries = most_queries(rate_inv, knobs)

    def estimate(w: int) -> int:
        rows = 2 * sum(count * -(-cols // w) for count, cols in tensors)
        return 8 * queries * w + 40 * isqrt(queries * rows)

    return min(WIDTHS, key=estimate)


def weight_geometry(rows: int, w: int, rate_inv: int, knobs: Knobs) -> WeightGeometry:
    """Code and second-level width for a weights' matrix of `rows` data rows of width w."""
    queries = most_queries(rate_inv, knobs)
    w2 = 8
    while w2 < 1024 and (2 * w2) ** 2 * queries <= 4 * rows:
        w2 *= 2
    code = code_geometry(rows, knobs.proofs * queries + 1, w, w2, rate_inv, knobs)
    return WeightGeometry(w, w2, rate_inv, code)


@dataclass(frozen=True)
class OpeningGeometry:
    """All codes of one proof: W, A (five extra columns hold its mask), and level 2 (None: y' in the clear)."""

    w: int
    w2: int
    weights: CodeGeometry
    proof: CodeGeometry
    second: CodeGeometry | None

    @property
    def length(self) -> int:
        """Length of y' = (y'_W ‖ y'_A)."""
        return self.weights.k_prime + self.proof.k_prime


def opening_geometry(weights: WeightGeometry, proof_rows: int, knobs: Knobs) -> OpeningGeometry:
    """Geometry of the opening of a proof with `proof_rows` data rows in A."""
    random = most_queries(weights.rate_inv, knobs) + 1
    proof = code_geometry(proof_rows, random, weights.w + 5, weights.w2, weights.rate_inv, knobs)
    length = weights.code.k_prime + proof.k_prime
    second = None
    if length > CLEAR_ROWS:
        second = code_geometry(length // weights.w2, 0, 5 * weights.w2, 1, knobs.rate_inv, knobs)
    return OpeningGeometry(weights.w, weights.w2, weights.code, proof, second)
