"""Encodings of points of BLS12-381 that are on the curve but outside the prime-order group, and of none."""

from __future__ import annotations

from py_ecc.bls.g2_primitives import pubkey_to_G1, signature_to_G2, subgroup_check

FIELD = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
NO_KEY, NO_SIGNATURE = bytes([0xC0]) + bytes(47), bytes([0xC0]) + bytes(95)
"""The points at infinity."""
TORSION = bytes([0x80]) + bytes(47)
"""The coordinate 0 of the points of order 3."""


def outside(length: int) -> bytes:
    """The first point outside the prime-order group by x, for keys (48 bytes) or signatures (96)."""
    decode = pubkey_to_G1 if length == 48 else signature_to_G2
    for x in range(1, 100):
        data = bytes([0x80]) + x.to_bytes(length - 1, "big")
        try:
            point = decode(data)
        except ValueError:
            continue
        if not subgroup_check(point):
            return data
    raise LookupError("no such point")


def off_curve(length: int) -> bytes:
    """The first x without a point."""
    decode = pubkey_to_G1 if length == 48 else signature_to_G2
    for x in range(1, 100):
        data = bytes([0x80]) + x.to_bytes(length - 1, "big")
        try:
            decode(data)
        except ValueError:
            return data
    raise LookupError("no such x")


def unreduced(key: bytes) -> bytes:
    """A key's coordinate plus p; a decoder that reduces it reads the same point."""
    shifted = (_coordinate(key) + FIELD).to_bytes(48, "big")
    return bytes([shifted[0] | key[0] & 0xE0]) + shifted[1:]


def unreduced_fits(key: bytes) -> bool:
    """Whether that sum leaves the three flag bits alone."""
    return _coordinate(key) + FIELD < 1 << 381


def _coordinate(key: bytes) -> int:
    return int.from_bytes(bytes([key[0] & 0x1F]) + key[1:], "big")
