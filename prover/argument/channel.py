"""The prover's end of a proof: its twin in `huref.verifier.argument` reads what this one writes (protocol §5).

Pads are used strictly in order and never twice; `finish` insists that exactly the pads laid out for the
proof were used, so an accounting slip cannot turn into a reused or missing pad.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from huref.common.algebra.field import encode_k
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import DUMMY_TRIPLES, PadSpace
from huref.common.argument.transcript import Transcript
from huref.common.errors import ProverError

Grinder = Callable[[bytes, int], int]


class ProverChannel:
    """Writes messages and draws the challenges that answer them.

    `pads` holds the pad values in `space` order, shape (space.total, 5); None is plain mode.
    """

    def __init__(
        self,
        transcript: Transcript,
        space: PadSpace | None = None,
        pads: NDArray[np.uint64] | None = None,
        grinder: Grinder | None = None,
    ) -> None:
        self.transcript = transcript
        self.space = space
        self._pads = pads
        self._grinder = grinder
        self._proof: list[bytes] = []
        self._singles = 0
        self._triples = 0

    def send(self, label: str, data: bytes) -> None:
        """Write and absorb raw bytes."""
        self._proof.append(data)
        self.transcript.absorb(label, data)

    def array(self, label: str, values: NDArray[np.uint64]) -> None:
        """Send public elements of K, shape (count, 5)."""
        self.send(label, encode_k(values))

    def public(self, label: str, values: Sequence[KS]) -> None:
        """Send public scalars."""
        self.array(label, np.array([tuple(value) for value in values], np.uint64).reshape(-1, 5))

    def _pad(self, index: int) -> KS:
        if self._pads is None:
            return KS(0)
        return KS.from_array(self._pads[index])

    def hidden(self, label: str, values: Sequence[KS]) -> None:
        """Send scalars, each minus its own pad."""
        first = self._singles
        self._singles += len(values)
        if self.space is not None and self._singles > self.space.singles:
            raise ProverError("more hidden messages than pads: the layout's count is wrong")
        self.public(label, [value - self._pad(first + i) for i, value in enumerate(values)])

    def hidden_product(self, label: str, x: KS, y: KS) -> None:
        """Send the two factors of a product that the verifier will use."""
        if self.space is None:
            self.public(label, [x, y])
            return
        if self._triples >= self.space.triples - DUMMY_TRIPLES:
            raise ProverError("more products than triples: the layout's count is wrong")
        a, b, _ = self.space.triple(self._triples)
        self._triples += 1
        self.public(label, [x - self._pad(a), y - self._pad(b)])

    def challenge(self, label: str) -> KS:
        """Draw one challenge."""
        return self.transcript.challenge(label)

    def point(self, label: str, count: int) -> list[KS]:
        """Draw a point of K^count."""
        return self.transcript.challenge_point(label, count)

    def grind(self, label: str, bits: int) -> None:
        """Find and send a proof of work on the transcript so far."""
        if self._grinder is None:
            raise ProverError("this channel has no grinder")
        nonce = self._grinder(self.transcript.grinding_seed(f"{label}.seed"), bits)
        self.send(f"{label}.nonce", nonce.to_bytes(8, "little"))

    def so_far(self) -> bytes:
        """The messages written until now."""
        return b"".join(self._proof)

    def finish(self) -> bytes:
        """The proof's bytes. Raises `ProverError` unless every single pad was used exactly once."""
        if self.space is not None and self._singles != self.space.singles:
            raise ProverError(f"{self._singles} of {self.space.singles} pads used")
        return self.so_far()
