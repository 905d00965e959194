"""The Fiat–Shamir transcript (protocol §5): one SHAKE-256 stream of framed messages.

Every absorb is (kind, length of tag, tag, length of data, data), so no two message sequences share an
encoding. Drawing a challenge is itself framed into the stream before the output is read from a copy of it;
hence each challenge depends on everything absorbed and on every challenge drawn before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from huref.common.algebra.field import DEGREE, P
from huref.common.algebra.kscalar import KS

PROTOCOL_TAG = b"huref/proof/1"
Recorder = Callable[[str, str, bytes], None]
"""Called as recorder(kind, label, data) with kind "absorb" or "challenge"; used by `huref inspect`."""


class Transcript:
    """A Fiat–Shamir transcript; the statement is the first thing to absorb."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self._stream = hashlib.shake_256()
        self._recorder = recorder
        self._frame(b"init", PROTOCOL_TAG, b"")

    def _frame(self, kind: bytes, tag: bytes, data: bytes) -> None:
        head = bytes([len(kind)]) + kind + bytes([len(tag)]) + tag + len(data).to_bytes(8, "little")
        self._stream.update(head + data)

    def absorb(self, label: str, data: bytes) -> None:
        """Absorb one message; `label` is at most 255 bytes."""
        self._frame(b"absorb", label.encode(), data)
        if self._recorder:
            self._recorder("absorb", label, data)

    def _squeeze(self, label: str) -> Callable[[int], bytes]:
        self._frame(b"challenge", label.encode(), b"")
        return self._stream.copy().digest

    def challenge_bytes(self, label: str, count: int) -> bytes:
        """Draw `count` bytes."""
        data = self._squeeze(label)(count)
        if self._recorder:
            self._recorder("challenge", label, data)
        return data

    def challenge_field(self, label: str, count: int) -> NDArray[np.uint64]:
        """Draw `count` uniform elements of F by rejection sampling from 31-bit words, shape (count,)."""
        squeeze = self._squeeze(label)
        length = 4 * (count + count // 8 + 32)
        while True:
            words = np.frombuffer(squeeze(length), dtype="<u4") & np.uint32(0x7FFFFFFF)
            kept = words[words < P][:count].astype(np.uint64)
            if len(kept) == count:
                break
            length *= 2
        if self._recorder:
            self._recorder("challenge", label, kept.astype("<u4").tobytes())
        return kept

    def challenge_point(self, label: str, count: int) -> list[KS]:
        """Draw `count` uniform elements of K."""
        limbs = self.challenge_field(label, count * DEGREE).reshape(count, DEGREE)
        return [KS.from_array(row) for row in limbs]

    def challenge(self, label: str) -> KS:
        """Draw one uniform element of K."""
        return self.challenge_point(label, 1)[0]

    def challenge_positions(self, label: str, count: int, bound: int) -> NDArray[np.int64]:
        """Draw `count` distinct positions below `bound`, uniformly and sorted (sampling without replacement).

        Each draw takes a 64-bit word modulo the power of two above `bound`, rejecting overshoots and repeats.
        """
        if count > bound:
            raise ValueError("more positions than the domain has")
        squeeze = self._squeeze(label)
        mask = np.uint64((1 << max(1, (bound - 1).bit_length())) - 1)
        length = 8 * (4 * count + 64)
        while True:
            words = np.frombuffer(squeeze(length), dtype="<u8") & mask
            words = words[words < bound]
            found = list(dict.fromkeys(words.tolist()))
            if len(found) >= count:
                break
            length *= 2
        positions = np.sort(np.array(found[:count], np.int64))
        if self._recorder:
            self._recorder("challenge", label, positions.astype("<i8").tobytes())
        return positions

    def grinding_seed(self, label: str) -> bytes:
        """Draw the 32-byte seed of a proof of work (protocol §1)."""
        return self.challenge_bytes(label, 32)


def grinding_holds(seed: bytes, nonce: int, bits: int) -> bool:
    """Whether SHA-256("huref/grind" ‖ seed ‖ nonce as 8 bytes LE) starts with `bits` zero bits."""
    digest = hashlib.sha256(b"huref/grind\x00" + seed + nonce.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "big") >> (256 - bits) == 0
