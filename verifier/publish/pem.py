"""Ed25519 and ECDSA keys in PEM files, the kinds that readers of DSSE and of model signatures know.

huref's own keys are BLS12-381 keys, whose signatures can be put together; no common tool checks those. The library
`cryptography` is imported only when used.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

from huref.common.errors import InputOutputError, Malformed, UsageError
from huref.common.files.atomic import write_file
from huref.common.files.capped import read_capped

Kind = Literal["ed25519", "p256"]
_MAX = 1 << 14
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


def generate(path: Path, kind: Kind) -> Path:
    """Write a new key (PKCS #8, mode 0600) and PATH.pub, which is returned. UsageError if either exists."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    public = path.with_name(path.name + ".pub")
    for file in (path, public):
        if os.path.lexists(file):
            raise UsageError(f"{file} exists already", hint="keys are never overwritten")
    key: Any = (
        ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )
    plain = form.NoEncryption()
    write_file(path, key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, plain), mode=0o600)
    write_file(
        public, key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    )
    return public


class SigningKey:
    """A secret key; its repr hides it."""

    def __init__(self, key: Any) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "SigningKey(…)"

    @property
    def public(self) -> VerifyingKey:
        """The public key."""
        return VerifyingKey(self._key.public_key())

    def sign(self, message: bytes) -> bytes:
        """A signature of `message`."""
        hashing = _hashing(self._key)
        return bytes(self._key.sign(message) if hashing is None else self._key.sign(message, hashing))


class VerifyingKey:
    """A public key."""

    def __init__(self, key: Any) -> None:
        self._key = key

    @property
    def name(self) -> str:
        """Hex SHA-256 of its SubjectPublicKeyInfo, the `keyid` of envelopes."""
        from cryptography.hazmat.primitives import serialization as form

        data = self._key.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(data).hexdigest()

    def holds(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is one of `message` by this key."""
        from cryptography.exceptions import InvalidSignature

        hashing = _hashing(self._key)
        try:
            if hashing is None:
                self._key.verify(signature, message)
            else:
                self._key.verify(signature, message, hashing)
        except InvalidSignature:
            return False
        return True


def load_secret(path: Path) -> SigningKey:
    """Read a secret key.

    Raises:
        UsageError: others may read it, or it is of another kind. Malformed: no key. InputOutputError: unreadable.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = read_capped(path, _MAX)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}") from None
    if os.name == "posix" and mode & 0o077:
        raise UsageError(f"{path} is readable by others", hint=f"chmod 600 {path}")
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise UsageError(
            f"{path}: the key has a password", hint="write it without one: openssl pkey"
        ) from None
    except Exception:  # the library has an exception for each thing that can be wrong with a key
        raise _no_key(path, data) from None
    return SigningKey(_known(key, path))


def load_public(path: Path) -> VerifyingKey:
    """Read a public key. Raises `UsageError` (another kind), `Malformed` (no key), `InputOutputError`."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = read_capped(path, _MAX)
    try:
        key = load_pem_public_key(data)
    except Exception:
        raise _no_key(path, data) from None
    return VerifyingKey(_known(key, path))


def _no_key(path: Path, data: bytes) -> Malformed | UsageError:
    if b"huref-key" in data:
        return UsageError(
            f"{path}: a BLS key of huref's own", hint="make one for statements: huref keygen --kind p256"
        )
    return Malformed(f"{path}: not a key in PEM form")


def _known(key: Any, path: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    edwards = isinstance(key, (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey))
    if not edwards and getattr(getattr(key, "curve", None), "name", None) not in _CURVES:
        raise UsageError(f"{path}: neither an Ed25519 nor a P-256, P-384 or P-521 key")
    return key


def _hashing(key: Any) -> Any:
    """ECDSA with the hash of the curve's size; None for Ed25519, which has its own."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    if not hasattr(key, "curve"):
        return None
    found = {256: hashes.SHA256, 384: hashes.SHA384, 521: hashes.SHA512}[key.curve.key_size]
    return ec.ECDSA(found())
