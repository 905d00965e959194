"""The tokens that `hardened-2` looks at: ordinary ones that occur, spread over the range of frequencies.

Of every octave of frequency from 2^−12 (and above) to 2^−19 a share is taken, about 512 in vocabularies of 30 to 260
thousand tokens. Whether a token is taken depends on a hash of its bytes and on its own octave, on no id and no other
token: one that is lost is lost alone, and one that is added comes beside the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.prover.vocabulary.tokenizer import Vocabulary

Ids = NDArray[np.int64]
_LABEL = b"huref token choice 2|"
_COMMONEST = 12
_SHARES = (192, 192, 102, 64, 38, 28, 23, 26)
"""Of 256 tokens of octave 12, 13 … 19, so many are taken. A token of relative frequency f is in octave ⌊−log2 f⌋, at
least 12."""
_MOST = 640
"""Taken from one octave at most."""
_TOTAL = 12 * 10**12
"""Counts of a whole text of the pinned word list: its words have 8 · 10^12, and about three tokens for two words.

A constant, and not the sum of a vocabulary's counts: a vocabulary that loses a common token would move all octaves.
"""


def octaves(counts: Ids) -> Ids:
    """The octave of every count > 0, exact: the largest j with count · 2^j ≤ `_TOTAL`, from 12 to 20."""
    edges = [_TOTAL >> j for j in range(_COMMONEST + 1, _COMMONEST + len(_SHARES) + 1)]
    return sum(((counts <= edge).astype(np.int64) for edge in edges), np.full_like(counts, _COMMONEST))


def choose(tokens: Sequence[bytes], counts: Ids) -> Ids:
    """Positions in `tokens` of the chosen ones, octave after octave and by their hash inside.

    Of tokens with the same bytes only the most frequent one counts (the first listed, where counts are equal).
    `tokens` (N,) and `counts` (N,) belong to each other.
    """
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    first = {tokens[i]: i for i in reversed(order.tolist())}
    alive = np.array(sorted(first.values()), dtype=np.int64)
    if not len(alive):
        return alive
    rank = np.array([_hash(tokens[i]) for i in alive.tolist()], dtype=np.uint64)
    octave = octaves(counts[alive])
    taken: list[Ids] = []
    for number, share in enumerate(_SHARES):
        inside = np.flatnonzero((octave == _COMMONEST + number) & (rank >> np.uint64(56) < share))
        taken.append(inside[np.argsort(rank[inside], kind="stable")][:_MOST])
    return alive[np.concatenate(taken)]


def _hash(token: bytes) -> int:
    return int.from_bytes(hashlib.sha256(_LABEL + token).digest()[:8], "little")


@dataclass(frozen=True)
class Chosen:
    """The rows that `hardened-2` reads: `ids` (K,) of the embedding and the bytes of each token."""

    ids: Ids
    pieces: tuple[bytes, ...]


def chosen(vocabulary: Vocabulary, counts: Ids, rows: int | None = None) -> Chosen:
    """Choose among a vocabulary's ordinary tokens; `counts` (vocab_size,), ids from `rows` on have no embedding."""
    known = np.ones(len(vocabulary.ordinary), bool) if rows is None else vocabulary.ordinary < rows
    ids = vocabulary.ordinary[known]
    pieces = [piece for piece, keep in zip(vocabulary.pieces, known.tolist(), strict=True) if keep]
    places = choose(pieces, counts[ids])
    return Chosen(ids[places], tuple(pieces[i] for i in places.tolist()))
