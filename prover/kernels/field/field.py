"""Montgomery arithmetic of F and K for compiled kernels: scalar functions to inline, and conversions.

Kernels hold x as x * 2^32 mod p in `uint32`, canonical in [0, p). K vectors are structures of arrays:
shape (5, n), row l holding limb l. `huref.common.algebra.field` is the plain twin (protocol §1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from huref.common.algebra.field import DEGREE, KArray, P, fmul
from huref.prover.kernels.jit import helper

U32 = npt.NDArray[np.uint32]

P32 = np.uint32(P)
P64 = np.uint64(P)
MU = np.uint64(pow(P, -1, 1 << 32))  # p^-1 mod 2^32
ONE = np.uint32((1 << 32) % P)
ONE_SQUARED = np.uint32((1 << 64) % P)  # brings a plain residue into Montgomery form
_SIGNED_P = np.int64(P)
_HALF = np.int64((P - 1) // 2)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_R = np.uint64((1 << 32) % P)
_R_INVERSE = np.uint64(pow(1 << 32, -1, P))


@helper
def madd(a: Any, b: Any) -> Any:
    """a + b of two residues in Montgomery (or plain) form."""
    s = np.uint32(a + b)
    return min(s, np.uint32(s - P32))


@helper
def msub(a: Any, b: Any) -> Any:
    """a - b of two residues in Montgomery (or plain) form."""
    s = np.uint32(a - b)
    return min(s, np.uint32(s + P32))


@helper
def mreduce(t: Any) -> Any:
    """t / 2^32 mod p for an unsigned 64-bit t < p * 2^32."""
    q = ((t & _LOW) * MU) & _LOW
    d = np.uint32((t >> _SHIFT) - ((q * P64) >> _SHIFT))
    return min(d, np.uint32(d + P32))


@helper
def mmul(a: Any, b: Any) -> Any:
    """Montgomery product a * b / 2^32; a plain residue times a Montgomery one is a plain product."""
    return mreduce(np.uint64(a) * np.uint64(b))


@helper
def centred(a: Any) -> Any:
    """The representative in [-(p-1)/2, (p-1)/2], as int64."""
    x = np.int64(a)
    return x - _SIGNED_P if x > _HALF else x


@helper
def mreduce_signed(t: Any) -> Any:
    """t / 2^32 mod p for a signed 64-bit |t| < 2.27 p^2: sums of nine products of centred residues."""
    q = np.int64(np.int32(np.uint32(t) * np.uint32(MU)))
    r = (t >> np.int64(32)) - ((q * _SIGNED_P) >> np.int64(32))
    r = r + _SIGNED_P if r < 0 else r
    r = r + _SIGNED_P if r < 0 else r
    r = r - _SIGNED_P if r >= _SIGNED_P else r
    return np.uint32(r)


@helper
def kmul_signed(
    a0: Any, a1: Any, a2: Any, a3: Any, a4: Any, b0: Any, b1: Any, b2: Any, b3: Any, b4: Any
) -> Any:
    """The limbs of a*b from centred limbs: 25 products and five reductions."""
    return (
        mreduce_signed(a0 * b0 + 2 * (a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1)),
        mreduce_signed(a0 * b1 + a1 * b0 + 2 * (a2 * b4 + a3 * b3 + a4 * b2)),
        mreduce_signed(a0 * b2 + a1 * b1 + a2 * b0 + 2 * (a3 * b4 + a4 * b3)),
        mreduce_signed(a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + 2 * (a4 * b4)),
        mreduce_signed(a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0),
    )


@helper
def kmul(a0: Any, a1: Any, a2: Any, a3: Any, a4: Any, b0: Any, b1: Any, b2: Any, b3: Any, b4: Any) -> Any:
    """The five Montgomery limbs of the K product of (a0..a4) and (b0..b4)."""
    return kmul_signed(
        centred(a0), centred(a1), centred(a2), centred(a3), centred(a4),
        centred(b0), centred(b1), centred(b2), centred(b3), centred(b4),
    )  # fmt: skip


def to_mont(values: npt.NDArray[Any]) -> U32:
    """Canonical F entries (uint32 or uint64, any shape) to Montgomery uint32."""
    return fmul(np.asarray(values).astype(np.uint64), _R).astype(np.uint32)


def from_mont(values: U32) -> npt.NDArray[np.uint64]:
    """Montgomery uint32 to canonical uint64, any shape."""
    return fmul(values.astype(np.uint64), _R_INVERSE)


def k_to_mont(values: KArray) -> U32:
    """K array (n, 5) or (5,) to Montgomery limbs (5, n) or (5,)."""
    return np.ascontiguousarray(to_mont(values).T)


def k_from_mont(limbs: U32) -> KArray:
    """Montgomery limbs (5, n) or (5,) to a K array (n, 5) or (5,)."""
    return np.ascontiguousarray(from_mont(limbs).T)


def check_k(limbs: U32) -> None:
    """ValueError unless `limbs` is a (5, n) uint32 array."""
    if limbs.ndim != 2 or limbs.shape[0] != DEGREE or limbs.dtype != np.uint32:
        raise ValueError(f"expected a (5, n) uint32 K vector, got {limbs.shape} {limbs.dtype}")
