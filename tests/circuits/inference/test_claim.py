"""Gaps of claimed tokens."""

from __future__ import annotations

import numpy as np
import pytest

from huref.circuits.inference.claim import answer_claims, gaps
from huref.common.errors import UsageError

LOGITS = np.array([[5, -3, 9], [7, 7, -100]], np.int64)


def test_gaps() -> None:
    assert gaps(LOGITS, [(0, 2), (0, 0), (0, 1), (1, 1), (1, 2)]) == [0, 4, 12, 0, 107]


@pytest.mark.parametrize("claim", [(2, 0), (-1, 0), (0, 3), (0, -1)])
def test_claims_of_what_is_not_there_are_refused(claim: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="no token"):
        gaps(LOGITS, [claim])


def test_an_answer_is_claimed_token_by_token() -> None:
    assert answer_claims([4, 8, 15, 16], 2) == [(1, 15), (2, 16)]
    for first in (0, 5):
        with pytest.raises(UsageError, match="an answer begins"):
            answer_claims([4, 8, 15, 16], first)
