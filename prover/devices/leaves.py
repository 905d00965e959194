"""Leaf digests and tree levels in tensor operations: a twin of `prover/kernels/hashing/leaves.py` (protocol §4).

Per leaf there are three runs of eight words: the state of the current block digest, the state of the leaf
digest, and a block digest waiting for its pair; 96 bytes. All are in transform order; only the salt, the
index and the final write use the point index.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from huref.common.argument.merkle import DIGEST_BYTES, NODE_HEADER, TAG_LEAF, Digests
from huref.prover.devices.sha256 import Sha256, block_words, byte_swap
from huref.prover.kernels.hashing.leaves import BatchRole, padding_words

_LEAF_TAG = block_words(TAG_LEAF.ljust(64, b"\0"))[:10]


class TensorLeaves:
    """The running digests of all leaves, `rows` at a time; leaf at place i stands for point `index[i]`."""

    def __init__(self, sha: Sha256, index: Tensor, salt_header: bytes, rows: int) -> None:
        self._sha, self._index, self._rows = sha, index, rows
        n = len(index)
        self._states = torch.empty((8, n), dtype=torch.int32, device=sha.device)
        self._pending = torch.empty_like(self._states)
        self._leaves = sha.start(n)
        self._blocks = 0
        salted = sha.start(1, salt_header)
        for part in self._parts(0, n):
            self._start(part, salted)

    def _parts(self, start: int, stop: int) -> list[slice]:
        return [slice(at, min(at + self._rows, stop)) for at in range(start, stop, self._rows)]

    def _start(self, part: slice, salted: Tensor) -> None:
        """Leaf states after their header: tag, point index, salt."""
        index = byte_swap(self._index[part].to(torch.int32))
        message = self._block(len(index), padding_words(2, 72))
        message[0], message[1] = index, 0
        salt = salted.repeat(1, len(index))
        self._sha.compress(salt, message)
        message[:10] = torch.tensor(_LEAF_TAG, dtype=torch.int32, device=self._sha.device)[:, None]
        message[10], message[11], message[12:] = index, 0, salt[:4]
        self._sha.compress(self._leaves[:, part], message)

    def _block(self, rows: int, words: npt.NDArray[np.uint32]) -> Tensor:
        """The same block (words in memory order) for so many rows."""
        block = torch.tensor(block_words(words.tobytes()), dtype=torch.int32, device=self._sha.device)
        return block[:, None].repeat(1, rows)

    def absorb(self, base: int, values: Tensor, role: BatchRole) -> None:
        """One batch of columns (at most 16, places) of canonical int32 values for the leaves from `base` on."""
        count = values.shape[1]
        if role.opens:
            header = torch.from_numpy(role.header_state.view(np.int32)).to(self._sha.device)
            self._states[:, base : base + count] = header[:, None]
        for part in self._parts(0, count):
            message = self._block(part.stop - part.start, role.padding)
            message[: role.columns] = byte_swap(values[: role.columns, part])
            state = self._states[:, base + part.start : base + part.stop]
            self._sha.compress(state, message)
            if role.has_tail:
                self._sha.compress_constant(state, role.tail.tobytes())

    def close_block(self) -> None:
        """A finished block digest: keep the first of a pair, absorb the pair at the second."""
        if self._blocks % 2:
            for part in self._parts(0, len(self._index)):
                message = torch.cat([self._pending[:, part], self._states[:, part]])
                self._sha.compress(self._leaves[:, part], message)
        else:
            self._pending.copy_(self._states)
        self._blocks += 1

    def finish(self) -> Digests:
        """The leaf digests (n, 32) in point order; the hasher is used up."""
        half = self._blocks % 2 == 1
        padding = padding_words(8 if half else 0, 64 + DIGEST_BYTES * self._blocks)
        out = torch.empty((len(self._index), 8), dtype=torch.int32, device=self._sha.device)
        for part in self._parts(0, len(self._index)):
            state = self._leaves[:, part]
            message = self._block(state.shape[1], padding)
            if half:
                message[:8] = self._pending[:, part]
            self._sha.compress(state, message)
            out[self._index[part]] = byte_swap(state).T
        return out.cpu().numpy().view(np.uint8)


def hash_nodes(sha: Sha256, children: Digests, rows: int) -> Digests:
    """Parents (m, 32) of 2m child digests (2m, 32), `rows` parents at a time."""
    words = torch.from_numpy(np.ascontiguousarray(children).reshape(-1, 2 * DIGEST_BYTES).view(np.int32))
    out = np.empty((len(words), DIGEST_BYTES), dtype=np.uint8)
    tail = padding_words(0, 128).tobytes()
    for start in range(0, len(words), rows):
        message = byte_swap(words[start : start + rows].to(sha.device).T)
        state = sha.start(message.shape[1], NODE_HEADER)
        sha.compress(state, message)
        sha.compress_constant(state, tail)
        digests = byte_swap(state).T.contiguous().cpu().numpy()
        out[start : start + rows] = digests.view(np.uint8).reshape(-1, DIGEST_BYTES)
    return out
