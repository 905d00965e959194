"""Whose signatures count in a verdict: those of keys that the caller names, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from huref.common.errors import Malformed, Rejected, UsageError
from huref.common.files import bundle as form
from huref.common.files.bundle import parse_bundle
from huref.common.files.identity import cosign, sign_manifest
from huref.common.files.keys import SecretKey
from huref.prover.owner import Options, prove
from huref.verifier.verdict import Verdict
from tests.conftest import Made
from tests.support import tiny_models
from tests.support.forge import Files, check, load

OWNER, *AUDITORS = [SecretKey(1234567 + i) for i in range(4)]
STRANGER = SecretKey(99)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A bundle about a model id that names OWNER, signed by it."""
    folder = tmp_path_factory.mktemp("owned")
    checkpoint = tiny_models.build("bert", folder / "model")
    return load(prove(checkpoint, folder / "a.huref", Options(proofs=2), key=OWNER).path)


def _signed(files: Files, owner: SecretKey | None, *auditors: SecretKey) -> Files:
    digest = parse_bundle(Path("x"), files).digest
    made = dict(files)
    if owner is not None:
        made[form.SIGNATURE] = sign_manifest(owner, digest).encode()
    several = None
    for key in auditors:
        several = cosign(key, digest, several)
    if several is not None:
        made[form.COSIGNATURES] = several.encode()
    return made


def _rejected(files: Files, **options: Any) -> str:
    with pytest.raises(Rejected) as caught:
        check(files, **options)
    return caught.value.path


def _words(verdict: Verdict) -> tuple[list[str], list[str]]:
    return verdict.proven(), verdict.not_proven()


def test_named_auditors_count_and_others_change_nothing(files: Files, tmp_path: Path) -> None:
    plain = check(files)
    one, two = (key.public_key for key in AUDITORS[:2])
    audited = _signed(files, None, *AUDITORS[:2])
    unnamed = check(audited)
    assert unnamed.cosigners == () and set(unnamed.unknown_cosigners) == {one, two}
    assert _words(unnamed) == _words(plain)
    file = AUDITORS[0].save(tmp_path / "auditor.key")
    named = check(audited, auditors=[file, one.upper()])
    assert named.cosigners == (one,) and named.unknown_cosigners == (two,)
    assert _words(named) == _words(plain), "no signature takes a caveat away"
    assert [line for line in named.signed_by() if one in line and "auditor" in line]
    assert all("counts for nothing" in line for line in unnamed.signed_by() if "owner" not in line)
    assert _words(named) == _words(check(_signed(files, None, AUDITORS[0]), auditors=[one]))
    assert named.to_dict()["unknown_cosigners"] == [two]


def test_a_named_auditor_must_have_signed(files: Files) -> None:
    audited = _signed(files, OWNER, AUDITORS[0])
    absent = AUDITORS[1].public_key
    assert _rejected(audited, auditors=[AUDITORS[0].public_key, absent]) == "expect.auditor"
    assert _rejected(files, auditors=[absent]) == "expect.auditor"
    assert _rejected(audited, auditors=[OWNER.public_key]) == "expect.auditor"  # the owner audited nothing
    with pytest.raises(UsageError, match="neither a public key nor a file"):
        check(audited, auditors=["nobody"])


def test_a_stranger_signs_again(files: Files, tmp_path: Path) -> None:
    theirs = _signed(files, STRANGER)
    public = OWNER.save(tmp_path / "key")
    assert check(files, signer=public).signer == OWNER.public_key
    assert check(files, signer="0x" + OWNER.public_key.upper()).signer == OWNER.public_key
    for options, whose in (({"signer": public}, "the key you named"), ({}, "a key that you did not name")):
        verdict = check(files, **options)
        assert verdict.expected == tuple(options)
        assert verdict.signed_by() == [f"{OWNER.public_key} as the owner ({whose})."]
    assert _rejected(files, signer=STRANGER.public_key) == "expect.signer"
    unsigned = {name: data for name, data in files.items() if name != form.SIGNATURE}
    for options in ({}, {"signer": public}, {"signer": STRANGER.public_key}):
        assert _rejected(theirs, **options) == "signature.signer"
        assert _rejected(unsigned, **options) == "signature.signer"
    mixed = {**files, form.SIGNATURE: theirs[form.SIGNATURE].replace(
        STRANGER.public_key.encode(), OWNER.public_key.encode())}  # fmt: skip
    assert _rejected(mixed) == "signature"


def test_nobody_signs_for_a_model_id_without_an_owner(tiny: Made) -> None:
    files = load(tiny.bundle)
    assert check(files).signer is None
    assert _rejected(files, signer=OWNER.public_key) == "expect.signer"
    assert _rejected(_signed(files, STRANGER)) == "signature.signer"


def test_signatures_of_another_bundle(files: Files, other: Made) -> None:
    theirs = _signed(load(other.bundle), OWNER, AUDITORS[0])  # OWNER never signed this manifest of `files`
    assert _rejected({**files, form.COSIGNATURES: theirs[form.COSIGNATURES]}) == "audit"
    assert _rejected({**files, form.SIGNATURE: theirs[form.SIGNATURE]}) == "signature"


def test_signature_files_are_capped_and_canonical(files: Files, tmp_path: Path) -> None:
    from huref.common.files.bundle import read_bundle

    signed = _signed(files, OWNER, AUDITORS[0])
    for name in (form.SIGNATURE, form.COSIGNATURES):
        with pytest.raises(Malformed):
            check({**signed, name: signed[name] + b" "})
        folder = tmp_path / name
        folder.mkdir()
        for file, data in signed.items():
            (folder / file).write_bytes(data)
        read_bundle(folder)
        (folder / name).write_bytes(signed[name] + b" " * form.CAPS[name])
        with pytest.raises(Malformed, match="at most"):
            read_bundle(folder)


def test_an_expected_owner_is_not_an_auditor(files: Files) -> None:
    """One key in both roles is named in both, or counts in one."""
    verdict = check(_signed(files, OWNER, OWNER), signer=OWNER.public_key)
    assert verdict.signer == OWNER.public_key and verdict.cosigners == ()
    assert replace(verdict, unknown_cosigners=()).not_proven() == verdict.not_proven()
