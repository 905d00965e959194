"""SHA-256 compressions of many rows at once in int32 tensor operations: a twin of `prover/kernels/hashing/sha256.py`.

A state is (8, rows), a message block (16, rows); words are what SHA-256 calls words, first byte highest. Sums
wrap and shifts to the right are masked, so signs play no part. The three rotations of a Σ or σ are
one operation on a leading axis of three: fewer and larger kernels.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import torch
from torch import Tensor

from huref.prover.kernels.hashing.sha256 import IV, ROUND_CONSTANTS

ROW_BYTES = 512
"""Working memory per row of a compression, rounded up: 64 words of schedule, the block, and temporaries."""


def block_words(block: bytes) -> list[int]:
    """The 16 words of 64 bytes, as int32."""
    return list(struct.unpack(">16i", block))


def byte_swap(values: Tensor) -> Tensor:
    """The bytes of every int32 reversed; a fresh contiguous tensor."""
    octets = values.contiguous().view(-1).view(torch.uint8).reshape(-1, 4)
    return octets.flip(-1).view(torch.int32).reshape(values.shape)


class _Mixer:
    """x ⋙ a ⊕ x ⋙ b ⊕ x ⋙ c, or the last a plain shift; `dimensions` of its operands."""

    def __init__(
        self, amounts: tuple[int, int, int], dimensions: int, device: torch.device, *, shift: bool = False
    ) -> None:
        factors = [1 << (32 - n) for n in amounts]
        if shift:
            factors[2] = 0

        def column(values: Sequence[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.int32, device=device).reshape(3, *([1] * dimensions))

        self._amounts, self._factors = column(amounts), column(factors)
        self._masks = column([(1 << (32 - n)) - 1 for n in amounts])

    def __call__(self, x: Tensor) -> Tensor:
        parts = torch.bitwise_right_shift(x, self._amounts).bitwise_and_(self._masks)
        parts.addcmul_(x, self._factors)
        return parts[0].bitwise_xor_(parts[1]).bitwise_xor_(parts[2])


class Sha256:
    """Compressions on one device; states change in place."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._big0, self._big1 = _Mixer((2, 13, 22), 1, device), _Mixer((6, 11, 25), 1, device)
        self._small0 = _Mixer((7, 18, 3), 2, device, shift=True)
        self._small1 = _Mixer((17, 19, 10), 2, device, shift=True)
        constants = torch.from_numpy(ROUND_CONSTANTS.view("int32").copy())
        self._constants = constants.to(device)[:, None]

    def start(self, rows: int, first_block: bytes = b"") -> Tensor:
        """States (8, rows) of so many messages that begin with the same whole blocks."""
        state = torch.from_numpy(IV.view("int32").copy()).to(self.device)[:, None].clone()
        for at in range(0, len(first_block), 64):
            self.compress_constant(state, first_block[at : at + 64])
        return state.repeat(1, rows)

    def compress(self, state: Tensor, message: Tensor) -> None:
        """Absorb one block (16, rows) int32 into `state` (8, rows)."""
        self._rounds(state, self._schedule(message))

    def compress_constant(self, state: Tensor, block: bytes) -> None:
        """Absorb the same 64 bytes into every row of `state`; their schedule is made once."""
        message = torch.tensor(block_words(block), dtype=torch.int32, device=self.device)[:, None]
        self._rounds(state, self._schedule(message))

    def _schedule(self, message: Tensor) -> Tensor:
        """Message words with the round constants added, (64, rows)."""
        words = torch.empty((64, message.shape[1]), dtype=torch.int32, device=self.device)
        words[:16] = message
        for t in range(16, 64, 2):  # the newest word that word t + 1 needs is word t − 1
            new = torch.add(words[t - 16 : t - 14], words[t - 7 : t - 5], out=words[t : t + 2])
            new.add_(self._small0(words[t - 15 : t - 13])).add_(self._small1(words[t - 2 : t]))
        return words.add_(self._constants)

    def _rounds(self, state: Tensor, words: Tensor) -> None:
        a, b, c, d, e, f, g, h = state
        bc = b ^ c
        for word in words:
            choice = (f ^ g).bitwise_and_(e).bitwise_xor_(g)
            t1 = self._big1(e).add_(h).add_(choice).add_(word)
            ab = a ^ b
            majority = bc.bitwise_and_(ab).bitwise_xor_(b)
            new = self._big0(a).add_(majority).add_(t1)
            h, g, f, e, d, c, b, a, bc = g, f, e, d + t1, c, b, a, new, ab
        for place, row in zip(state, (a, b, c, d, e, f, g, h), strict=True):
            place.add_(row)
