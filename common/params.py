"""From a few knobs to the frozen geometry of the code and its openings (protocol §1, §4, §7).

Knobs are pinned by the protocol version and the caller's security level; everything else is computed from the
weights' shape and the proof's row counts, by the prover and the verifier alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import DEGREE, K_BYTES
from huref.common.algebra.multilinear import log2_ceil
from huref.common.argument.merkle import DIGEST_BYTES, SALT_BYTES

WIDTHS = (32, 64, 128, 256, 512, 1024)
FAST_RATE_FROM = 1 << 27  # weights from which W and A are encoded at 1/FAST_RATE_INV
FAST_RATE_INV = 2
LEVEL_WIDTHS = (4, 8, 16, 32, 64)  # elements of K in a row of a level after the first
LEVEL_RATES_INV = (4, 8, 16)
MOST_LEVELS = 3  # levels after the first
LEVEL_MASK_ROWS = 2  # R and R' of every level after the first (protocol §7.4)
ENCODED_PER_BYTE = 4096  # encoded field elements that are worth a byte of the proof
LEAF_ELEMENTS = 64  # of them, what a leaf's own hash and its share of the tree count for


@dataclass(frozen=True)
class Knobs:
    """`security` λ in bits; `grinding` bits before each query round; `proofs` a commitment must outlive;
    1/`rate_inv` is the code rate of W and A unless the model is large (`choose_rate`).
    """

    security: int = 100
    grinding: int = 20
    rate_inv: int = 4
    proofs: int = 16

    @property
    def digest_bytes(self) -> int:
        """Bytes of a digest in a proof's own trees: collisions cost 2^(λ + 4) hashes, at most SHA-256's 2^128.

        The weights' tree serves proofs of every level and keeps whole digests.
        """
        return min(DIGEST_BYTES, -(-(2 * self.security + 8) // 8))


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
    """What the weights' commitment fixes for all proofs on it: width w, the width w2 of level 2, of which k' is a
    multiple, the code of W and its inverse rate.
    """

    w: int
    w2: int
    rate_inv: int
    code: CodeGeometry


def choose_width(tensors: Sequence[tuple[int, int]], rate_inv: int, knobs: Knobs) -> int:
    """Row width w for tensors given as (rows, cols): the least estimated cost, ties to the smaller.

    The cost is, as in `choose_levels`, the size of a proof whose two matrices have as many rows each, and what is
    encoded for them: a width that leaves much of the last column blocks empty encodes more.
    """
    queries = most_queries(rate_inv, knobs)

    def estimate(w: int) -> int:
        rows = sum(count * -(-cols // w) for count, cols in tensors) + queries
        path = DIGEST_BYTES * max(0, log2_ceil(rate_inv * rows) - log2_ceil(queries))
        leaves = 2 * queries * (4 * w + SALT_BYTES + path)
        work = 2 * rate_inv * rows * (w + LEAF_ELEMENTS) // ENCODED_PER_BYTE
        return leaves + work + _best_levels(2 * rows, LEVEL_WIDTHS, knobs)[0]

    return min(WIDTHS, key=estimate)


Plan = tuple[tuple[int, int], ...]
"""Row width in elements of K and inverse rate of every level after the first."""


def choose_levels(length: int, widths: tuple[int, ...], knobs: Knobs) -> Plan:
    """The cheapest levels for a vector of `length` elements of K, the first of one of the `widths`.

    The cost is the estimated size of the openings and of the last vector in bytes, and the field elements
    encoded over `ENCODED_PER_BYTE`. Ties go to fewer levels, then to smaller numbers.
    """
    return _best_levels(length, widths, knobs)[2]


@lru_cache(maxsize=1 << 12)  # a verification asks several times for every width
def _best_levels(length: int, widths: tuple[int, ...], knobs: Knobs) -> tuple[int, int, Plan]:
    """Cost, number and plan of the levels that `choose_levels` chooses."""
    least = {rate_inv: most_queries(rate_inv, knobs) for rate_inv in LEVEL_RATES_INV}
    floor = min(  # no level costs less
        _level_cost(min(LEVEL_WIDTHS), rate_inv, queries, queries) + 2 * K_BYTES * queries
        for rate_inv, queries in least.items()
    )

    @cache
    def best(length: int, w: int, more: int) -> tuple[int, int, Plan]:
        rows_at = {rate_inv: -(-length // w) + LEVEL_MASK_ROWS + least[rate_inv] + 1 for rate_inv in least}
        found: tuple[int, int, Plan] = min(
            (
                _level_cost(w, rate_inv, rows, least[rate_inv]) + K_BYTES * (rows + least[rate_inv]),
                1,
                ((w, rate_inv),),
            )
            for rate_inv, rows in rows_at.items()
        )
        for rate_inv, rows in rows_at.items() if more else ():
            for width in LEVEL_WIDTHS:
                whole = -(-rows // width) * width
                own = _level_cost(w, rate_inv, whole, least[rate_inv])
                if own + floor <= found[0]:
                    cost, count, plan = best(whole, width, more - 1)
                    found = min(found, (own + cost, 1 + count, ((w, rate_inv), *plan)))
        return found

    return min(best(length, w, MOST_LEVELS - 1) for w in widths)


def _level_cost(w: int, rate_inv: int, rows: int, queries: int) -> int:
    """Estimated cost of a level of `rows` rows without a mask, and with what follows left out."""
    n, (fixed, opened) = rate_inv * rows, _level_constants(w, queries)
    path = DIGEST_BYTES * max(0, (n - 1).bit_length() - opened)
    return fixed + queries * path + n * (DEGREE * w + LEAF_ELEMENTS) // ENCODED_PER_BYTE


@cache
def _level_constants(w: int, queries: int) -> tuple[int, int]:
    """Bytes of a level's messages and leaves without their paths, and the bits of the number of leaves."""
    messages = 2 * K_BYTES * (log2_ceil(w) + 1) + DIGEST_BYTES
    return queries * (K_BYTES * w + SALT_BYTES) + messages, log2_ceil(queries)


def weight_geometry(rows: int, w: int, rate_inv: int, knobs: Knobs) -> WeightGeometry:
    """Code and second-level width for a weights' matrix of `rows` data rows of width w.

    w2 is the best for a proof whose two matrices have as many rows each.
    """
    random = knobs.proofs * most_queries(rate_inv, knobs) + 1
    w2 = choose_levels(2 * (rows + random), LEVEL_WIDTHS, knobs)[0][0]
    return WeightGeometry(w, w2, rate_inv, code_geometry(rows, random, w, w2, rate_inv, knobs))


@dataclass(frozen=True)
class LevelGeometry:
    """A level after the first: rows of w elements of K, limbs side by side, those of R and R' among them.

    The code of the last level has five more columns for the mask.
    """

    w: int
    code: CodeGeometry


@dataclass(frozen=True)
class OpeningGeometry:
    """All codes of one proof: W and A, which have rows of w elements of F, and the levels after them."""

    w: int
    weights: CodeGeometry
    proof: CodeGeometry
    levels: tuple[LevelGeometry, ...]

    @property
    def length(self) -> int:
        """Length of y = (y_W ‖ y_A)."""
        return self.weights.k_prime + self.proof.k_prime


def opening_geometry(weights: WeightGeometry, proof_rows: int, knobs: Knobs) -> OpeningGeometry:
    """Geometry of the opening of a proof with `proof_rows` data rows in A."""
    random = most_queries(weights.rate_inv, knobs) + 1
    proof = code_geometry(proof_rows, random, weights.w, weights.w2, weights.rate_inv, knobs)
    length = weights.code.k_prime + proof.k_prime
    plan = choose_levels(length, (weights.w2,), knobs)
    levels = []
    for (w, rate_inv), (align, _) in zip(plan, (*plan[1:], (0, 0)), strict=True):
        rows, width = length // w + LEVEL_MASK_ROWS, DEGREE * (w if align else w + 1)
        code = code_geometry(rows, most_queries(rate_inv, knobs) + 1, width, align or 1, rate_inv, knobs)
        levels.append(LevelGeometry(w, code))
        length = code.k_prime
    return OpeningGeometry(weights.w, weights.code, proof, tuple(levels))
