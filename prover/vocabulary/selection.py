"""The tokens that `hardened-2` looks at: ordinary ones that occur, spread over the range of frequencies.

Every octave of frequency from 2^−12 (and above) to 2^−19 (and below) gives an eighth of them. Inside an octave a token's
rank is a hash of its bytes, so that the choice depends on no id and hardly on other tokens: one that is added or lost
replaces at most one other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.constants import TOKENS
from huref.prover.vocabulary.tokenizer import Vocabulary

Ids = NDArray[np.int64]
_LABEL = b"huref token choice 2|"
_COMMONEST, _RAREST = 12, 19
"""Octaves: a token of relative frequency f is in octave min(max(⌊−log2 f⌋, 12), 19)."""


def octaves(counts: Ids) -> Ids:
    """The octave of every count > 0 of a list, exact: the largest j with count · 2^j ≤ total, clamped."""
    total = int(counts.sum())
    edges = [total >> j for j in range(_COMMONEST + 1, _RAREST + 1)]  # count ≤ edge: at least j octaves below all
    return _COMMONEST + sum((counts <= edge).astype(np.int64) for edge in edges)


def choose(tokens: Sequence[bytes], counts: Ids, wanted: int = TOKENS) -> Ids:
    """Positions in `tokens` of the chosen ones, octave after octave and by their hash inside.

    Of tokens with the same bytes only the most frequent one counts (the first listed, where counts are equal). An octave
    with fewer tokens than its share hands the rest on to the next rarer one; what the rarest leaves over is filled
    by the smallest hashes of all that are left. `tokens` (N,) and `counts` (N,) belong to each other.
    """
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    first = {tokens[i]: i for i in reversed(order.tolist())}
    alive = np.array(sorted(first.values()), dtype=np.int64)
    if not len(alive):
        return alive
    rank = np.array([_hash(tokens[i]) for i in alive.tolist()], dtype=np.uint64)
    octave = octaves(counts[alive])
    chosen: list[Ids] = []
    share, left = wanted // (_RAREST - _COMMONEST + 1), 0
    for band in range(_COMMONEST, _RAREST + 1):
        inside = np.flatnonzero(octave == band)
        taken = inside[np.argsort(rank[inside], kind="stable")][: share + left]
        left += share - len(taken)
        chosen.append(taken)
    found = np.concatenate(chosen)
    rest = np.setdiff1d(np.arange(len(alive)), found)
    more = rest[np.argsort(rank[rest], kind="stable")][: wanted - len(found)]
    return alive[np.concatenate([found, more])]


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
