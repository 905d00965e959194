"""Commitments to matrices: encode every column, hash every code point, keep only a Merkle tree (protocol §4).

A device does the first two (`huref.prover.devices.interface`); the tree takes 64 bytes per leaf. Opened rows are
recomputed, not stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import FArray
from huref.common.argument.merkle import DIGEST_BYTES, SALT_BYTES, Digests, MerkleTree
from huref.prover.commitment.randomness import SEED_BYTES, SecretSeed
from huref.prover.devices.compiled import COMPILED
from huref.prover.devices.interface import Device
from huref.prover.devices.matrix import Matrix, StackedMatrix
from huref.prover.kernels.mapped import release

_TAG_SALT = b"huref/prover/salt/1"


@dataclass(frozen=True)
class Opening:
    """Opened leaves: values (t, width) canonical, salts (t, 16) bytes, and the multi-proof's nodes."""

    values: FArray
    salts: npt.NDArray[np.uint8]
    nodes: list[bytes]


@dataclass(frozen=True)
class Committed:
    """A committed matrix: its tree, and what is needed to recompute opened rows, on the device for proofs."""

    matrix: Matrix
    domain: CodeDomain
    tree: MerkleTree
    salt_seed: bytes
    device: Device

    @property
    def root(self) -> bytes:
        """The Merkle root, 32 bytes."""
        return self.tree.root

    @property
    def n(self) -> int:
        """Number of leaves."""
        return self.domain.n

    def open(self, positions: Sequence[int]) -> Opening:
        """Open sorted distinct positions in [0, n). ValueError otherwise."""
        nodes = self.tree.prove(positions)
        values = self.device.encode_rows(self.matrix, self.domain, positions)
        header = _salt_header(self.salt_seed)
        salts = b"".join(
            sha256(header + int(i).to_bytes(8, "little")).digest()[:SALT_BYTES] for i in positions
        )
        return Opening(values, np.frombuffer(salts, dtype=np.uint8).reshape(-1, SALT_BYTES), nodes)


def with_random_rows(matrix: StackedMatrix, count: int, seed: SecretSeed, label: str) -> StackedMatrix:
    """The matrix with `count` uniformly random rows appended, from the stream `label` of `seed`."""
    if count == 0:
        return matrix
    elements = seed.field_elements(label, count * matrix.width)
    return StackedMatrix((*matrix.segments, elements.reshape(count, matrix.width)))


def commit(
    matrix: Matrix,
    domain: CodeDomain,
    salt_seed: bytes,
    device: Device = COMPILED,
    digest_bytes: int = DIGEST_BYTES,
) -> Committed:
    """Commit to `matrix`, whose rows are the coefficients of degree 0..k'-1 of its columns.

    Salt i is the first half of SHA-256(tag padded to 32 | salt_seed | i as u64 LE); the device makes no difference to
    the result.
    Raises ProverError if an entry is not in (-p, p), ValueError if the matrix has not k' rows or no column.
    """
    leaves = device.leaf_digests(matrix, domain, _salt_header(salt_seed))
    return restore(matrix, domain, salt_seed, leaves, device, digest_bytes)


def restore(
    matrix: Matrix,
    domain: CodeDomain,
    salt_seed: bytes,
    leaves: Digests,
    device: Device = COMPILED,
    digest_bytes: int = DIGEST_BYTES,
) -> Committed:
    """What `commit` returned, from the leaf digests it made."""
    tree = MerkleTree(leaves, device.hash_level, digest_bytes)
    release(leaves)
    return Committed(matrix, domain, tree, salt_seed, device.for_proofs)


def _salt_header(salt_seed: bytes) -> bytes:
    if len(salt_seed) != SEED_BYTES:
        raise ValueError(f"a salt seed has {SEED_BYTES} bytes, got {len(salt_seed)}")
    return _TAG_SALT.ljust(32, b"\0") + salt_seed
