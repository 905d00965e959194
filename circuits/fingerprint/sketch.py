"""Public pseudo-random tables: the two token sketches and the bucket map (fingerprint §3, §4).

All of them are functions of their name and size only: keys from SHAKE-256(label ‖ name ‖ sizes) are sorted,
which gives a permutation, so every block and bucket has its exact share.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.profiles import PROTOCOL_LABEL
from huref.circuits.program.program import OUTPUTS, SketchSum
from huref.common.errors import UsageError

PAIR = 2
"""Neighbouring tokens that enter a block of the signed sketch together, where a block's size allows it."""


def permutation(name: str, size: int) -> NDArray[np.int64]:
    """A pseudo-random permutation of 0..size−1, fixed by `name` and `size`."""
    seed = PROTOCOL_LABEL + b"|" + name.encode() + b"|" + str(size).encode()
    keys = np.frombuffer(hashlib.shake_256(seed).digest(8 * size), dtype="<u8")
    return np.argsort(keys, kind="stable").astype(np.int64)


def signed_sketch(source: str, name: str, k: int, p: int) -> SketchSum:
    """The (p × k) sketch of fingerprint §3: p blocks of r = k/p tokens, ⌊r/2⌋ plus and ⌊r/2⌋ minus.

    Blocks are made of permuted *pairs* of neighbours in the token list where 4 divides r: rare tokens next to
    each other are often alike (docs/fingerprint.md), a pair keeps what they share and averages what is private
    to either. Otherwise of permuted single tokens; with odd r one of each block is left out. Every row sums to
    zero, which removes row or column means of a term exactly.

    Raises:
        UsageError: k is not a multiple of p, or r < 2.
    """
    if k % p or k < 2 * p:
        raise UsageError(f"K = {k} tokens cannot be cut into P = {p} blocks of at least two")
    size = k // p
    half = size // 2
    run = PAIR if size % (2 * PAIR) == 0 else 1
    first = run * permutation(name, k // run)
    tokens = (first[:, None] + np.arange(run)).reshape(p, size)[:, : 2 * half]
    sign = np.where(np.arange(2 * half) < half, 1, -1).astype(np.int8)
    row = np.repeat(np.arange(p, dtype=np.int64), 2 * half)
    return SketchSum(source, row, tokens.reshape(-1).copy(), np.tile(sign, p))


def block_sketch(source: str, k: int, p: int) -> SketchSum:
    """Sums of p blocks of k/p consecutive tokens (paper profile). Raises `UsageError` unless p divides k."""
    if k % p:
        raise UsageError(f"K = {k} tokens cannot be cut into P = {p} equal blocks")
    token = np.arange(k, dtype=np.int64)
    return SketchSum(source, token // (k // p), token, np.ones(k, dtype=np.int8))


def segments(terms: int) -> list[slice]:
    """The share of the 512 outputs that belongs to each term: contiguous, sizes differ by at most one."""
    edges = [(OUTPUTS * t + terms - 1) // terms for t in range(terms + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def bucket_map(term: int, terms: int, p: int) -> tuple[NDArray[np.int16], NDArray[np.int8]]:
    """Bucket and sign of every entry of one (p × p) term, which fills the outputs of its own segment.

    Terms do not share buckets: each enters v with a scale of its own (a power of two moves when a shift
    does), and a comparison that standardizes every segment does not see it.
    """
    segment = segments(terms)[term]
    entries = p * p
    order = permutation(f"bucket {term}/{terms}", entries)
    bucket = np.empty(entries, dtype=np.int16)
    bucket[order] = segment.start + np.arange(entries) % (segment.stop - segment.start)
    sign = (1 - 2 * (permutation(f"sign {term}/{terms}", entries) % 2)).astype(np.int8)
    return bucket.reshape(p, p), sign.reshape(p, p)


def largest_bucket(terms: int, p: int) -> int:
    """Most entries that one output of `bucket_map` sums."""
    return max(-(-p * p // (segment.stop - segment.start)) for segment in segments(terms))
