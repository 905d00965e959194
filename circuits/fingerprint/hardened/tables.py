"""The public tables of `hardened-2`: pools and signs of tokens, and the map from terms to outputs.

A token's place depends on its bytes and on the challenge alone: not on its id, on its rank or on any other token, so
that a vocabulary which gains, loses or renumbers tokens keeps the places of all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.constants import (
    FEWEST_POOLS,
    FEWEST_TOKENS,
    LABEL,
    OUTPUTS,
    POOLS,
    ROW_BITS,
    TERMS,
    VECTOR,
)
from huref.common.errors import UsageError

CHALLENGE_BYTES = 32


@dataclass(frozen=True)
class Sketch:
    """A signed sketch: token k adds sign[k] times its row to pool[k]; both (K,)."""

    pool: NDArray[np.int64]
    sign: NDArray[np.int64]
    pools: int

    @property
    def total(self) -> NDArray[np.int64]:
        """Sum of the signs of every pool, (P,)."""
        return self._sums(self.sign)

    @property
    def count(self) -> NDArray[np.int64]:
        """Tokens of every pool, (P,)."""
        return self._sums(np.ones_like(self.sign))

    def _sums(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        out = np.zeros(self.pools, dtype=np.int64)
        np.add.at(out, self.pool, values)
        return out

    @property
    def bound(self) -> int:
        """|entry| of the centred sketch of 8-bit rows times multipliers is at most this."""
        k = len(self.pool)
        return int((k * self.count + k * np.abs(self.total)).max()) << (7 + ROW_BITS)


def pool_count(tokens: int) -> int:
    """P for so many tokens. Raises `UsageError` when they are too few for a fingerprint."""
    if tokens < FEWEST_TOKENS:
        raise UsageError(
            f"only {tokens} ordinary tokens occur, at least {FEWEST_TOKENS} are needed",
            hint="the vocabulary or the token list is too short for a fingerprint",
        )
    pools = POOLS
    while pools > FEWEST_POOLS and tokens < 8 * pools:
        pools //= 2
    return pools


def _seed(challenge: bytes, name: str) -> bytes:
    if len(challenge) not in (0, CHALLENGE_BYTES):
        raise UsageError(f"a challenge has {CHALLENGE_BYTES} bytes, or none, not {len(challenge)}")
    return LABEL + b"|" + challenge.hex().encode() + b"|" + name.encode() + b"|"


def sketches(tokens: Sequence[bytes], pools: int, challenge: bytes) -> tuple[Sketch, Sketch]:
    """Left and right sketch of the tokens with these bytes.

    SHA-256(label | challenge in hex | "token" | bytes), read as eight little-endian u32 w: left pool w0 mod P, left
    sign + if w1 is even, right pool w2 mod P, right sign + if w3 is even. P is a power of two.
    """
    seed = _seed(challenge, "token")
    data = b"".join(hashlib.sha256(seed + token).digest() for token in tokens)
    words = np.frombuffer(data, dtype="<u4").reshape(-1, 8).astype(np.int64)
    place, sign = words[:, [0, 2]] % pools, 1 - 2 * (words[:, [1, 3]] % 2)
    return Sketch(place[:, 0], sign[:, 0], pools), Sketch(place[:, 1], sign[:, 1], pools)


def segments() -> list[slice]:
    """The outputs of each term: 8·⌈512t/3⌉ … 8·⌈512(t+1)/3⌉ − 1, so that v has whole runs as well."""
    size, terms = OUTPUTS // VECTOR, len(TERMS)
    edges = [size * ((VECTOR * t + terms - 1) // terms) for t in range(terms + 1)]
    return [slice(edges[t], edges[t + 1]) for t in range(terms)]


def output_map(term: int, pools: int, challenge: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Output and sign of every entry of a (P × P) term, both (P, P).

    The stable argsort of P² little-endian u64 keys, SHAKE-256(label | challenge | "place qk"), lists the entries
    (row-major); the i-th goes to output i mod m of the term's m. Signs are those of bit 0 of P² bytes drawn under
    "sign qk", + if it is 0.
    """
    name, entries = TERMS[term], pools * pools
    keys = hashlib.shake_256(_seed(challenge, f"place {name}")).digest(8 * entries)
    order = np.argsort(np.frombuffer(keys, dtype="<u8"), kind="stable")
    run = segments()[term]
    place = np.empty(entries, dtype=np.int64)
    place[order] = run.start + np.arange(entries) % (run.stop - run.start)
    bits = np.frombuffer(hashlib.shake_256(_seed(challenge, f"sign {name}")).digest(entries), np.uint8)
    sign = 1 - 2 * (bits & 1).astype(np.int64)
    return place.reshape(pools, pools), sign.reshape(pools, pools)
