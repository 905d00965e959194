"""Both libraries for signatures answer alike, and as they should, on good and bad input of every kind."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from py_ecc.bls import G2Basic
from py_ecc.bls.g2_primitives import G1_to_pubkey, G2_to_signature, pubkey_to_G1, signature_to_G2
from py_ecc.fields import optimized_bls12_381_FQ as FQ
from py_ecc.optimized_bls12_381 import G1, add, multiply, neg

from huref.common.errors import Malformed
from huref.common.files import bls
from huref.common.files.bls import Backend, Fast, Reference
from tests.support.bls_points import (
    FIELD,
    NO_KEY,
    NO_SIGNATURE,
    TORSION,
    off_curve,
    outside,
    unreduced,
    unreduced_fits,
)

SECRETS = [1234567 + i for i in range(3)]
KEYS = [bls.public_key(secret) for secret in SECRETS]
MESSAGE = b"owner" + bytes(range(32))
SIGNATURES = [bls.sign(secret, MESSAGE) for secret in SECRETS]


@pytest.fixture(params=[Reference, Fast], ids=["reference", "fast"])
def library(request: pytest.FixtureRequest) -> Backend:
    if request.param is Fast:
        pytest.importorskip("py_arkworks_bls12381")
    made: Backend = request.param()
    return made


def _plus_torsion(key: bytes) -> bytes:
    """The key plus the point (0, 2), whose order is 3."""
    return bytes(G1_to_pubkey(add(pubkey_to_G1(key), (FQ(0), FQ(2), FQ(1)))))


def _small() -> tuple[bytes, bytes]:
    """A key whose first coordinate plus p still fits 381 bits, with its signature."""
    secrets = (secret for secret in range(1, 100) if unreduced_fits(bls.public_key(secret)))
    secret = next(secrets)
    return bls.public_key(secret), bls.sign(secret, MESSAGE)


def test_signatures_are_those_of_the_standard_scheme() -> None:
    assert G2Basic.DST == bls.DST
    assert G2Basic.Verify(KEYS[0], MESSAGE, SIGNATURES[0])


def test_the_fast_library_is_taken_where_it_is() -> None:
    pytest.importorskip("py_arkworks_bls12381")
    assert isinstance(bls.backend(), Fast)


@pytest.mark.parametrize("found", [None, SimpleNamespace(G2Point=object)], ids=["none", "an old release"])
def test_the_reference_is_taken_elsewhere(found: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py_arkworks_bls12381", found)
    assert isinstance(bls.backend.__wrapped__(), Reference)


def test_valid_signatures_hold(library: Backend) -> None:
    assert library.holds(KEYS[:1], [1], MESSAGE, SIGNATURES[0])
    weights = [5, 2**128, 2**127 + 1]
    total = library.combine(SIGNATURES, weights)
    assert total == Reference().combine(SIGNATURES, weights)
    assert library.holds(KEYS, weights, MESSAGE, total)
    assert not library.holds(KEYS, [5, 2**128, 2**127], MESSAGE, total)
    assert not library.holds([KEYS[1], KEYS[0], KEYS[2]], weights, MESSAGE, total)


def test_wrong_signatures_do_not_hold(library: Backend) -> None:
    negative = bytes(G2_to_signature(neg(signature_to_G2(SIGNATURES[0]))))
    for key, message, signature in (
        (KEYS[1], MESSAGE, SIGNATURES[0]),
        (KEYS[0], b"audit" + MESSAGE[5:], SIGNATURES[0]),
        (KEYS[0], MESSAGE, negative),
        (KEYS[0], MESSAGE, NO_SIGNATURE),
    ):
        assert not library.holds([key], [1], message, signature)


@pytest.mark.parametrize(
    "key",
    [
        NO_KEY,
        outside(48),
        TORSION,
        _plus_torsion(KEYS[0]),
        off_curve(48),
        bytes(48),
        b"\xff" * 48,
        bytes([KEYS[0][0] & 0x7F]) + KEYS[0][1:],
        bytes([0xE0]) + bytes(47),
        bytes([0xC0]) + bytes(46) + b"\x01",
        KEYS[0][:-1],
        KEYS[0] + b"\0",
        b"",
    ],
    ids=lambda data: data.hex()[:6] + f"-{len(data)}",
)
def test_bad_keys_never_hold(library: Backend, key: bytes) -> None:
    """With the signature of KEYS[0], and of nobody; alone and beside a good key."""
    assert not library.holds([key], [1], MESSAGE, SIGNATURES[0])
    assert not library.holds([key], [1], MESSAGE, NO_SIGNATURE)
    assert not library.holds([KEYS[0], key], [1, 3], MESSAGE, SIGNATURES[0])


def test_a_coordinate_that_is_not_reduced_is_refused(library: Backend) -> None:
    key, signature = _small()
    assert library.holds([key], [1], MESSAGE, signature)
    assert not library.holds([unreduced(key)], [1], MESSAGE, signature)


@pytest.mark.parametrize(
    "signature",
    [
        outside(96),
        off_curve(96),
        bytes(96),
        b"\xff" * 96,
        bytes([SIGNATURES[0][0] & 0x7F]) + SIGNATURES[0][1:],
        SIGNATURES[0][:48] + FIELD.to_bytes(48, "big"),
        SIGNATURES[0][:-1],
        SIGNATURES[0] + b"\0",
        b"",
    ],
    ids=lambda data: data.hex()[:6] + f"-{len(data)}",
)
def test_bad_signatures_never_hold(library: Backend, signature: bytes) -> None:
    assert not library.holds(KEYS[:1], [1], MESSAGE, signature)
    with pytest.raises(Malformed):
        library.combine([SIGNATURES[0], signature], [1, 1])


def test_keys_that_cancel_never_hold(library: Backend) -> None:
    """The sum of the keys is infinity, for which the signature at infinity would fit every message."""
    opposite = bytes(G1_to_pubkey(neg(pubkey_to_G1(KEYS[0]))))
    assert not library.holds([KEYS[0], opposite], [7, 7], MESSAGE, NO_SIGNATURE)
    assert not library.holds([], [], MESSAGE, NO_SIGNATURE)
    assert not library.holds(KEYS[:1], [1, 1], MESSAGE, SIGNATURES[0])


def test_a_rogue_key_fools_a_plain_sum_and_no_weighted_one(library: Backend) -> None:
    secret = 987654321
    rogue = bytes(G1_to_pubkey(add(multiply(G1, secret), neg(pubkey_to_G1(KEYS[0])))))
    forged = bls.sign(secret, MESSAGE)
    assert library.holds([KEYS[0], rogue], [1, 1], MESSAGE, forged)
    weights = bls.coefficients([KEYS[0], rogue])
    part = library.combine([forged], weights[:1])
    assert not library.holds([KEYS[0], rogue], weights, MESSAGE, part)


def test_coefficients_depend_on_every_key() -> None:
    first = bls.coefficients(KEYS)
    assert len(set(first)) == 3 and all(1 <= weight <= 2**128 for weight in first)
    for changed in (KEYS[:2], [KEYS[0], KEYS[1], bls.public_key(99)], [*KEYS, bls.public_key(99)]):
        assert not set(bls.coefficients(changed)) & set(first)
    assert bls.coefficients(KEYS) == first
