"""Single elements of K = F[X]/(X^5 - 2) in plain Python, for the verifier's scalar work (protocol §1).

`KS` is an immutable tuple of five canonical limbs with arithmetic operators. On a handful of values this
is far faster than numpy's per-call cost; anything that grows with the statement belongs in
`huref.common.algebra.field`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from huref.common.algebra.field import DEGREE, FROBENIUS, KArray, P, W

_new = tuple.__new__


class KS(tuple[int, int, int, int, int]):
    """An element of K: `KS(7)`, `KS((c0, ..., c4))`, `KS.from_array(a)`. Operands may be plain ints."""

    __slots__ = ()

    def __new__(cls, value: int | Sequence[int] = 0) -> KS:
        """From an integer (embedded in F) or from five limbs; both are reduced mod p."""
        if isinstance(value, int):
            return _new(cls, (value % P, 0, 0, 0, 0))
        if len(value) != DEGREE:
            raise ValueError(f"an element of K has {DEGREE} limbs, got {len(value)}")
        return _new(cls, [int(limb) % P for limb in value])

    @staticmethod
    def from_array(array: KArray) -> KS:
        """From a K array of shape (5,) with canonical limbs."""
        return _new(KS, array.tolist())

    @staticmethod
    def list_from_array(array: KArray) -> list[KS]:
        """From a K array of shape (n, 5) with canonical limbs."""
        return [_new(KS, row) for row in array.tolist()]

    def array(self) -> KArray:
        """As a K array of shape (5,)."""
        return np.array(tuple(self), dtype=np.uint64)

    def __add__(self, other: Any) -> KS:
        a0, a1, a2, a3, a4 = self
        if isinstance(other, KS):
            b0, b1, b2, b3, b4 = other
            return _new(KS, ((a0 + b0) % P, (a1 + b1) % P, (a2 + b2) % P, (a3 + b3) % P, (a4 + b4) % P))
        if isinstance(other, int):
            return _new(KS, ((a0 + other) % P, a1, a2, a3, a4))
        return NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Any) -> KS:
        a0, a1, a2, a3, a4 = self
        if isinstance(other, KS):
            b0, b1, b2, b3, b4 = other
            return _new(KS, ((a0 - b0) % P, (a1 - b1) % P, (a2 - b2) % P, (a3 - b3) % P, (a4 - b4) % P))
        if isinstance(other, int):
            return _new(KS, ((a0 - other) % P, a1, a2, a3, a4))
        return NotImplemented

    def __rsub__(self, other: Any) -> KS:
        return -self + other

    def __neg__(self) -> KS:
        return _new(KS, [-limb % P for limb in self])

    def __mul__(self, other: Any) -> KS:
        a0, a1, a2, a3, a4 = self
        if isinstance(other, KS):
            b0, b1, b2, b3, b4 = other
            return _new(
                KS,
                (
                    (a0 * b0 + W * (a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1)) % P,
                    (a0 * b1 + a1 * b0 + W * (a2 * b4 + a3 * b3 + a4 * b2)) % P,
                    (a0 * b2 + a1 * b1 + a2 * b0 + W * (a3 * b4 + a4 * b3)) % P,
                    (a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + W * a4 * b4) % P,
                    (a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0) % P,
                ),
            )
        if isinstance(other, int):
            return _new(KS, (a0 * other % P, a1 * other % P, a2 * other % P, a3 * other % P, a4 * other % P))
        return NotImplemented

    __rmul__ = __mul__

    def inverse(self) -> KS:
        """1/self through the norm to F. ZeroDivisionError at zero."""
        if not self:
            raise ZeroDivisionError("inverse of zero in K")
        pair = self._frobenius(1) * self._frobenius(2)
        conjugates = pair * pair._frobenius(2)
        norm = (self * conjugates)[0]
        return conjugates * pow(norm, P - 2, P)

    def _frobenius(self, times: int) -> KS:
        return _new(KS, [limb * c % P for limb, c in zip(self, FROBENIUS[times], strict=True)])

    def __truediv__(self, other: Any) -> KS:
        if isinstance(other, KS):
            return self * other.inverse()
        if isinstance(other, int):
            if other % P == 0:
                raise ZeroDivisionError("division by zero in K")
            return self * pow(other, P - 2, P)
        return NotImplemented

    def __rtruediv__(self, other: Any) -> KS:
        return self.inverse() * other

    def __pow__(self, exponent: int) -> KS:
        base = self if exponent >= 0 else self.inverse()
        result = ONE
        for bit in bin(abs(exponent))[2:]:
            result = result * result
            if bit == "1":
                result = result * base
        return result

    def shift(self) -> KS:
        """self * X."""
        a0, a1, a2, a3, a4 = self
        return _new(KS, (W * a4 % P, a0, a1, a2, a3))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return tuple.__eq__(self, (other % P, 0, 0, 0, 0))
        return tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self[0]) if not any(self[1:]) else tuple.__hash__(self)

    def __bool__(self) -> bool:
        return any(self)

    def __repr__(self) -> str:
        return f"KS({tuple(self)})"


ZERO = KS(0)
ONE = KS(1)
X = KS((0, 1, 0, 0, 0))
