"""What a statement shows of a prompt that is hidden, and what opens it (protocol §13.9).

The statement has a digest of a salt and the prompt's ids. The proof has one value per prompt at a point that is drawn
behind the digest: the polynomial of its ids, plus a mask that follows from the salt. So whoever is told salt and ids
can see that the run was on these ids, and nobody else learns anything of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from huref.common.algebra.field import DEGREE, P
from huref.common.algebra.kscalar import KS

HIDDEN = -1
"""Stands for an id that is hidden."""
SALT_BYTES = 32
_DIGEST, _MASK = (tag.ljust(32, b"\0") for tag in (b"huref/prompt/1", b"huref/prompt-mask/1"))
_WIDE = 32  # bytes of an element of F before it is reduced


def prompt_digest(salt: bytes, ids: Sequence[int]) -> str:
    """SHA-256(tag ‖ salt ‖ u32 of every id), in hex."""
    return hashlib.sha256(_DIGEST + salt + b"".join(i.to_bytes(4, "little") for i in ids)).hexdigest()


def prompt_mask(salt: bytes) -> tuple[int, ...]:
    """The limbs of an element of K, from SHAKE-256(tag ‖ salt)."""
    stream = hashlib.shake_256(_MASK + salt).digest(_WIDE * DEGREE)
    return tuple(int.from_bytes(stream[_WIDE * i :][:_WIDE], "little") % P for i in range(DEGREE))


def prompt_value(point: KS, salt: bytes, ids: Sequence[int]) -> KS:
    """Σ_j ids[j]·point^(j+1) + mask."""
    found = KS(0)
    for i in reversed(ids):
        found = (found + i) * point
    return found + KS(prompt_mask(salt))
