"""Challenges: 32 bytes that the tables of a fingerprint are drawn from (docs/fingerprint.md, "Challenges").

Without one the tables are public before anybody commits, so that integers which reach any vector can be written down.
A challenge that nobody knew when a model was committed shows that there is a model behind the vector. The joint
challenge of two models is drawn from both ids: neither side could know it before the other one had committed.
"""

from __future__ import annotations

import hashlib
import re

from huref.common.errors import UsageError
from huref.common.text import parse_hex, shorten

TAG = b"huref/challenge/1"
MAX_BEACON = 1 << 10
"""Bytes of a beacon."""
SHARE = 4
"""A root answers at most one in SHARE of the challenges that determine its terms."""


def joint_challenge(first: str, second: str, beacon: bytes = b"") -> str:
    """Hex SHA-256(tag padded to 32 ‖ smaller id ‖ larger id ‖ beacon) of two model ids (hex).

    `beacon` is anything public that nobody could foresee when the models were committed.

    Raises:
        UsageError: both ids are the same.
    """
    if first == second:
        raise UsageError(f"both sides have the model id {first}", hint="a joint challenge is for two models")
    ids = b"".join(bytes.fromhex(name) for name in sorted((first, second)))
    return hashlib.sha256(TAG.ljust(32, b"\0") + ids + beacon).hexdigest()


def parse_challenge(text: str | None) -> bytes:
    """The 32 bytes of a challenge in hex, in any case, with or without 0x; none of None. Raises `UsageError`."""
    if text is None:
        return b""
    found = parse_hex(text, 64)
    if found is None:
        raise UsageError(f"challenge: expected 64 hex digits, got {shorten(text)}")
    return bytes.fromhex(found)


def parse_beacon(text: str | None) -> bytes:
    """The bytes of a beacon in hex; none of None. Raises `UsageError`."""
    if text is None:
        return b""
    found = re.fullmatch("(?:0[xX])?((?:[0-9a-fA-F]{2})+)", text.strip())
    if found is None or len(found[1]) > 2 * MAX_BEACON:
        raise UsageError(f"beacon: expected an even number of hex digits, got {shorten(text)}")
    return bytes.fromhex(found[1])


def most_challenges(hidden: int, outputs: int) -> int:
    """How many challenges the root of a model of this width answers, the empty one among them.

    Each answer shows `outputs` linear measurements of three (hidden × hidden) operators; who had as many as those have
    entries could foresee further answers.
    """
    return max(1, 3 * hidden * hidden // (outputs * SHARE))
