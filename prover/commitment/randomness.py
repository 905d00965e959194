"""The prover's secret randomness: labelled SHAKE-256 streams from a 32-byte seed (protocol §4).

Every stream is SHAKE-256(tag | label length u32 | label | seed). Two labels give independent streams, and
the same seed and label always give the same stream, so random rows and salts can be recomputed instead of
stored.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256, shake_256

import numpy as np
import numpy.typing as npt

from huref.common.algebra.field import DEGREE, KArray, P

SEED_BYTES = 32
_TAG_STREAM = b"huref/prover/stream/1"
_TAG_PROOF = b"huref/prover/proof-seed/1"


@dataclass(frozen=True)
class SecretSeed:
    """A 32-byte secret and the streams derived from it. Never printed: its repr hides the value."""

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, got {len(self.value)}")

    @classmethod
    def fresh(cls) -> SecretSeed:
        """From the operating system's generator."""
        return cls(os.urandom(SEED_BYTES))

    def stream(self, label: str, count: int) -> bytes:
        """The first `count` bytes of the stream named `label`."""
        name = label.encode()
        return shake_256(_TAG_STREAM + len(name).to_bytes(4, "little") + name + self.value).digest(count)

    def derive(self, label: str) -> SecretSeed:
        """A seed of its own for the sub-task `label`."""
        return SecretSeed(self.stream(f"seed/{label}", SEED_BYTES))

    def field_elements(self, label: str, count: int) -> npt.NDArray[np.uint32]:
        """`count` uniform elements of F, canonical: 31-bit little-endian candidates, those >= p rejected."""
        wanted = 4 * (count + count // 14 + 8 * int(count**0.5) + 16)  # 1/16 of the candidates fall away
        while True:
            words = np.frombuffer(self.stream(label, wanted), dtype="<u4") & np.uint32(0x7FFFFFFF)
            accepted = words[words < P]
            if accepted.size >= count:
                return accepted[:count].astype(np.uint32, copy=False)
            wanted *= 2

    def k_elements(self, label: str, count: int) -> KArray:
        """`count` uniform elements of K, shape (count, 5)."""
        return self.field_elements(label, DEGREE * count).astype(np.uint64).reshape(count, DEGREE)


def fresh_proof_seed(
    secret_seed: SecretSeed,
    counter: int,
    statement_digest: bytes,
    *,
    test_only_os_randomness: bytes | None = None,
) -> SecretSeed:
    """The seed of a proof's randomness: H(fresh OS randomness | secret seed | counter | statement digest).

    Without the operating system's part a repeated counter (a restored backup) would reuse pads; without the
    seed's part a broken generator would. `test_only_os_randomness` (32 bytes) makes a test reproducible.
    """
    if len(statement_digest) != SEED_BYTES:
        raise ValueError(f"a statement digest has {SEED_BYTES} bytes, got {len(statement_digest)}")
    fresh = os.urandom(SEED_BYTES) if test_only_os_randomness is None else test_only_os_randomness
    if len(fresh) != SEED_BYTES:
        raise ValueError(f"expected {SEED_BYTES} bytes of randomness, got {len(fresh)}")
    message = _TAG_PROOF + fresh + secret_seed.value + counter.to_bytes(8, "little") + statement_digest
    return SecretSeed(sha256(message).digest())
