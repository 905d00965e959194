"""Keys and signatures: BLS12-381 in the proof-of-possession scheme, so that auditors' signatures add up to one.

What is signed is the digest of a bundle's manifest, behind a tag that says in which role. `py_ecc` is imported
only when a signature is made or checked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from huref.common.errors import InputOutputError, Malformed, Rejected, UsageError
from huref.common.files.atomic import write_file
from huref.common.files.strict import StrictModel

PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]
Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{192}$")]
OWNER_TAG = b"huref/signature/owner/1"
AUDIT_TAG = b"huref/signature/audit/1"
_MAX_KEY_FILE = 4096
_GROUP_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""Order of the prime-order groups of BLS12-381; secret keys are below it."""


class Member(StrictModel):
    """A public key and the proof that its owner knows the secret key (guards sums of signatures)."""

    public_key: PublicKey
    possession: Signature


class OwnerSignature(StrictModel):
    """manifest.sig: the owner's signature of the manifest."""

    format: Literal["huref-signature/1"] = "huref-signature/1"
    signer: Member
    signature: Signature


class AuditSignatures(StrictModel):
    """audit.sig: one aggregate signature of all auditors, in ascending order of their keys."""

    format: Literal["huref-audit/1"] = "huref-audit/1"
    signers: Annotated[list[Member], Field(min_length=1, max_length=64)]
    signature: Signature


class SecretKey:
    """A signing key; its repr hides the value."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "SecretKey(…)"

    @classmethod
    def generate(cls) -> SecretKey:
        """A fresh key from the operating system's generator."""
        return cls(_scheme().KeyGen(os.urandom(32)))

    @property
    def public_key(self) -> str:
        """The public key, hex."""
        return bytes(_scheme().SkToPk(self._value)).hex()

    def member(self) -> Member:
        """The public key with its proof of possession."""
        return Member(public_key=self.public_key, possession=bytes(_scheme().PopProve(self._value)).hex())

    def sign(self, tag: bytes, digest: bytes) -> str:
        """Signature of `digest` in the role `tag`, hex."""
        return bytes(_scheme().Sign(self._value, tag + digest)).hex()

    def save(self, path: Path) -> None:
        """Write the key to a new file that only its owner may read (0600). UsageError if it exists."""
        if os.path.lexists(path):
            raise UsageError(f"{path} exists already", hint="keys are never overwritten")
        content = {
            "format": "huref-key/1",
            "public_key": self.public_key,
            "secret_key": f"{self._value:064x}",
        }
        write_file(path, (json.dumps(content) + "\n").encode(), mode=0o600)

    @classmethod
    def load(cls, path: Path) -> SecretKey:
        """Read a key file.

        Raises:
            InputOutputError: it cannot be read.
            UsageError: others may read it.
            Malformed: it is not a key file.
        """
        try:
            with path.open("rb") as file:
                mode, data = os.fstat(file.fileno()).st_mode, file.read(_MAX_KEY_FILE)
        except OSError as error:
            raise InputOutputError(f"{path}: {error.strerror or error}") from None
        if mode & 0o077 and os.name == "posix":  # elsewhere the mode says nothing
            raise UsageError(f"{path} is readable by others", hint=f"chmod 600 {path}")
        try:
            content = json.loads(data)
            value = int(content["secret_key"], 16)
            if content["format"] != "huref-key/1" or not 0 < value < _GROUP_ORDER:
                raise ValueError
            key = cls(value)
            if key.public_key != content["public_key"]:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise Malformed(f"{path}: not a huref key file") from None
        return key


def sign_manifest(key: SecretKey, digest: bytes) -> OwnerSignature:
    """The owner's signature of a manifest's digest."""
    return OwnerSignature(signer=key.member(), signature=key.sign(OWNER_TAG, digest))


def check_owner(signed: OwnerSignature, digest: bytes) -> str:
    """The signer's public key. Raises `Rejected`."""
    _check_member(signed.signer, "signature")
    public, signature = bytes.fromhex(signed.signer.public_key), bytes.fromhex(signed.signature)
    if not _holds(lambda: _scheme().Verify(public, OWNER_TAG + digest, signature)):
        raise Rejected("signature", "the owner's signature is not of this bundle")
    return signed.signer.public_key


def cosign(key: SecretKey, digest: bytes, earlier: AuditSignatures | None) -> AuditSignatures:
    """Add an auditor's signature to those already there. UsageError if this key signed before."""
    members = list(earlier.signers) if earlier else []
    if key.public_key in {member.public_key for member in members}:
        raise UsageError("this key has already co-signed the bundle")
    parts = [bytes.fromhex(key.sign(AUDIT_TAG, digest))]
    parts += [bytes.fromhex(earlier.signature)] if earlier else []
    members = sorted([*members, key.member()], key=lambda member: member.public_key)
    return AuditSignatures(signers=members, signature=bytes(_scheme().Aggregate(parts)).hex())


def check_auditors(signed: AuditSignatures, digest: bytes) -> tuple[str, ...]:
    """Public keys of all auditors. Raises `Malformed` (order, repeats) or `Rejected`."""
    keys = [member.public_key for member in signed.signers]
    if keys != sorted(set(keys)):
        raise Malformed("audit.sig: signers must be different and in ascending order")
    for number, member in enumerate(signed.signers):
        _check_member(member, f"audit.signers.{number}")
    public: Sequence[bytes] = [bytes.fromhex(key) for key in keys]
    signature = bytes.fromhex(signed.signature)
    if not _holds(lambda: _scheme().FastAggregateVerify(public, AUDIT_TAG + digest, signature)):
        raise Rejected("audit", "the auditors' signature is not of this bundle")
    return tuple(keys)


def _check_member(member: Member, path: str) -> None:
    key, proof = bytes.fromhex(member.public_key), bytes.fromhex(member.possession)
    if not _holds(lambda: _scheme().PopVerify(key, proof)):
        raise Rejected(f"{path}.possession", "no proof that the signer knows the secret key")


def _holds(check: Any) -> bool:
    """A check of `py_ecc`; points off the curve and the like count as false."""
    try:
        return bool(check())
    except (ValueError, AssertionError, OverflowError):
        return False


def _scheme() -> Any:
    from py_ecc.bls import G2ProofOfPossession

    return G2ProofOfPossession
