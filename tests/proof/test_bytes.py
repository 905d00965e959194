"""Damaged proofs: every byte counts, and nothing but the error family comes back."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.circuits.argument.security
import huref.prover.argument.opening
import huref.prover.argument.prove
import huref.prover.argument.witness
import huref.prover.commitment.weights
import huref.verifier.argument.channel
import huref.verifier.argument.opening
import huref.verifier.argument.reduce
from huref.common.algebra.field import P
from huref.common.algebra.kscalar import KS
from huref.common.argument.transcript import Transcript, grinding_holds
from huref.common.errors import Malformed, Rejected
from huref.prover.kernels.hashing.grind import grind
from huref.verifier.argument.verify import verify_program
from tests.proof.attacks import forge
from tests.proof.programs import STATEMENT, Case, chain, small_build


@pytest.fixture(scope="module")
def small_proof(_small: None) -> tuple[Case, bytes, list[tuple[str, int]]]:
    """A case, its proof, and (label, start) of every message; all levels included."""
    with small_build(levels=3):
        case = chain(d=8, k=16, f=4)
        proof, at, messages = case.prove(), [0], []

        def record(kind: str, label: str, data: bytes) -> None:
            if kind == "absorb" and label not in ("config", "statement", "root.weights"):
                messages.append((label, at[0]))
                at[0] += len(data)

        verify_program(case.setup(), STATEMENT, case.commit().root, proof, case.knobs.security, record)
        assert at[0] == len(proof)
    return case, proof, messages


Recorded = tuple[Case, bytes, list[tuple[str, int]]]


def refuse(case: Case, setup: Any, root: bytes, proof: bytes) -> None:
    with pytest.raises((Rejected, Malformed)):
        verify_program(setup, STATEMENT, root, proof, case.knobs.security)


def flip_bytes(recorded: Recorded, positions: list[int]) -> None:
    case, proof, _ = recorded
    with small_build(levels=3):
        setup, root = case.setup(), case.commit().root
        for position in positions:
            changed = bytearray(proof)
            changed[position] ^= 1 << position % 8
            refuse(case, setup, root, bytes(changed))


def test_a_flipped_byte_of_every_kind_of_message(small_proof: Recorded) -> None:
    kinds: dict[str, int] = {}
    for label, start in small_proof[2]:
        kinds.setdefault("".join(c for c in label if not c.isdigit()), start)
    flip_bytes(small_proof, [start + 1 for start in kinds.values()])


@pytest.mark.slow
def test_flipped_bytes_everywhere(small_proof: Recorded) -> None:
    picked = np.random.default_rng(0).choice(len(small_proof[1]), 100, replace=False)
    flip_bytes(small_proof, [int(x) for x in picked])


def test_truncated_extended_reordered(small_proof: Recorded) -> None:
    case, proof, messages = small_proof
    with small_build(levels=3):
        setup, root = case.setup(), case.commit().root
        for changed in (b"", proof[:-1], proof[: len(proof) // 2], proof[:31], proof[4:]):
            refuse(case, setup, root, changed)
        with pytest.raises(Malformed, match="1 trailing bytes"):
            verify_program(setup, STATEMENT, root, proof + b"\0", case.knobs.security)
        with pytest.raises(Malformed, match=r"truncated in opening\.level4\.path"):
            verify_program(setup, STATEMENT, root, proof[:-1], case.knobs.security)
        at = messages[len(messages) // 3][1]
        swapped = proof[at + 20 : at + 40] + proof[at : at + 20]
        refuse(case, setup, root, proof[:at] + swapped + proof[at + 40 :])
        names = [label for label, _ in messages]
        for level in (2, 3, 4):  # the whole of a level's own messages left out
            ends = (f"opening.level{level}.root", f"opening.level{level}.round")
            start, stop = (messages[names.index(label)][1] for label in ends)
            refuse(case, setup, root, proof[:start] + proof[stop:])


def test_non_canonical_field_elements(small_proof: Recorded) -> None:
    """x + p instead of x, in one message of every kind that holds field elements."""
    case, proof, messages = small_proof
    plain = ("root", "nonce", "salts", "path", "grind")
    kinds = {"".join(c for c in label if not c.isdigit()): start for label, start in messages}
    with small_build(levels=3):
        setup, root = case.setup(), case.commit().root
        done = 0
        for label, start in kinds.items():
            if label.startswith("root.") or (label.split(".")[-1] in plain and label != "lookup.root"):
                continue
            value = int.from_bytes(proof[start : start + 4], "little") + P
            changed = proof[:start] + value.to_bytes(4, "little") + proof[start + 4 :]
            with pytest.raises(Malformed, match="non-canonical"):
                verify_program(setup, STATEMENT, root, changed, case.knobs.security)
            done += 1
        assert done >= 15


def test_random_bytes_never_crash_the_verifier(small_proof: Recorded) -> None:
    case, proof, _ = small_proof
    rng = np.random.default_rng(3)
    with small_build(levels=3):
        setup, root = case.setup(), case.commit().root
        for _ in range(4):
            words = rng.integers(0, P, len(proof) // 4).astype("<u4").tobytes()
            refuse(case, setup, root, words)
            refuse(case, setup, root, proof[:64] + words[64:])
        refuse(case, setup, root, bytes(len(proof)))


GROUND = ["lookup.grind", *(f"opening.level{n}.grind" for n in (1, 2, 3, 4))]


@pytest.mark.parametrize("label", GROUND)
def test_a_nonce_that_did_no_work(label: str) -> None:
    def lazy(seed: bytes, bits: int) -> int:
        at_fault = order.pop(0) == label
        return (
            next(n for n in range(1000) if not grinding_holds(seed, n, bits))
            if at_fault
            else grind(seed, bits)
        )

    with (
        small_build(levels=3),
        mock.patch.object(huref.prover.argument.prove, "grind", lazy),
        mock.patch.object(huref.prover.argument.prove, "lookup_grinding", lambda *_: 4),
        mock.patch.object(huref.verifier.argument.reduce, "lookup_grinding", lambda *_: 4),
        mock.patch.object(huref.circuits.argument.security, "lookup_grinding", lambda *_: 4),
    ):
        case = chain(d=8, k=16, f=4)
        order = list(GROUND)
        with pytest.raises(Rejected) as caught:
            forge(case, case.setup())
        assert caught.value.path == f"{label}.nonce"
        order = list(GROUND)
        with mock.patch.object(huref.verifier.argument.channel, "grinding_holds", lambda *_: True):
            forge(case, case.setup())


def test_a_zero_challenge_is_refused_not_divided_by() -> None:
    """Rounds divide by coordinates of earlier points; probability 2^−154 for honest provers."""
    case = chain(d=8, k=16, f=4)
    setup, proof, root = case.setup(), case.prove(), case.commit().root
    drawn = Transcript.challenge

    def zero(self: Transcript, label: str) -> KS:
        value = drawn(self, label)
        return KS(0) if label == "lookup.layer0.tau" else value

    with mock.patch.object(Transcript, "challenge", zero), pytest.raises(Rejected) as caught:
        verify_program(setup, STATEMENT, root, proof, case.knobs.security)
    assert caught.value.path == "lookup.layer1.challenge"
