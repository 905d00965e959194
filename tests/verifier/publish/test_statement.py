"""Statements about bundles: in-toto's form, DSSE's signatures, and what other tools make of them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from huref.common.errors import ExitCode, Malformed, Rejected, UsageError
from huref.verifier.publish.dsse import seal, unseal
from huref.verifier.publish.pem import load_public, load_secret
from huref.verifier.publish.statement import MODEL_ID, statement
from huref.verifier.verification import verify
from tests.conftest import Made
from tests.support.command import huref


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key files p256, ed25519 and bls."""
    folder = tmp_path_factory.mktemp("keys")
    for kind in ("p256", "ed25519", "bls"):
        assert huref("keygen", "--out", folder / kind, "--kind", kind).code == 0
    return folder


def test_the_statement_names_files_and_model_id(tiny: Made) -> None:
    ran = huref("statement", tiny.bundle)
    said, verdict = json.loads(ran.out), huref("verify", tiny.bundle, "--json").json
    assert (
        said["_type"] == "https://in-toto.io/Statement/v1" and said["predicateType"] == "huref:fingerprint/1"
    )
    digests = {subject["name"]: subject["digest"] for subject in said["subject"]}
    weights = (tiny.checkpoint / "model.safetensors").read_bytes()
    assert digests == {
        "model.safetensors": {"sha256": hashlib.sha256(weights).hexdigest()},
        f"model id {verdict['model_id']}": {MODEL_ID: verdict["model_id"]},
    }
    predicate = said["predicate"]
    assert predicate["bundleDigest"] == {"sha256": verdict["digest"]}
    assert (predicate["modelId"], predicate["fingerprint"]) == (verdict["model_id"], verdict["fingerprint"])
    assert "owner's note" in ran.err
    assert huref("statement", tiny.bundle).out == ran.out


def test_files_are_hashed_on_request(tiny: Made, tmp_path: Path) -> None:
    ran = huref("statement", tiny.bundle, "--checkpoint", tiny.checkpoint)
    assert ran.code == 0 and "owner's note" not in ran.err
    (tmp_path / "model.safetensors").write_bytes(b"another")
    assert huref("statement", tiny.bundle, "--checkpoint", tmp_path).code == ExitCode.REJECTED
    assert huref("statement", tiny.bundle, "--checkpoint", tmp_path / "nowhere" / "x").code == ExitCode.IO


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_an_envelope_holds_by_the_standard_alone(kind: str, tiny: Made, keys: Path, tmp_path: Path) -> None:
    """Checked without our code: the encoding that is signed, the key's name, the signature."""
    file = tmp_path / "s.dsse.json"
    assert huref("statement", tiny.bundle, "--key", keys / kind, "--out", file).code == 0
    envelope = json.loads(file.read_text())
    payload, (signed,) = base64.b64decode(envelope["payload"]), envelope["signatures"]
    kind_name = b"application/vnd.in-toto+json"
    assert (
        envelope["payloadType"] == kind_name.decode()
        and payload.decode() == huref("statement", tiny.bundle).out.rstrip()
    )
    message = b" ".join([b"DSSEv1", b"%d" % len(kind_name), kind_name, b"%d" % len(payload), payload])
    key, signature = load_pem_public_key((keys / f"{kind}.pub").read_bytes()), base64.b64decode(signed["sig"])
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, message)
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    checked = huref("statement", tiny.bundle, "--check", file, "--public", keys / f"{kind}.pub")
    assert checked.code == 0 and checked.out.startswith("SIGNED")


def test_an_envelope_that_does_not_hold(tiny: Made, other: Made, keys: Path, tmp_path: Path) -> None:
    content, foreign = statement(verify(tiny.bundle)), statement(verify(other.bundle))
    envelope = json.loads(seal(content, load_secret(keys / "p256")))
    p256, ed25519_key = load_public(keys / "p256.pub"), load_public(keys / "ed25519.pub")

    def check(**changes: Any) -> bytes:
        return unseal(json.dumps({**envelope, **changes}).encode(), p256, "e")

    assert check() == content
    (signed,) = envelope["signatures"]
    assert check(signatures=[signed] * 16) == content
    assert check(signatures=[{"keyid": "?", "sig": "AAAA"}, {"sig": signed["sig"]}]) == content
    with pytest.raises(Rejected, match="expected key"):
        unseal(json.dumps(envelope).encode(), ed25519_key, "e")
    for changes in ({"payload": base64.b64encode(foreign).decode()}, {"signatures": []}):
        with pytest.raises(Rejected, match="expected key"):
            check(**changes)
    malformed: list[dict[str, Any]] = [
        {"payloadType": "text/plain"}, {"signatures": "x"}, {"signatures": envelope["signatures"] * 17},
        {"signatures": [{"sig": 1}]}, {"signatures": [1]}, {"signatures": [signed, None]}, {"signatures": None},
        {"payload": "*"}, {"payload": 1}, {"payload": None}, {"payloadType": None},
    ]  # fmt: skip
    for changes in malformed:
        with pytest.raises(Malformed, match="DSSE"):
            check(**changes)
    file = tmp_path / "e.json"
    file.write_text(json.dumps(envelope))
    ran = huref("statement", other.bundle, "--check", file, "--public", keys / "p256.pub")
    assert ran.code == ExitCode.REJECTED and "something else" in ran.out


def test_keys_that_will_not_do(tiny: Made, keys: Path, tmp_path: Path) -> None:
    ran = huref("statement", tiny.bundle, "--key", keys / "bls")
    assert ran.code == ExitCode.USAGE and "keygen --kind" in ran.err
    (tmp_path / "no").write_text("no key")
    (tmp_path / "no").chmod(0o600)
    assert huref("statement", tiny.bundle, "--key", tmp_path / "no").code == ExitCode.MALFORMED
    open_to_all = tmp_path / "open"
    open_to_all.write_bytes((keys / "p256").read_bytes())
    open_to_all.chmod(0o644)
    assert huref("statement", tiny.bundle, "--key", open_to_all).code == ExitCode.USAGE
    envelope, public = ("--check", keys / "p256"), ("--public", keys / "p256.pub")
    for options in (envelope, public, (*envelope, *public, "--key", keys / "p256")):
        ran = huref("statement", tiny.bundle, *options)
        assert ran.code == ExitCode.USAGE and "go together" in ran.err
    assert huref("keygen", "--out", keys / "p256", "--kind", "p256").code == ExitCode.USAGE
    assert huref("keygen", "--out", tmp_path / "x", "--kind", "rsa").code == ExitCode.USAGE
    assert os.stat(keys / "p256").st_mode & 0o777 == 0o600


def test_a_bundle_that_is_rejected_gets_no_statement(tiny: Made, tmp_path: Path) -> None:
    bad = tmp_path / "bad.huref"
    bad.mkdir()
    for file in tiny.bundle.iterdir():
        (bad / file.name).write_bytes(file.read_bytes())
    proof = (bad / "proof.bin").read_bytes()
    (bad / "proof.bin").write_bytes(bytes([proof[0] ^ 1]) + proof[1:])
    ran = huref("statement", bad, "--out", tmp_path / "s.json")
    assert ran.code == ExitCode.REJECTED and not (tmp_path / "s.json").exists()


def test_two_files_of_one_name_get_no_statement(tiny: Made) -> None:
    verdict = verify(tiny.bundle)
    twice = verdict.commitment.model_copy(update={"sources": verdict.commitment.sources * 2})
    with pytest.raises(UsageError, match="one name"):
        statement(replace(verdict, commitment=twice))


def test_keys_of_other_kinds(tmp_path: Path) -> None:
    odd, locked = ec.generate_private_key(ec.SECP256K1()), ec.generate_private_key(ec.SECP384R1())
    forms = {
        "odd": (odd, serialization.NoEncryption()),
        "locked": (locked, serialization.BestAvailableEncryption(b"secret")),
    }
    for name, (key, how) in forms.items():
        place = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        (tmp_path / name).write_bytes(key.private_bytes(*place, how))
        (tmp_path / name).chmod(0o600)
    public = odd.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "odd.pub").write_bytes(public)
    with pytest.raises(UsageError, match="neither an Ed25519"):
        load_secret(tmp_path / "odd")
    with pytest.raises(UsageError, match="neither an Ed25519"):
        load_public(tmp_path / "odd.pub")
    with pytest.raises(UsageError, match="password"):
        load_secret(tmp_path / "locked")
    (tmp_path / "large").write_bytes(public + b" " * (1 << 14))
    with pytest.raises(Malformed, match="at most"):
        load_public(tmp_path / "large")


@pytest.mark.slow
def test_model_signing_knows_the_same_files(tiny: Made, keys: Path, tmp_path: Path) -> None:
    """OpenSSF's tool signs a model's folder with the bundle in it, and verifies it; both name the same digests."""
    venv.create(tmp_path / "env")
    run = tmp_path / "env" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", run / "python"]
    installed = subprocess.run(
        [*pip, "install", "--quiet", "model-signing", "pyOpenSSL"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip("model-signing cannot be installed here")
    folder = tmp_path / "model"
    (folder / "m.huref").mkdir(parents=True)
    for file in (*tiny.checkpoint.iterdir(), *tiny.bundle.iterdir()):
        where = folder / "m.huref" if file.parent == tiny.bundle else folder
        (where / file.name).write_bytes(file.read_bytes())
    signature = tmp_path / "model.sig"

    def tool(*arguments: object) -> int:
        command = [run / "model_signing", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode

    assert tool("sign", "key", folder, "--signature", signature, "--private_key", keys / "p256") == 0
    check = ("verify", "key", folder, "--signature", signature, "--public_key", keys / "p256.pub")
    assert tool(*check) == 0
    envelope = json.loads(signature.read_text())["dsseEnvelope"]
    payload = json.loads(base64.b64decode(envelope["payload"]))
    theirs = {one["name"]: one["digest"] for one in payload["predicate"]["resources"]}
    ours = json.loads(huref("statement", folder / "m.huref", "--checkpoint", folder).out)
    (weights,) = (one for one in ours["subject"] if one["name"] == "model.safetensors")
    assert theirs["model.safetensors"] == weights["digest"]["sha256"]
    assert theirs["m.huref/manifest.json"] == ours["predicate"]["bundleDigest"]["sha256"]
    (folder / "m.huref" / "proof.bin").write_bytes(b"x")
    assert tool(*check) != 0
