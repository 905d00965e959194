"""DSSE envelopes (secure-systems-lab/dsse, version 1): a payload, what it is, and signatures over both."""

from __future__ import annotations

import base64
import binascii
import json

from huref.common.errors import Malformed, Rejected
from huref.common.files.canonical import parse_json
from huref.verifier.publish.pem import SigningKey, VerifyingKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_BYTES = 1 << 20
_MAX_SIGNATURES = 16


def pre_authentication(kind: str, payload: bytes) -> bytes:
    """What is signed: the type and the payload, each behind its length."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def seal(payload: bytes, key: SigningKey) -> bytes:
    """An envelope with one signature, as JSON."""
    signature = key.sign(pre_authentication(PAYLOAD_TYPE, payload))
    signed = {"keyid": key.public.name, "sig": base64.b64encode(signature).decode()}
    said = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [signed],
    }
    return json.dumps(said).encode()


def unseal(envelope: bytes, key: VerifyingKey, name: str) -> bytes:
    """The payload of an envelope that `key` has signed; `keyid` is only a hint there, and is not believed.

    Raises:
        Malformed: not an envelope of in-toto statements. Rejected: no signature of this key.
    """
    said = parse_json(envelope, name)
    signatures = said.get("signatures")
    if (
        said.get("payloadType") != PAYLOAD_TYPE
        or not isinstance(signatures, list)
        or len(signatures) > _MAX_SIGNATURES
    ):
        raise Malformed(f"{name}: not a DSSE envelope of an in-toto statement")
    payload = _decoded(said.get("payload"), name)
    message = pre_authentication(PAYLOAD_TYPE, payload)
    found = [_decoded(one.get("sig") if isinstance(one, dict) else None, name) for one in signatures]
    if not any(key.holds(message, signature) for signature in found):
        raise Rejected(
            "envelope.signatures",
            "not signed by the expected key",
            expected=key.name,
            got=f"{len(found)} others",
        )
    return payload


def _decoded(text: object, name: str) -> bytes:
    """Base64, the usual alphabet or that for addresses, as DSSE has it."""
    try:
        if not isinstance(text, str):
            raise ValueError(text)
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (ValueError, binascii.Error):
        raise Malformed(f"{name}: not a DSSE envelope of an in-toto statement") from None
