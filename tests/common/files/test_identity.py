"""Keys, signatures, audits and co-signatures."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from huref.common.errors import InputOutputError, Malformed, Rejected, UsageError
from huref.common.files import bundle as form
from huref.common.files.identity import (
    AuditSignatures,
    SecretKey,
    check_auditors,
    check_owner,
    cosign,
    sign_manifest,
)
from huref.prover.audit import audit
from huref.prover.owner import Options, prove
from huref.verifier import verify
from tests.conftest import Made
from tests.support import tiny_models

DIGEST = bytes(range(32))
KEYS = [SecretKey(1234567 + i) for i in range(3)]


@pytest.fixture
def copy(tiny: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.bundle, tmp_path / "copy.huref"))


def test_key_files(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = SecretKey.generate()
    key.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SecretKey.load(path).public_key == key.public_key
    assert key.public_key not in repr(key) and "…" in repr(key)
    with pytest.raises(UsageError, match="exists already"):
        SecretKey.generate().save(path)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="readable by others"):
        SecretKey.load(path)
    for content in (b"", b"{}", b"[]", b'{"format":"huref-key/1","secret_key":"00","public_key":"00"}'):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(Malformed):
            SecretKey.load(path)
    with pytest.raises(InputOutputError):
        SecretKey.load(tmp_path / "absent")


def test_owners_signature() -> None:
    signed = sign_manifest(KEYS[0], DIGEST)
    assert check_owner(signed, DIGEST) == KEYS[0].public_key
    with pytest.raises(Rejected) as caught:
        check_owner(signed, bytes(32))
    assert caught.value.path == "signature"
    stranger = KEYS[1].member()
    for member in (stranger, signed.signer.model_copy(update={"possession": stranger.possession})):
        with pytest.raises(Rejected):
            check_owner(signed.model_copy(update={"signer": member}), DIGEST)
    for broken in ("00" * 96, "ff" * 96):
        with pytest.raises(Rejected):
            check_owner(signed.model_copy(update={"signature": broken}), DIGEST)


def test_auditors_signatures_add_up() -> None:
    signed: AuditSignatures | None = None
    for key in KEYS[:2]:
        signed = cosign(key, DIGEST, signed)
    assert signed is not None and len(signed.signature) == 192
    keys = tuple(sorted(key.public_key for key in KEYS[:2]))
    assert check_auditors(signed, DIGEST) == keys
    with pytest.raises(Rejected):
        check_auditors(signed.model_copy(update={"signers": signed.signers[:1]}), DIGEST)
    with pytest.raises(Malformed):
        check_auditors(signed.model_copy(update={"signers": signed.signers[::-1]}), DIGEST)
    with pytest.raises(UsageError, match="already"):
        cosign(KEYS[0], DIGEST, signed)


def test_an_owners_signature_is_no_audit() -> None:
    owner = sign_manifest(KEYS[0], DIGEST)
    forged = AuditSignatures(signers=[owner.signer], signature=owner.signature)
    with pytest.raises(Rejected):
        check_auditors(forged, DIGEST)


def test_a_key_chosen_to_cancel_anothers_is_refused() -> None:
    """Without its proof of possession a rogue key could sign for itself and its victim alone."""
    signed = cosign(KEYS[0], DIGEST, None)
    victim = KEYS[1].member()
    rogue = victim.model_copy(update={"public_key": KEYS[2].public_key})
    members = sorted([signed.signers[0], rogue], key=lambda member: member.public_key)
    with pytest.raises(Rejected) as caught:
        check_auditors(AuditSignatures(signers=members, signature=signed.signature), DIGEST)
    assert caught.value.path.endswith("possession")


def test_audit_and_cosign_a_bundle(copy: Path, tiny: Made, other: Made) -> None:
    (copy / f".{form.COSIGNATURES}.0123456789abcdef.tmp").write_bytes(b"{")  # an earlier audit was killed
    report = audit(copy, tiny.checkpoint, tiny.commitment, key=KEYS[0])
    assert report.cosigners == (KEYS[0].public_key,)
    report = audit(copy, tiny.checkpoint, tiny.commitment / "private", key=KEYS[1])
    assert set(report.cosigners) == {KEYS[0].public_key, KEYS[1].public_key}
    assert verify(copy).cosigners == report.cosigners
    for checkpoint, private in ((other.checkpoint, tiny.commitment), (tiny.checkpoint, other.commitment)):
        with pytest.raises(Rejected) as caught:
            audit(copy, checkpoint, private, key=KEYS[2])
        assert caught.value.path == "audit.root"
    assert len(verify(copy).cosigners) == 2


def test_signed_bundles(tmp_path: Path) -> None:
    checkpoint = tiny_models.build("bert", tmp_path / "model")
    bundle = prove(checkpoint, tmp_path / "a.huref", Options(k=64, proofs=1), key=KEYS[0]).path
    signed = (bundle / form.SIGNATURE).read_bytes()
    assert verify(bundle, signer=KEYS[0].public_key).signer == KEYS[0].public_key
    with pytest.raises(Rejected) as caught:
        verify(bundle, signer=KEYS[1].public_key)
    assert caught.value.path == "expect.signer"
    (bundle / form.SIGNATURE).write_bytes(sign_manifest(KEYS[0], DIGEST).encode())
    with pytest.raises(Rejected) as caught:
        verify(bundle)
    assert caught.value.path == "signature"
    (bundle / form.SIGNATURE).write_bytes(signed + b"\n")
    with pytest.raises(Malformed):
        verify(bundle)


def test_anybody_signs_an_unsigned_bundle(copy: Path) -> None:
    """The model id names no owner, so a signature is a stranger's."""
    digest = bytes.fromhex(form.FileEntry.of((copy / form.MANIFEST).read_bytes()).sha256)
    (copy / form.SIGNATURE).write_bytes(sign_manifest(KEYS[0], digest).encode())
    with pytest.raises(Rejected) as caught:
        verify(copy)
    assert caught.value.path == "signature.signer"
