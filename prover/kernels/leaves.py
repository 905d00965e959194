"""Leaf digests of a matrix code, streamed 16 columns at a time (protocol §4; formats in `common/merkle.py`).

Per leaf there are three runs of eight words: the state of the current block digest, the state of the leaf
digest, and a block digest waiting for its pair. All are in transform order (coset, k1, k2); only the
salt, the index and the final write use the point index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from common.merkle import BLOCK_COLUMNS, DIGEST_BYTES, NODE_HEADER, TAG_LEAF, block_header
from prover.kernels.field import U32
from prover.kernels.ntt import BATCH, Plan, second_pass
from prover.kernels.sha256 import IV, byte_swap, compress, compress8, midstate
from prover.kernels.threads import run_ranges

_NODE_STATE = midstate(NODE_HEADER)


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


@njit(cache=True, nogil=True)
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
            compress8(states, (base + row) * 8, work, row * 16, 16)
            if has_tail:
                compress8(states, (base + row) * 8, tail, 0, 0)
        for row in range(whole, row0 + n2):
            compress(states, (base + row) * 8, work, row * 16)
            if has_tail:
                compress(states, (base + row) * 8, tail, 0)


@njit(cache=True, nogil=True)
def _start_leaves(
    leaves: Any, salt_state: Any, salt_block: Any, leaf_tag: Any, iv: Any, log1: int, log2: int, reverse2: Any,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Leaf states after their header: tag, point index, salt."""
    salt = np.empty(8, dtype=np.uint32)
    message = np.empty(16, dtype=np.uint32)
    header = np.zeros(16, dtype=np.uint32)  # indices are below 2^32: their upper words stay zero
    for j in range(6):
        header[j] = leaf_tag[j]
    for j in range(16):
        message[j] = salt_block[j]
    for place in range(start, stop):
        index = point_index(place, log1, log2, reverse2)
        message[0] = np.uint32(index)
        for j in range(8):
            salt[j] = salt_state[j]
        compress(salt, 0, message, 0)
        header[6] = np.uint32(index)
        for j in range(8):
            header[8 + j] = byte_swap(salt[j])
            leaves[place * 8 + j] = iv[j]
        compress(leaves, place * 8, header, 0)


@njit(cache=True)
def point_index(place: int, log1: int, log2: int, reverse2: Any) -> int:
    """Point index (coset, k2, k1) of the row at `place` = (coset, k1, reversed k2) in transform order."""
    size = log1 + log2
    inside = place & ((1 << size) - 1)
    k1, k2 = inside >> log2, reverse2[inside & ((1 << log2) - 1)]
    return (place >> size << size) + (k2 << log1) + k1


@njit(cache=True, nogil=True)
def _absorb_block(leaves: Any, pending: Any, states: Any, second: bool, start: int, stop: int) -> None:
    """A finished block digest: keep the first of a pair, compress the pair at the second."""
    message = np.empty(16, dtype=np.uint32)
    for place in range(start, stop):
        p = place * 8
        if second:
            for j in range(8):
                message[j] = pending[p + j]
                message[8 + j] = byte_swap(states[p + j])
            compress(leaves, p, message, 0)
        else:
            for j in range(8):
                pending[p + j] = byte_swap(states[p + j])


@njit(cache=True, nogil=True)
def _finish_leaves(
    out: Any, leaves: Any, pending: Any, half: bool, padding: Any, log1: int, log2: int, reverse2: Any,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Pad and write the leaf digests as words in memory order, row i for point index i."""
    message = np.empty(16, dtype=np.uint32)
    for j in range(16):
        message[j] = padding[j]
    for place in range(start, stop):
        p = place * 8
        if half:
            for j in range(8):
                message[j] = pending[p + j]
        compress(leaves, p, message, 0)
        index = point_index(place, log1, log2, reverse2)
        for j in range(8):
            out[index, j] = byte_swap(leaves[p + j])


@njit(cache=True, nogil=True)
def _hash_nodes(out: Any, children: Any, header_state: Any, tail: Any, start: int, stop: int) -> None:
    state = np.empty(8, dtype=np.uint32)
    for i in range(start, stop):
        for j in range(8):
            state[j] = header_state[j]
        compress(state, 0, children, i * 16)
        compress(state, 0, tail, 0)
        for j in range(8):
            out[i, j] = byte_swap(state[j])


def hash_level(children: np.ndarray) -> np.ndarray:
    """Parents (m, 32) of 2m child digests (2m, 32), both bytes: the `hash_level` of `MerkleTree`."""
    words = np.ascontiguousarray(children).reshape(-1).view(np.uint32)
    out = np.empty((len(children) // 2, 8), dtype=np.uint32)
    run_ranges(_hash_nodes, len(out), 1 << 12, out, words, _NODE_STATE, padding_words(0, 128))
    return out.view(np.uint8).reshape(-1, DIGEST_BYTES)


class LeafHasher:
    """The running digests of all n leaves of one commitment."""

    def __init__(self, n: int, plan: Plan, salt_header: bytes) -> None:
        self._n, self._order = n, (plan.log1, plan.log2, plan.reverse2)
        self.states = np.empty(n * 8, dtype=np.uint32)
        self._leaves = np.empty(n * 8, dtype=np.uint32)
        self._pending = np.empty(n * 8, dtype=np.uint32)
        self._blocks = 0
        tag = np.frombuffer(TAG_LEAF.ljust(24, b"\0"), dtype=np.uint32)
        salt_block = padding_words(2, 72)
        run_ranges(
            _start_leaves, n, 1 << 12,
            self._leaves, midstate(salt_header), salt_block, tag, IV, *self._order,
        )  # fmt: skip

    def close_block(self) -> None:
        """Absorb the finished block digests in `states`."""
        second = self._blocks % 2 == 1
        run_ranges(_absorb_block, self._n, 1 << 12, self._leaves, self._pending, self.states, second)
        self._blocks += 1

    def finish(self) -> np.ndarray:
        """The leaf digests (n, 32) in point order; the hasher is used up."""
        half = self._blocks % 2 == 1
        padding = padding_words(8 if half else 0, 64 + DIGEST_BYTES * self._blocks)
        out = np.empty((self._n, 8), dtype=np.uint32)
        run_ranges(
            _finish_leaves, self._n, 1 << 12,
            out, self._leaves, self._pending, half, padding, *self._order,
        )  # fmt: skip
        return out.view(np.uint8).reshape(-1, DIGEST_BYTES)
