"""What a registry says: its entries, and the signed checkpoints of its log."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from huref.circuits.fingerprint.profiles import PROFILES
from huref.common.errors import Rejected, UsageError
from huref.common.files import bls
from huref.common.files.canonical import canonical_json
from huref.common.files.keys import PublicKey, SecretKey
from huref.common.files.strict import Hex32, Identifier, StrictModel
from huref.verifier.registry.merkle import leaf_hash
from huref.verifier.verdict import Verdict

TAG = b"huref/signature/log/1"
Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95})?$")
]
"""What a model is called, OWNER/MODEL: whoever made the entry says so, nothing proves it."""
Kind = tuple[str, int, int]
Count = Annotated[int, Field(ge=0, le=1 << 40)]


class Entry(StrictModel):
    """One entry; its canonical JSON is the leaf of the log.

    `digest` names the bundle, `fingerprint` hashes the outputs and how they were made, `vector` is the SHA-256 of v as
    canonical JSON, `token_ids` that of the ids. `added` is the registry's clock.
    """

    format: Literal["huref-entry/1"] = "huref-entry/1"
    name: Name
    added: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    digest: Hex32
    model_id: Hex32
    fingerprint: Hex32
    vector: Hex32
    profile: Identifier
    k: Count
    p: Count
    token_ids: Hex32
    security_bits: Count
    signer: PublicKey | None

    @classmethod
    def of(cls, verdict: Verdict, name: str, added: str) -> Entry:
        """The entry of a bundle that verified.

        Raises:
            Malformed: the name. UsageError: its tables are drawn from a challenge, so no other entry is like it.
        """
        said = verdict.directory
        if verdict.challenge is not None:
            raise UsageError(
                "the bundle answers a challenge, and a registry compares public fingerprints",
                hint="add a bundle that was made without --challenge",
            )
        ids = hashlib.sha256(canonical_json(said.tokens.ids)).hexdigest()
        value = {
            "name": name, "added": added, "digest": verdict.digest, "model_id": verdict.model_id,
            "fingerprint": verdict.fingerprint, "vector": vector_digest(verdict.v), "profile": said.profile,
            "k": said.k, "p": said.p, "token_ids": ids, "security_bits": int(verdict.security.bits),
            "signer": verdict.signer,
        }  # fmt: skip
        return cls.read(value, "entry")

    @property
    def leaf(self) -> bytes:
        """The log's hash of it."""
        return leaf_hash(self.encode())

    @property
    def kind(self) -> Kind:
        """Vectors of one kind can be compared."""
        return kind_of(self.profile, self.k, self.p)

    def check_vector(self, v: list[int]) -> None:
        """Reject a vector that is not the one of the entry."""
        if len(v) != 512 or vector_digest(v) != self.vector:
            raise Rejected("registry.vector", "not the vector of this entry", expected=self.vector)


def vector_digest(v: list[int]) -> str:
    """Hex SHA-256 of v as canonical JSON."""
    return hashlib.sha256(canonical_json(v)).hexdigest()


def kind_of(profile: str, k: int, p: int) -> Kind:
    """What two vectors must have in common to be compared; K is the vocabulary's business in `hardened`."""
    known = PROFILES.get(profile)
    return profile, 0 if known is not None and known.whole else k, p


class Checkpoint(StrictModel):
    """Size and root of a log, signed by its registry; `origin` is the registry's own name."""

    format: Literal["huref-log/1"] = "huref-log/1"
    origin: Identifier
    size: Count
    root: Hex32
    signer: PublicKey
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{192}$")]

    @classmethod
    def sign(cls, origin: str, size: int, root: bytes, key: SecretKey) -> Checkpoint:
        """A checkpoint signed with `key`."""
        signature = key.sign(TAG, _message(origin, size, root.hex()))
        return cls(origin=origin, size=size, root=root.hex(), signer=key.public_key, signature=signature)

    def check(self, signer: str | None = None) -> None:
        """Reject unless the signature holds, and is by `signer` if that is given (hex)."""
        if signer is not None and self.signer != signer:
            raise Rejected(
                "registry.signer", "the log is signed by another key", expected=signer, got=self.signer
            )
        message = TAG + _message(self.origin, self.size, self.root)
        if not bls.backend().holds([bytes.fromhex(self.signer)], [1], message, bytes.fromhex(self.signature)):
            raise Rejected("registry.signature", "the signature is not of this checkpoint")


def _message(origin: str, size: int, root: str) -> bytes:
    return hashlib.sha256(canonical_json({"origin": origin, "size": size, "root": root})).digest()
