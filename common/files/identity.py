"""Who stands behind a bundle: its owner's signature, and one aggregate of all its auditors'.

Signed is the digest of the manifest, which covers every other file, behind a tag that says in which role. Auditors'
signatures are weighted by coefficients that depend on all their keys, so that the aggregate is safe without proofs
of possession and costs one check of two pairings (docs/protocol.md, Signatures).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from huref.common.errors import Malformed, Rejected, UsageError
from huref.common.files import bls
from huref.common.files.keys import PublicKey, SecretKey
from huref.common.files.strict import Hex32, StrictModel

Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{192}$")]
OWNER_TAG = b"huref/signature/owner/1"
AUDIT_TAG = b"huref/signature/audit/1"
MAX_AUDITORS = 64


class OwnerSignature(StrictModel):
    """manifest.sig: the owner's signature of the manifest."""

    format: Literal["huref-signature/2"] = "huref-signature/2"
    signer: PublicKey
    signature: Signature


class AuditSignatures(StrictModel):
    """audit.sig: one aggregate signature of all auditors, their keys in ascending order.

    `shares` are the auditors' own signatures in the same order. No sentence of a verdict rests on them: with another
    auditor all coefficients change, and whoever adds a signature makes the aggregate again from them, and checks it.
    `checksum` is the SHA-256 of signature and shares, so that a damaged file is seen before that.
    """

    format: Literal["huref-audit/3"] = "huref-audit/3"
    signers: Annotated[list[PublicKey], Field(min_length=1, max_length=MAX_AUDITORS)]
    signature: Signature
    shares: Annotated[list[Signature], Field(min_length=1, max_length=MAX_AUDITORS)]
    checksum: Hex32

    @classmethod
    def of(cls, signers: list[str], signature: str, shares: list[str]) -> AuditSignatures:
        """The file of these signatures, hex."""
        return cls(signers=signers, signature=signature, shares=shares, checksum=_checksum(signature, shares))


def _checksum(signature: str, shares: Sequence[str]) -> str:
    return hashlib.sha256(bytes.fromhex("".join([signature, *shares]))).hexdigest()


def sign_manifest(key: SecretKey, digest: bytes) -> OwnerSignature:
    """The owner's signature of a manifest's digest."""
    return OwnerSignature(signer=key.public_key, signature=key.sign(OWNER_TAG, digest))


def check_owner(signed: OwnerSignature, digest: bytes, expected: str | None = None) -> str:
    """The signer's public key, which must be `expected` if that is given (hex).

    Raises `Rejected` at signature.signer (somebody else signed) or signature (not of this bundle).
    """
    if expected is not None and signed.signer != expected:
        raise Rejected(
            "signature.signer", "signed by another key than the owner's", expected=expected, got=signed.signer
        )
    if not _hold([signed.signer], [1], OWNER_TAG + digest, signed.signature):
        raise Rejected("signature", "the owner's signature is not of this bundle")
    return signed.signer


def cosign(key: SecretKey, digest: bytes, earlier: AuditSignatures | None) -> AuditSignatures:
    """Add an auditor's signature to those already there.

    Raises:
        UsageError: this key signed before, or there are as many as a file holds.
        Malformed, Rejected: the earlier signatures, or the shares to make the new aggregate of, do not hold.
    """
    shares = {}
    if earlier is not None:
        shares = dict(zip(check_auditors(earlier, digest), earlier.shares, strict=True))
    if key.public_key in shares:
        raise UsageError("this key has already co-signed the bundle")
    if len(shares) == MAX_AUDITORS:
        raise UsageError(f"{MAX_AUDITORS} auditors have signed, more are not possible")
    shares = dict(sorted({**shares, key.public_key: key.sign(AUDIT_TAG, digest)}.items()))
    keys, parts = list(shares), list(shares.values())
    weights = bls.coefficients([bytes.fromhex(public) for public in keys])
    total = bls.backend().combine([bytes.fromhex(part) for part in parts], weights)
    made = AuditSignatures.of(keys, total.hex(), parts)
    if not _hold(keys, weights, AUDIT_TAG + digest, made.signature):
        raise Rejected("audit.shares", "an earlier auditor's own signature is not of this bundle")
    return made


def check_auditors(signed: AuditSignatures, digest: bytes) -> tuple[str, ...]:
    """Public keys of all auditors. Raises `Malformed` (order, repeats, number of shares) or `Rejected`."""
    keys = signed.signers
    if keys != sorted(set(keys)):
        raise Malformed("audit.sig: signers must be different and in ascending order")
    if len(keys) != len(signed.shares):
        raise Malformed("audit.sig: every signer has one share")
    if signed.checksum != _checksum(signed.signature, signed.shares):
        raise Malformed("audit.sig: damaged, its checksum is another")
    weights = bls.coefficients([bytes.fromhex(key) for key in keys])
    if not _hold(keys, weights, AUDIT_TAG + digest, signed.signature):
        raise Rejected("audit", "the auditors' signature is not of this bundle")
    return tuple(keys)


def _hold(keys: Sequence[str], weights: Sequence[int], message: bytes, signature: str) -> bool:
    public = [bytes.fromhex(key) for key in keys]
    return bls.backend().holds(public, weights, message, bytes.fromhex(signature))
