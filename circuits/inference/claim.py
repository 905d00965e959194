"""What a proof of inference says about a run: how far claimed tokens are below the best ones, and how likely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.functions import odds
from huref.circuits.program.wide_tables import DISTANCE_BITS
from huref.common.errors import ProverError, Unsupported, UsageError


def gaps(logits: NDArray[np.int64], claims: Sequence[tuple[int, int]]) -> list[int]:
    """max_u L[t, u] − L[t, y] of every claim (position t, token y), at the unit of the logits; 0 for an argmax.

    A claim with the public gap g holds where this is at most g. `logits` are (tokens × vocabulary).

    Raises:
        UsageError: a position or token that is not there.
    """
    tokens, vocabulary = logits.shape
    found = []
    for position, token in claims:
        if not (0 <= position < tokens and 0 <= token < vocabulary):
            raise UsageError(f"no token {token} at position {position} of {tokens}")
        row = logits[position]
        found.append(int(row.max()) - int(row[token]))
    return found


ODDS_BITS = 2
"""Inverse probabilities count quarters, rounded up."""
ODDS_LIMIT = 1 << 18
"""No inverse probability is as large, in quarters."""


def odds_digit(vocabulary: int) -> int:
    """b ≤ 12 with vocabulary · 2^b ≤ 2^30: bits of both digits of what is summed over a vocabulary.

    Raises:
        Unsupported: a vocabulary for which there is none.
    """
    bits = min(12, 30 - (vocabulary - 1).bit_length())
    if bits < 8:
        raise Unsupported(f"inference: a vocabulary of {vocabulary} is too large")
    return bits


def likelihoods(distances: NDArray[np.int64], unit: int) -> tuple[NDArray[np.int64], int]:
    """2^(2b) · e^(−D), rounded up, of distances D (claims × vocabulary) at `unit`; and b."""
    bits, size = odds_digit(distances.shape[1]), 1 << DISTANCE_BITS
    return odds(unit, 2 * bits, size)[np.clip(distances, 0, size - 1)], bits


def odds_of(distances: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """Σ_u e^(−D_u), in quarters and rounded up, of every row of distances D (claims × vocabulary) at `unit`.

    Behind a claim with the gap 0 that is the inverse of the claimed token's probability.
    """
    found, bits = likelihoods(distances, unit)
    return -(-found.sum(axis=1) >> (2 * bits - ODDS_BITS))


def odds_parts(distances: NDArray[np.int64], unit: int) -> dict[str, NDArray[np.int64]]:
    """What a proof commits to of `odds_of`, by the matrix's name: digits of every e^(−D), sums and carries of rows.

    Raises:
        ProverError: a claimed token is too unlikely.
    """
    found, bits = likelihoods(distances, unit)
    high, low = found >> bits, found & ((1 << bits) - 1)
    carry = -(-low.sum(axis=1) >> bits)
    total = high.sum(axis=1) + carry
    quarters = -(-total >> (bits - ODDS_BITS))
    if int(quarters.max()) >= ODDS_LIMIT:
        raise ProverError("a claimed token is too unlikely for a proof")
    return {
        "head.odds1": high,
        "head.odds0": low,
        "odds.carry": carry,
        "odds.low": (carry << bits) - low.sum(axis=1),
        "odds": quarters,
        "odds.high": (quarters << (bits - ODDS_BITS)) - total,
    }


def claimed_odds(
    logits: NDArray[np.int64], claims: Sequence[tuple[int, int]], gaps: Sequence[int], unit: int
) -> int:
    """The sum of `odds_of` over claims (position t, token y) with these gaps, or one for all."""
    positions, tokens = np.array(claims).T
    rows = logits[positions]
    own = rows[np.arange(len(rows)), tokens] + np.array(gaps)
    return int(odds_of(own[:, None] - rows, unit).sum())


def answer_claims(ids: Sequence[int], first: int) -> list[tuple[int, int]]:
    """The claims that the tokens from index `first` ≥ 1 on each follow from those before them."""
    if not 1 <= first <= len(ids):
        raise UsageError(f"an answer begins at 1..{len(ids)}, not {first}")
    return [(i - 1, ids[i]) for i in range(first, len(ids))]
