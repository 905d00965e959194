"""Signatures of owners and auditors, and what a forger would try with them."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from py_ecc.bls.g2_primitives import G1_to_pubkey, G2_to_signature, pubkey_to_G1
from py_ecc.bls.hash_to_curve import hash_to_G2
from py_ecc.optimized_bls12_381 import G1, add, multiply, neg

from huref.common.errors import Malformed, Rejected, UsageError
from huref.common.files import bls
from huref.common.files import bundle as form
from huref.common.files.canonical import canonical_json
from huref.common.files.identity import (
    AUDIT_TAG,
    MAX_AUDITORS,
    OWNER_TAG,
    AuditSignatures,
    OwnerSignature,
    check_auditors,
    check_owner,
    cosign,
    sign_manifest,
)
from huref.common.files.keys import SecretKey
from tests.support.bls_points import NO_KEY, NO_SIGNATURE, TORSION

DIGEST = bytes(range(32))
KEYS = [SecretKey(1234567 + i) for i in range(3)]


def _audited(*keys: SecretKey) -> AuditSignatures:
    signed: AuditSignatures | None = None
    for key in keys:
        signed = cosign(key, DIGEST, signed)
    if signed is None:
        raise ValueError("no auditors")
    return signed


def _rejected(signed: AuditSignatures, digest: bytes = DIGEST) -> str:
    with pytest.raises(Rejected) as caught:
        check_auditors(signed, digest)
    return caught.value.path


def test_owners_signature() -> None:
    signed = sign_manifest(KEYS[0], DIGEST)
    assert check_owner(signed, DIGEST) == KEYS[0].public_key
    assert check_owner(signed, DIGEST, KEYS[0].public_key) == KEYS[0].public_key
    forged = [
        signed.model_copy(update={"signer": KEYS[1].public_key}),
        signed.model_copy(update={"signer": NO_KEY.hex(), "signature": NO_SIGNATURE.hex()}),
        *(signed.model_copy(update={"signature": bad}) for bad in ("00" * 96, "ff" * 96, NO_SIGNATURE.hex())),
    ]
    for each, digest in ((signed, bytes(32)), *((each, DIGEST) for each in forged)):
        with pytest.raises(Rejected) as caught:
            check_owner(each, digest)
        assert caught.value.path == "signature"


@pytest.mark.parametrize(
    "text", ["", "0" * 95, "0" * 97, "0" * 191, "0" * 193, "A" * 192, "g" * 192, "é" * 192, "0" * 64]
)
def test_signature_files_hold_hex_of_one_length(text: str) -> None:
    owner, audit = sign_manifest(KEYS[0], DIGEST).model_dump(), _audited(KEYS[0]).model_dump()
    for content, kind, names in (
        (owner, OwnerSignature, ("signer", "signature")),
        (audit, AuditSignatures, ("signers", "signature", "shares")),
    ):
        assert kind.decode(canonical_json(content), "file").model_dump() == content
        for name in names:
            value = [text] if isinstance(content[name], list) else text
            with pytest.raises(Malformed, match=rf"file\.{name}"):
                kind.decode(canonical_json({**content, name: value}), "file")
    many = audit["shares"] * (MAX_AUDITORS + 1)
    for name, bad in (("signers", []), ("shares", []), ("shares", many), ("checksum", text[:63])):
        with pytest.raises(Malformed, match=rf"file\.{name}"):
            AuditSignatures.decode(canonical_json({**audit, name: bad}), "file")


def test_a_stranger_signs_again() -> None:
    with pytest.raises(Rejected) as caught:
        check_owner(sign_manifest(KEYS[1], DIGEST), DIGEST, KEYS[0].public_key)
    assert caught.value.path == "signature.signer"
    assert (caught.value.expected, caught.value.got) == (KEYS[0].public_key, KEYS[1].public_key)


def changed(signed: AuditSignatures, change: dict[str, Any]) -> AuditSignatures:
    """Other fields, and the checksum that belongs to them."""
    fields = {**signed.model_dump(), **change}
    parts = bytes.fromhex(fields["signature"] + "".join(fields["shares"]))
    return signed.model_copy(update={**change, "checksum": sha256(parts).hexdigest()})


def test_a_damaged_file_is_seen() -> None:
    """Every share counts in the checksum, although no verdict rests on it."""
    signed = _audited(*KEYS[:2])
    for change in ({"shares": signed.shares[::-1]}, {"shares": ["00" * 96] * 2}, {"checksum": "0" * 64}):
        with pytest.raises(Malformed, match="damaged"):
            check_auditors(signed.model_copy(update=change), DIGEST)


def test_auditors_signatures_add_up() -> None:
    signed = _audited(*KEYS[:2])
    assert len(signed.signature) == 192
    assert check_auditors(signed, DIGEST) == tuple(sorted(key.public_key for key in KEYS[:2]))
    assert signed == _audited(*KEYS[1::-1])
    fewer = {"signers": signed.signers[:1], "shares": signed.shares[:1]}
    assert _rejected(changed(signed, fewer)) == "audit"
    assert _rejected(signed, bytes(32)) == "audit"  # put beside another bundle
    assert _rejected(changed(signed, {"signature": _audited(KEYS[0]).signature})) == "audit"
    with pytest.raises(UsageError, match="already"):
        cosign(KEYS[0], DIGEST, signed)


def test_auditors_in_another_order_or_twice() -> None:
    signed = _audited(*KEYS[:2])
    both = {"signers": signed.signers[::-1], "shares": signed.shares[::-1]}
    twice = {"signers": signed.signers[:1] * 2, "shares": signed.shares[:1] * 2}
    for change in (both, twice, {"shares": signed.shares[:1]}):
        with pytest.raises(Malformed):
            check_auditors(changed(signed, change), DIGEST)


def test_a_signature_counts_in_its_role_alone() -> None:
    owner = sign_manifest(KEYS[0], DIGEST)
    audit = _audited(KEYS[0])
    weights = bls.coefficients([bytes.fromhex(owner.signer)])
    total = bls.backend().combine([bytes.fromhex(owner.signature)], weights).hex()
    assert _rejected(changed(audit, {"signature": total, "shares": [owner.signature]})) == "audit"
    own = bls.backend().combine([bytes.fromhex(KEYS[0].sign(AUDIT_TAG, DIGEST))], weights).hex()
    check_auditors(changed(audit, {"signature": own}), DIGEST)  # so the role made the difference
    with pytest.raises(Rejected):
        check_owner(OwnerSignature(signer=owner.signer, signature=audit.shares[0]), DIGEST)
    assert OWNER_TAG != AUDIT_TAG and len(OWNER_TAG) == len(AUDIT_TAG)


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_rogue_key_does_not_sign_for_its_victim(adaptive: bool) -> None:
    """sk·G − victim, plain or scaled by the coefficients that the key would have had to know beforehand."""
    victim, secret = bytes.fromhex(KEYS[0].public_key), 424242
    scale, order = 1, bls.GROUP_ORDER
    if adaptive:
        guess = bytes(G1_to_pubkey(multiply(G1, secret)))
        mine, other = bls.coefficients([victim, guess])
        scale = mine * pow(other, -1, order) % order
    rogue = bytes(G1_to_pubkey(add(multiply(G1, secret), multiply(neg(pubkey_to_G1(victim)), scale))))
    keys = sorted([victim, rogue])
    weights = dict(zip(keys, bls.coefficients(keys), strict=True))
    share = bytes.fromhex(SecretKey(secret).sign(AUDIT_TAG, DIGEST))
    for weight in (1, weights[rogue]):
        forged = bls.backend().combine([share], [weight]).hex()
        names = [key.hex() for key in keys]
        assert _rejected(AuditSignatures.of(names, forged, [forged] * 2)) == "audit"


def test_no_signature_for_no_key() -> None:
    for key in (NO_KEY, TORSION):
        assert _rejected(AuditSignatures.of([key.hex()], NO_SIGNATURE.hex(), [NO_SIGNATURE.hex()])) == "audit"
    signed = _audited(KEYS[0])
    beside = {"signers": [*signed.signers, NO_KEY.hex()], "shares": signed.shares * 2}
    assert signed.signers[0] < NO_KEY.hex()
    assert _rejected(changed(signed, beside)) == "audit"


def test_damaged_shares_are_seen_by_the_next_auditor() -> None:
    signed = _audited(KEYS[0])
    check_auditors(changed(signed, {"shares": ["00" * 96]}), DIGEST)
    with pytest.raises(Malformed):
        cosign(KEYS[1], DIGEST, changed(signed, {"shares": ["00" * 96]}))
    other = _audited(KEYS[2]).shares
    with pytest.raises(Rejected) as caught:
        cosign(KEYS[1], DIGEST, changed(signed, {"shares": other}))
    assert caught.value.path == "audit.shares"
    with pytest.raises(Rejected):  # nobody's signature is made better by one more
        cosign(KEYS[1], DIGEST, changed(signed, {"signature": other[0]}))


def test_number_of_auditors_is_capped_before_any_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = _audited(KEYS[0])

    def never() -> None:
        raise RuntimeError("a curve was reached")

    monkeypatch.setattr(bls, "backend", never)
    for number in (MAX_AUDITORS + 1, 10_000):
        names = [f"{0x80 << 376 | i:096x}" for i in range(number)]
        many = {**signed.model_dump(), "signers": names, "shares": signed.shares * number}
        data = json.dumps(many, sort_keys=True, separators=(",", ":")).encode()
        with pytest.raises(Malformed, match="signers"):
            AuditSignatures.decode(data, form.COSIGNATURES)
    full = changed(signed, {"signers": names[:MAX_AUDITORS], "shares": signed.shares * MAX_AUDITORS})
    assert len(full.encode()) < form.CAPS[form.COSIGNATURES]
    assert AuditSignatures.decode(full.encode(), form.COSIGNATURES) == full
    assert len(sign_manifest(KEYS[0], DIGEST).encode()) < form.CAPS[form.SIGNATURE]
    with pytest.raises(RuntimeError):
        check_auditors(full, DIGEST)


def test_a_full_file_takes_nobody_more() -> None:
    point = hash_to_G2(AUDIT_TAG + DIGEST, bls.DST, sha256)  # once for all
    secrets = range(1000, 1000 + MAX_AUDITORS)
    made = {SecretKey(i).public_key: bytes(G2_to_signature(multiply(point, i))).hex() for i in secrets}
    shares = dict(sorted(made.items()))
    weights = bls.coefficients([bytes.fromhex(key) for key in shares])
    total = bls.backend().combine([bytes.fromhex(share) for share in shares.values()], weights)
    full = AuditSignatures.of(list(shares), total.hex(), list(shares.values()))
    assert len(check_auditors(full, DIGEST)) == MAX_AUDITORS
    with pytest.raises(UsageError, match="64 auditors"):
        cosign(KEYS[0], DIGEST, full)
