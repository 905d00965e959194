"""The inner product of two long vectors whose length is no power of two (protocol §13.4)."""

from __future__ import annotations

import numpy as np

from huref.common.algebra.field import DEGREE
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import log2_ceil
from huref.prover.argument.lookup_tree import mont, scalar
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import U32


class InnerOracle:
    """Σ_x l(x)·r(x) for K tables (5, n), zeros from n to 2^⌈log n⌉, bound from the top variable."""

    def __init__(self, left: U32, right: U32) -> None:
        self.left, self.right = left, right

    def total(self) -> KS:
        """The whole sum."""
        return scalar(vectors.dot(self.left, self.right))

    def _half(self) -> int:
        return 1 << (log2_ceil(self.left.shape[1]) - 1)

    def message(self) -> tuple[KS, KS]:
        half = self._half()
        low = [np.ascontiguousarray(x[:, :half]) for x in (self.left, self.right)]
        high = [np.ascontiguousarray(x[:, half:]) for x in (self.left, self.right)]
        n = high[0].shape[1]
        zero = scalar(vectors.dot(*low))
        first = [np.ascontiguousarray(x[:, :n]) for x in low]
        steps = [vectors.sub(b, a) for a, b in zip(first, high, strict=True)]
        # where the upper half is zero the step is minus the lower half
        return zero, zero - scalar(vectors.dot(*first)) + scalar(vectors.dot(*steps))

    def bind(self, value: KS) -> None:
        half = self._half()
        self.left, self.right = (self._bound(x, half, value) for x in (self.left, self.right))

    @staticmethod
    def _bound(table: U32, half: int, value: KS) -> U32:
        n = table.shape[1] - half
        out = np.empty((DEGREE, half), np.uint32)
        low, high = np.ascontiguousarray(table[:, :n]), np.ascontiguousarray(table[:, half:])
        out[:, :n] = vectors.lerp(low, high, mont(value))
        if n < half:
            out[:, n:] = vectors.scale(np.ascontiguousarray(table[:, n:half]), mont(1 - value))
        return out

    def finals(self) -> tuple[KS, KS]:
        """l and r at the point."""
        return scalar(self.left[:, 0]), scalar(self.right[:, 0])
