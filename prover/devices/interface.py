"""What encoding and hashing need of a device. Every device gives the same bytes (protocol §4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import FArray
from huref.common.argument.merkle import Digests
from huref.prover.devices.matrix import Matrix


class Device(Protocol):
    """A place that encodes matrices and hashes leaves, and says which executor runs the program beside it."""

    @property
    def executor(self) -> str:
        """The `device` of `huref.prover.run.executor.execute`: `cpu` (compiled), `torch-cpu`, or a torch device."""
        ...

    @property
    def for_proofs(self) -> Device:
        """The device for what belongs to a proof (openings, pads, masks): this one, if it is in this machine."""
        ...

    def leaf_digests(self, matrix: Matrix, domain: CodeDomain, salt_header: bytes) -> Digests:
        """Encode every column and hash every code point: (n, 32) bytes in point order.

        Salt i is the first half of SHA-256(`salt_header` | i as u64 LE). Raises ProverError if an entry is not in
        (-p, p), ValueError if the matrix has not k' rows or no column, or entries of another type.
        """
        ...

    def encode_rows(self, matrix: Matrix, domain: CodeDomain, positions: Sequence[int]) -> FArray:
        """The code's rows at sorted `positions`, canonical (t, width). Raises as `leaf_digests`."""
        ...

    def hash_level(self, children: Digests) -> Digests:
        """Parents (m, 32) of 2m child digests (2m, 32): the `hash_level` of `MerkleTree`."""
        ...
