"""What the recorder of a transcript hears, and what a proof of work is; the bytes themselves are in tests/vectors."""

from __future__ import annotations

from hashlib import sha256

import numpy as np

from huref.common.argument.transcript import Transcript, grinding_holds


def test_the_recorder_hears_everything_in_order() -> None:
    heard: list[tuple[str, str, bytes]] = []
    transcript = Transcript(lambda kind, label, data: heard.append((kind, label, data)))
    transcript.absorb("a", b"data")
    drawn = transcript.challenge_bytes("b", 3)
    field = transcript.challenge_field("c", 4)
    positions = transcript.challenge_positions("d", 2, 1000)
    seed = transcript.grinding_seed("e")
    assert heard == [
        ("absorb", "a", b"data"),
        ("challenge", "b", drawn),
        ("challenge", "c", field.astype("<u4").tobytes()),
        ("challenge", "d", np.asarray(positions, dtype="<i8").tobytes()),
        ("challenge", "e", seed),
    ]
    assert len(drawn) == 3 and len(field) == 4 and len(seed) == 32


def test_a_proof_of_work_has_all_of_its_bits() -> None:
    """By the definition, for seeds whose hashes start with 0 to a few zero bits."""
    for nonce in range(64):
        seed = bytes([nonce]) * 32
        message = b"huref/grind\0" + seed + nonce.to_bytes(8, "little")
        zeros = 256 - int.from_bytes(sha256(message).digest(), "big").bit_length()
        assert grinding_holds(seed, nonce, zeros) and not grinding_holds(seed, nonce, zeros + 1)
