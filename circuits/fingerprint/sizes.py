"""How many tokens `paper` uses and into how many blocks they are pooled.

K tokens are cut into P blocks of an even number K/P of tokens, so K is a multiple of 2P. P is a power of two between
32 and 256 (by default), halved only when the token list is too short for the larger one.
"""

from __future__ import annotations

from huref.common.errors import UsageError

DEFAULT_TOKENS = 4096
DEFAULT_BLOCKS = 256
SMALLEST_BLOCKS = 32


def choose_sizes(available: int, K: int = DEFAULT_TOKENS, P: int = DEFAULT_BLOCKS) -> tuple[int, int]:
    """The (K, P) actually used when `available` ordinary tokens exist and (K, P) are wanted.

    P is halved, down to 32, until two tokens per block are available; K becomes the largest multiple of 2P
    that is at most min(K, available). Both are part of the statement.

    Raises:
        UsageError: P is not a power of two of at least 32, K < 64, or fewer than 64 tokens are available.
    """
    if P < SMALLEST_BLOCKS or P & (P - 1):
        raise UsageError(f"P = {P} is not a power of two of at least {SMALLEST_BLOCKS}")
    if K < 2 * SMALLEST_BLOCKS:
        raise UsageError(f"K = {K} is less than {2 * SMALLEST_BLOCKS}, the fewest tokens that can be pooled")
    usable = min(K, available)
    if usable < 2 * SMALLEST_BLOCKS:
        raise UsageError(
            f"only {available} ordinary tokens, at least {2 * SMALLEST_BLOCKS} are needed",
            hint="the vocabulary or the token list is too short for a fingerprint",
        )
    while usable < 2 * P:
        P //= 2
    return usable - usable % (2 * P), P
