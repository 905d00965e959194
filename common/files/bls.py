"""BLS12-381 signatures: 48-byte public keys in G1, 96-byte signatures in G2, compressed (docs/protocol.md, Signatures).

The scheme is the basic one of the BLS signature draft, so every single signature is a standard one. `py_ecc` is the
reference and makes all signatures; checks are done by `py_arkworks_bls12381` where it is installed, some hundred
times faster. Both answer alike on every input, which a test holds them to. Both are imported only when used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol, cast

from huref.common.errors import Malformed

DST = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_"
"""Domain of the hash to G2: the basic scheme's, since no proofs of possession are used."""
GROUP_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""Order of the prime-order groups of BLS12-381; secret keys are below it."""


class Backend(Protocol):
    """What is needed of a library for pairings."""

    def holds(self, keys: Sequence[bytes], weights: Sequence[int], message: bytes, signature: bytes) -> bool:
        """Whether e(P₁, signature) = e(Σ weightᵢ·keyᵢ, H(message)), P₁ the generator of G1.

        False too where an encoding is not the one of a point of the prime-order group, or where a key, or the sum,
        is the point at infinity.
        """

    def combine(self, signatures: Sequence[bytes], weights: Sequence[int]) -> bytes:
        """Σ weightᵢ·signatureᵢ. Raises `Malformed` where one is no point of the prime-order group."""


class Reference:
    """`py_ecc`, in Python alone."""

    def holds(self, keys: Sequence[bytes], weights: Sequence[int], message: bytes, signature: bytes) -> bool:
        """See `Backend`."""
        from py_ecc.bls.g2_primitives import G1_to_pubkey, pubkey_to_G1
        from py_ecc.optimized_bls12_381 import Z1, add, multiply

        scheme, decode = _scheme(), cast(Callable[[bytes], Any], pubkey_to_G1)
        try:
            total: Any = Z1
            for key, weight in zip(keys, weights, strict=True):
                if not scheme.KeyValidate(key):
                    return False
                total = add(total, multiply(decode(key), weight))
            return bool(scheme.Verify(G1_to_pubkey(total), message, signature))
        except (ValueError, AssertionError, OverflowError):
            return False

    def combine(self, signatures: Sequence[bytes], weights: Sequence[int]) -> bytes:
        """See `Backend`."""
        from py_ecc.bls.g2_primitives import G2_to_signature, signature_to_G2, subgroup_check
        from py_ecc.optimized_bls12_381 import Z2, add, multiply

        decode = cast(Callable[[bytes], Any], signature_to_G2)
        total: Any = Z2
        for signature, weight in zip(signatures, weights, strict=True):
            try:
                point = decode(signature)
                good = subgroup_check(point)
            except (ValueError, AssertionError, OverflowError):
                good = False
            if not good:
                raise Malformed("a signature is no point of the group")
            total = add(total, multiply(point, weight))
        return bytes(G2_to_signature(total))


class Fast:
    """`py_arkworks_bls12381`, compiled."""

    def __init__(self) -> None:
        import py_arkworks_bls12381 as library

        self._library = library
        self._hash = library.G2Point.hash_to_curve  # AttributeError with releases before 0.5

    def holds(self, keys: Sequence[bytes], weights: Sequence[int], message: bytes, signature: bytes) -> bool:
        """See `Backend`."""
        lib = self._library
        if len(keys) != len(weights) or not keys:
            return False
        try:
            points = [_point(lib.G1Point, key) for key in keys]
            sealed = _point(lib.G2Point, signature)
        except ValueError:
            return False
        nothing = lib.G1Point.identity()
        if nothing in points:
            return False
        total = lib.G1Point.multiexp_unchecked(points, [lib.Scalar(weight) for weight in weights])
        if total == nothing:
            return False
        return bool(lib.GT.pairing_check([total, -lib.G1Point()], [self._hash(message, DST), sealed]))

    def combine(self, signatures: Sequence[bytes], weights: Sequence[int]) -> bytes:
        """See `Backend`."""
        lib = self._library
        try:
            points = [_point(lib.G2Point, signature) for signature in signatures]
        except ValueError:
            raise Malformed("a signature is no point of the group") from None
        scalars = [lib.Scalar(weight) for weight in weights]
        return bytes(lib.G2Point.multiexp_unchecked(points, scalars).to_compressed_bytes())


@cache
def backend() -> Backend:
    """The fastest library that is installed."""
    try:
        return Fast()
    except (ImportError, AttributeError):
        return Reference()


def generate_secret(entropy: bytes) -> int:
    """A secret key from at least 32 random bytes."""
    return int(_scheme().KeyGen(entropy))


def public_key(secret: int) -> bytes:
    """The public key, 48 bytes."""
    return bytes(_scheme().SkToPk(secret))


def sign(secret: int, message: bytes) -> bytes:
    """The signature of `message`, 96 bytes."""
    return bytes(_scheme().Sign(secret, message))


def coefficients(keys: Sequence[bytes]) -> list[int]:
    """The weight in 1 … 2^128 of every key in an aggregate of these signers (protocol, Signatures).

    Each depends on all keys, so none can be chosen knowing its weight or another's: an aggregate needs no proofs
    of possession.
    """
    everybody = hashlib.sha256(b"huref/signature/signers/1" + len(keys).to_bytes(4, "big") + b"".join(keys))
    start = b"huref/signature/coefficient/1" + everybody.digest()
    return [int.from_bytes(hashlib.sha256(start + key).digest()[:16], "big") + 1 for key in keys]


def _point(kind: Any, data: bytes) -> Any:
    """A point from its one encoding. Raises ValueError, also off the curve or outside the prime-order group."""
    point = kind.from_compressed_bytes(data)
    if bytes(point.to_compressed_bytes()) != data:
        raise ValueError("another encoding of the point")
    return point


def _scheme() -> Any:
    from py_ecc.bls import G2Basic

    return G2Basic
