"""Leaf digests of a matrix code, streamed 16 columns at a time (protocol §4; formats in `common/argument/merkle.py`).

Per leaf and block of columns there are eight words, the state of the block digest, in transform order (coset, k1,
reversed k2). At the end the leaf digests are made from them in one go, in point order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from huref.common.algebra.domain import CodeDomain
from huref.common.argument.merkle import BLOCK_COLUMNS, DIGEST_BYTES, NODE_HEADER, TAG_LEAF, block_header
from huref.prover.kernels.field.field import U32
from huref.prover.kernels.hashing.sha256 import IV, byte_swap, compress, compress8, midstate
from huref.prover.kernels.jit import bare_helper, kernel
from huref.prover.kernels.threads import run_ranges
from huref.prover.kernels.transforms.ntt import BATCH, Plan, second_pass


@cache
def _node_state() -> U32:
    """Compiled when the first level is hashed, not when this module is loaded."""
    return midstate(NODE_HEADER)


def padding_words(position: int, total_bytes: int) -> U32:
    """A last block of 16 words: zero up to word `position`, the end marker there, and the bit length."""
    block = np.zeros(16, dtype=np.uint32)
    if position >= 0:
        block[position] = 0x80
    block[14:] = np.frombuffer((8 * total_bytes).to_bytes(8, "big"), dtype=np.uint32)
    return block


@dataclass(frozen=True)
class BatchRole:
    """What one batch of columns means for the block digests: where the block starts, ends and pads."""

    opens: bool
    closes: bool
    header_state: U32
    columns: int
    padding: U32  # words `columns`.. of the batch's own message block
    tail: U32
    has_tail: bool

    @classmethod
    def of(cls, first_column: int, width: int) -> BatchRole:
        """Role of the batch of columns from `first_column` on in rows of `width` values."""
        block, offset = divmod(first_column, BLOCK_COLUMNS)
        in_block = min(BLOCK_COLUMNS, width - block * BLOCK_COLUMNS)
        columns = min(BATCH, width - first_column)
        closes = offset + columns == in_block
        message_bytes = 64 + 4 * in_block
        fits = columns <= 13
        padding = np.zeros(16, dtype=np.uint32)
        if closes and fits:
            padding = padding_words(columns, message_bytes)
        elif closes and columns < BATCH:
            padding[columns] = 0x80
        tail = padding_words(0 if columns == BATCH else -1, message_bytes)
        header = midstate(block_header(block, in_block))
        return cls(offset == 0, closes, header, columns, padding, tail, closes and not fits)


@kernel
def hash_pass(
    work: Any, states: Any, base: int, log2: int, twiddles: Any,
    opens: bool, header_state: Any, columns: int, padding: Any, tail: Any, has_tail: bool,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Pass two of the transform for k1 in [start, stop), and one message block into each row's state."""
    n2 = 1 << log2
    for k1 in range(start, stop):
        second_pass(work, k1, log2, twiddles)
        row0 = k1 << log2
        for row in range(row0, row0 + n2):
            for j in range(columns, 16):
                work[row * 16 + j] = padding[j]
            if opens:
                for j in range(8):
                    states[(base + row) * 8 + j] = header_state[j]
        whole = row0 + n2 // 8 * 8
        for row in range(row0, whole, 8):
            compress8(states, (base + row) * 8, work, row * 16, np.int64(16))
            if has_tail:
                compress8(states, (base + row) * 8, tail, np.int64(0), np.int64(0))
        for row in range(whole, row0 + n2):
            compress(states, (base + row) * 8, work, row * 16)
            if has_tail:
                compress(states, (base + row) * 8, tail, np.int64(0))


@kernel
def _leaf_digests(
    out: Any, blocks: Any, salt_state: Any, salt_block: Any, leaf_tag: Any, iv: Any, padding: Any,
    log1: int, log2: int, reverse2: Any, start: int, stop: int,
) -> None:  # fmt: skip
    """Leaf digests as words in memory order from the block digests (b, 8n) of tiles [start, stop).

    A tile is a coset and eight k1, whose points are neighbours for every k2: row i of `out` is point index i.
    """
    n1, n2 = 1 << log1, 1 << log2
    tiles = -(-n1 // 8)
    salts, states = np.empty(64, dtype=np.uint32), np.empty(64, dtype=np.uint32)
    message = np.zeros(128, dtype=np.uint32)  # indices are below 2^32: their upper words stay zero
    for tile in range(start, stop):
        coset, first = tile // tiles, tile % tiles * 8
        lanes = min(8, n1 - first)
        for k2 in range(n2):
            index = (coset << log1 + log2) + (k2 << log1) + first
            place = (coset << log1 + log2) + (first << log2) + reverse2[k2]
            for i in range(lanes):
                for j in range(8):
                    salts[8 * i + j], states[8 * i + j] = salt_state[j], iv[j]
                for j in range(16):
                    message[16 * i + j] = salt_block[j]
                message[16 * i] = np.uint32(index + i)
            compress8(salts, np.int64(0), message, np.int64(0), np.int64(16))
            for i in range(lanes):
                for j in range(10):
                    message[16 * i + j] = leaf_tag[j]
                message[16 * i + 10], message[16 * i + 11] = np.uint32(index + i), np.uint32(0)
                for j in range(4):
                    message[16 * i + 12 + j] = byte_swap(salts[8 * i + j])
            compress8(states, np.int64(0), message, np.int64(0), np.int64(16))
            for block in range(0, len(blocks) + 1, 2):
                for i in range(lanes):
                    for j in range(16):
                        message[16 * i + j] = padding[j]
                    for half in range(min(2, len(blocks) - block)):
                        _digest_words(
                            message, 16 * i + 8 * half, blocks[block + half], (place + (i << log2)) * 8
                        )
                compress8(states, np.int64(0), message, np.int64(0), np.int64(16))
            for i in range(lanes):
                _digest_words(out, (index + i) * 8, states, 8 * i)


@bare_helper
def _digest_words(out: Any, to: int, states: Any, at: int) -> None:
    """A digest as words in memory order, from the state that it is."""
    for j in range(8):
        out[to + j] = byte_swap(states[at + j])


@kernel
def _hash_nodes(out: Any, children: Any, header_state: Any, tail: Any, start: int, stop: int) -> None:
    states = np.empty(64, dtype=np.uint32)
    for first in range(start, stop, 8):
        count = min(8, stop - first)
        for i in range(count):
            for j in range(8):
                states[8 * i + j] = header_state[j]
        if count == 8:
            compress8(states, np.int64(0), children, first * 16, np.int64(16))
            compress8(states, np.int64(0), tail, np.int64(0), np.int64(0))
        else:
            for i in range(count):
                compress(states, 8 * i, children, (first + i) * 16)
                compress(states, 8 * i, tail, np.int64(0))
        for i in range(count):
            _digest_words(out, (first + i) * 8, states, 8 * i)


def hash_level(children: np.ndarray) -> np.ndarray:
    """Parents (m, 32) of 2m child digests (2m, 32), both bytes: the `hash_level` of `MerkleTree`."""
    words = np.ascontiguousarray(children).reshape(-1).view(np.uint32)
    out = np.empty(len(children) // 2 * 8, dtype=np.uint32)
    run_ranges(_hash_nodes, len(children) // 2, 1 << 12, out, words, _node_state(), padding_words(0, 128))
    return out.view(np.uint8).reshape(-1, DIGEST_BYTES)


class LeafHasher:
    """The digests of all n leaves of one commitment, from those of their `blocks` blocks."""

    def __init__(self, domain: CodeDomain, blocks: int, salt_header: bytes) -> None:
        self._domain, self._salt_state = domain, midstate(salt_header)
        self._digests = np.empty((blocks, 8 * domain.n), dtype=np.uint32)

    def states(self, block: int) -> U32:
        """Where the digests of a block go as states, 8 words per point in transform order."""
        return self._digests[block]

    def finish(self) -> np.ndarray:
        """The leaf digests (n, 32) in point order."""
        domain, plan, blocks = self._domain, Plan.of(self._domain), len(self._digests)
        padding = padding_words(8 if blocks % 2 else 0, 64 + DIGEST_BYTES * blocks)
        tag = np.frombuffer(TAG_LEAF.ljust(40, b"\0"), dtype=np.uint32)
        out = np.empty(8 * domain.n, dtype=np.uint32)
        run_ranges(
            _leaf_digests, domain.c * -(-(1 << plan.log1) // 8), max(1, 1 << max(0, 9 - plan.log2)),
            out, self._digests, self._salt_state, padding_words(2, 72), tag, IV, padding,
            plan.log1, plan.log2, plan.reverse2,
            align=1,
        )  # fmt: skip
        return out.view(np.uint8).reshape(-1, DIGEST_BYTES)
