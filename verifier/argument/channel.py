"""The verifier's end of a proof: reads messages in protocol order and feeds the transcript (protocol §5).

Hidden messages come back as affine forms in pads. Constraints on forms are collected and discharged by
the opening in one merged claim; in plain mode (no pads, for tests of single sub-protocols) forms are
constants and a constraint is checked on the spot.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from huref.common.algebra.field import K_BYTES, decode_k
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import DUMMY_TRIPLES, Form, PadSpace, combine
from huref.common.argument.transcript import Transcript, grinding_holds
from huref.common.errors import Malformed, Rejected


class VerifierChannel:
    """Reads `proof` message by message. Raises `Malformed` on truncated or non-canonical data."""

    def __init__(self, transcript: Transcript, proof: bytes, pads: PadSpace | None) -> None:
        self.transcript = transcript
        self.pads = pads
        self.constraints: list[Form] = []
        self._proof = memoryview(proof)
        self._offset = 0
        self._singles = 0
        self._triples = 0

    def take(self, label: str, count: int) -> bytes:
        """Read and absorb `count` bytes."""
        data = bytes(self._proof[self._offset : self._offset + count])
        if len(data) != count:
            raise Malformed(f"proof is truncated in {label}: {count} bytes expected, {len(data)} left")
        self._offset += count
        self.transcript.absorb(label, data)
        return data

    def array(self, label: str, count: int) -> NDArray[np.uint64]:
        """Read `count` public elements of K, shape (count, 5)."""
        return decode_k(self.take(label, count * K_BYTES), count)

    def public(self, label: str, count: int) -> list[KS]:
        """Read `count` public elements of K as scalars."""
        return KS.list_from_array(self.array(label, count))

    def hidden(self, label: str, count: int) -> list[Form]:
        """Read `count` hidden elements of K; each uses the next pad."""
        values = self.public(label, count)
        if self.pads is None:
            return [Form.public(value) for value in values]
        first = self._singles
        self._singles += count
        return [Form(value, {first + i: KS(1)}) for i, value in enumerate(values)]

    def hidden_product(self, label: str) -> tuple[Form, Form, Form]:
        """Read two hidden factors x, y; returns the forms of x, y and x·y. Uses one triple."""
        x, y = self.public(label, 2)
        if self.pads is None:
            return Form.public(x), Form.public(y), Form.public(x * y)
        a, b, t = self.pads.triple(self._triples)
        self._triples += 1
        return Form(x, {a: KS(1)}), Form(y, {b: KS(1)}), Form(x * y, {b: x, a: y, t: KS(1)})

    def assert_zero(self, label: str, form: Form) -> None:
        """Record the constraint form = 0; in plain mode check it, raising `Rejected` at `label`."""
        if self.pads is not None:
            self.constraints.append(form)
        elif form.const:
            raise Rejected(label, "a value that must vanish does not", expected=0, got=form.const)

    def assert_equal(self, label: str, left: Form, right: Form) -> None:
        """Record left = right."""
        self.assert_zero(label, combine([(KS(1), left), (KS(-1), right)]))

    def challenge(self, label: str) -> KS:
        """Draw one challenge."""
        return self.transcript.challenge(label)

    def point(self, label: str, count: int) -> list[KS]:
        """Draw a point of K^count."""
        return self.transcript.challenge_point(label, count)

    def grind(self, label: str, bits: int) -> None:
        """Check a proof of work of `bits` bits on the transcript so far."""
        seed = self.transcript.grinding_seed(f"{label}.seed")
        nonce = int.from_bytes(self.take(f"{label}.nonce", 8), "little")
        if not grinding_holds(seed, nonce, bits):
            raise Rejected(f"{label}.nonce", f"proof of work below {bits} bits")

    def finish(self) -> None:
        """Require that the proof ends here and that the arguments used exactly the pads laid out for them."""
        if self.pads is not None:
            spare = self.pads.triples - self._triples
            if self._singles != self.pads.singles or spare < DUMMY_TRIPLES:
                raise RuntimeError("the layout's count of pads is wrong")
        if self._offset != len(self._proof):
            raise Malformed(f"{len(self._proof) - self._offset} trailing bytes after the proof")
