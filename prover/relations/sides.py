"""The two vectors of the inner product, made where they are read, and their sumcheck (protocol §6.4, §13.4).

Of a long proof they take 40 bytes an entry, most of them made from integers and factors of rows in no time: such
stretches are made anew for every round until what is left after binding is short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from huref.common.algebra.field import DEGREE
from huref.common.algebra.kscalar import KS
from huref.prover.argument.inner import ProductOracle, below_top
from huref.prover.argument.lookup_tree import mont, scalar
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import U32

SHORT_ENTRIES = 1 << 26  # up to this many are held at once
_CHUNK = 1 << 20

Pair = tuple[U32, U32]
Reader = Callable[[int, int], Pair]
"""Entries start … stop − 1 of both vectors' stretch, (5, stop − start) Montgomery each."""


class Sides:
    """l and r, `length` entries each: stretches one behind the other, zeros between and behind them."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._stretches: list[tuple[int, int, Reader]] = []

    def add(self, at: int, length: int, read: Reader) -> None:
        """A stretch from entry `at` on."""
        self._stretches.append((at, at + length, read))

    def put(self, at: int, left: U32, right: U32) -> None:
        """A stretch that is held."""
        self.add(at, left.shape[1], lambda start, stop: (left[:, start:stop], right[:, start:stop]))

    def read(self, start: int, stop: int) -> Pair:
        """Entries start … stop − 1 of both."""
        found = np.zeros((2, DEGREE, stop - start), np.uint32)
        for first, end, stretch in self._stretches:
            low, high = max(first, start), min(end, stop)
            if low < high:
                found[:, :, low - start : high - start] = stretch(low - first, high - first)
        return found[0], found[1]


class SidesOracle:
    """Σ_x l(x)·r(x), bound from the top variable: chunk by chunk until no more than `SHORT_ENTRIES` are left."""

    def __init__(self, sides: Sides) -> None:
        self._sides, self._length = sides, sides.length
        self._bound: list[tuple[int, U32]] = []  # entries below the variable, and its value
        self._first: tuple[KS, KS, KS] | None = None  # sums over low, steps and high
        self._held: ProductOracle | None = None
        self._hold()

    def total(self) -> KS:
        """The whole sum. Before any variable is bound."""
        if self._held:
            return self._held.total()
        low, _, high = self._sums()
        return low + high

    def message(self) -> tuple[KS, KS]:
        if self._held:
            return self._held.message()
        low, steps, _ = self._sums()
        return low, steps

    def bind(self, value: KS) -> None:
        if self._held:
            self._held.bind(value)
            return
        self._length = below_top(self._length)
        self._bound.append((self._length, mont(value)))
        self._first = None
        self._hold()

    def finals(self) -> tuple[KS, KS]:
        """l and r at the point."""
        assert self._held
        return self._held.finals()

    def _sums(self) -> tuple[KS, KS, KS]:
        """Σ low·low, Σ (high − low)·(high − low) and Σ high·high of the halves."""
        if self._first is None:
            half, sums = below_top(self._length), (KS(0), KS(0), KS(0))
            for start, stop in _chunks(half):
                low, high = (self._read(start + at, stop + at, len(self._bound)) for at in (0, half))
                assert low is not None
                own = scalar(vectors.dot(*low))
                found = own, own, KS(0)
                if high is not None:
                    steps = [vectors.sub(b, a) for a, b in zip(low, high, strict=True)]
                    found = own, scalar(vectors.dot(*steps)), scalar(vectors.dot(*high))
                sums = sums[0] + found[0], sums[1] + found[1], sums[2] + found[2]
            self._first = sums
        return self._first

    def _read(self, start: int, stop: int, level: int) -> Pair | None:
        """Entries of l and r after the first `level` variables have been bound; None past their end."""
        if not level:
            if start >= self._sides.length:
                return None
            return self._sides.read(start, stop)
        half, value = self._bound[level - 1]
        low, high = (self._read(start + at, stop + at, level - 1) for at in (0, half))
        if low is None:
            return None
        if high is None:
            left, right = (vectors.sub(x, vectors.scale(x, value)) for x in low)
        else:
            left, right = (vectors.lerp(a, b, value) for a, b in zip(low, high, strict=True))
        return left, right

    def _hold(self) -> None:
        """Make both vectors if they are short by now."""
        if self._length > SHORT_ENTRIES:
            return
        left, right = (np.empty((DEGREE, self._length), np.uint32) for _ in range(2))
        for start, stop in _chunks(self._length):
            found = self._read(start, stop, len(self._bound))
            assert found is not None
            left[:, start:stop], right[:, start:stop] = found
        self._held = ProductOracle(left, right)


def _chunks(length: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, _CHUNK):
        yield start, min(start + _CHUNK, length)
