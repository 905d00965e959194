"""What a proof of inference says about a run: how far each claimed token is below the best one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import UsageError


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


def answer_claims(ids: Sequence[int], first: int) -> list[tuple[int, int]]:
    """The claims that the tokens from index `first` ≥ 1 on each follow from those before them."""
    if not 1 <= first <= len(ids):
        raise UsageError(f"an answer begins at 1..{len(ids)}, not {first}")
    return [(i - 1, ids[i]) for i in range(first, len(ids))]
