"""The prover of the lookup argument: proves the fraction tree layer by layer (protocol §6.5).

The twin of `huref.verifier.argument.lookup`. A layer's sumcheck is over g = a·b + c·d (see
`huref.prover.kernels.lookup.gkr`), first with a message summed per tile, then over the flat tables; binding a
variable and summing the next message is one pass.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.spaces import LookupSpace
from huref.common.algebra.field import DEGREE, kinv
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.lookup_tree import (
    FLAT,
    SHORT,
    STORED_ENTRIES,
    UNIT,
    ZERO,
    Child,
    Fractions,
    LeafSource,
    Shape,
    Source,
    build_tree,
    mont,
    scalar,
)
from huref.prover.argument.sumcheck import prove_rounds
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import U32, k_from_mont, k_to_mont
from huref.prover.kernels.lookup import gkr, gkr_unit


class _Suffixes:
    """eq tables of every suffix of a point: `of(k)` covers its last k coordinates, as (5, 2^k)."""

    def __init__(self, point: list[KS]) -> None:
        self._tables = [UNIT.reshape(DEGREE, 1).copy()]
        for coordinate in reversed(point):
            high = vectors.scale(self._tables[-1], mont(coordinate))
            self._tables.append(np.concatenate([vectors.sub(self._tables[-1], high), high], axis=1))

    def of(self, count: int) -> U32:
        return self._tables[count]


class _Part:
    """Tiles of one form in a layer's sumcheck; `weights` (5, tiles) are the tiles' eq coefficients."""

    def __init__(self, source: Source, weights: U32, mu: KS, m: int) -> None:
        self.source, self.weights, self.mu, self.m = source, weights, mu, m
        self.factor = mont(1 / mu if source.unit else mu)
        self.tables: list[U32] | None = None
        self.stride = 0  # distance between tiles of the tables
        self.sums: U32 | None = None  # of the next message, when binding has left them

    def message(self, eq: U32) -> tuple[KS, KS]:
        sums = self.source.first_round(self.factor, eq, self.weights) if self.sums is None else self.sums
        parts = [np.ascontiguousarray(part) for part in sums]
        if not self.source.unit:
            zero, infinity = (scalar(vectors.dot(part, self.weights)) for part in parts)
            return zero, infinity
        zero, infinity = (scalar(vectors.total(part)) for part in parts)
        return self.mu * zero - 1 / self.mu * scalar(vectors.total(self.weights)), self.mu * infinity

    def bind(self, r: U32, eq: U32) -> None:
        """Bind a variable; while tiles are long enough, with the sums of the next message, weighted by `eq`."""
        if self.tables is None:
            self.tables, self.sums = self.source.bind_first(self.factor, r, eq, self.weights)
            self.stride = self.m // 2
        elif self.m == SHORT:
            gkr.bind(self.tables, self.m, self.stride, r)
        else:
            bind_round = gkr_unit.bind_round if self.source.unit else gkr.bind_round
            self.sums = bind_round(self.tables, self.m, self.stride, r, eq)
        self.m //= 2

    def compact(self) -> list[U32]:
        """a, b, c, d without the gaps that binding in place leaves, each (5, tiles·m)."""
        assert self.tables is not None
        tables = [
            np.ascontiguousarray(x.reshape(DEGREE, -1, self.stride)[:, :, : self.m]).reshape(DEGREE, -1)
            for x in self.tables
        ]
        if not self.source.unit:
            return tables
        inverse = k_to_mont(kinv(k_from_mont(self.weights)))
        tables[0] = vectors.mul(tables[0], np.repeat(inverse, self.m, axis=1))
        shift = np.broadcast_to(self.factor[:, None], tables[0].shape)
        b, c = (vectors.sub(x, shift) for x in tables)
        one = np.broadcast_to(UNIT[:, None], b.shape)
        return [one.copy(), b, c, vectors.scale(tables[0], mont(self.mu))]


class _Layer:
    """Round oracle of one layer's sumcheck: over parts of long tiles, then over flat tables."""

    def __init__(self, child: Child, mu: KS, local: list[KS], tiles: list[KS], shape: Shape) -> None:
        self.child, self.mu, self.shape = child, mu, shape
        self.m = child.m // 2  # entries per tile of g, before binding
        self.parts: list[tuple[_Part, NDArray[np.int64]]] = []
        self.tables: list[U32] | None = None  # once flat
        self.absent = KS(0)
        point = local + tiles if child.flat else local
        self.suffixes, self.left = _Suffixes(point), len(point)
        if child.flat:
            weights = UNIT.reshape(DEGREE, 1)
        else:
            self.flat_suffixes = _Suffixes(local[len(local) - log2_ceil(SHORT) + 1 :] + tiles)
            weights = k_to_mont(eq_table(tiles)[shape.present])
            self.absent = mu * (1 - scalar(vectors.total(weights)))
        if self.m >= FLAT or not child.flat:
            self.parts = [
                (_Part(source, np.ascontiguousarray(weights[:, at]), mu, self.m), at)
                for source, at in child.parts()
            ]

    def message(self) -> tuple[KS, KS]:
        eq = self.suffixes.of(self.left - 1)
        if self.parts:
            zero, infinity = self.absent, KS(0)
            for part, _ in self.parts:
                at_zero, at_infinity = part.message(eq)
                zero, infinity = zero + at_zero, infinity + at_infinity
            return zero, infinity
        tables = self._small()
        if self.m >= FLAT:
            sums = gkr.round_sums(tables, self.m, self.m, eq)
            return scalar(sums[0, :, 0]), scalar(sums[1, :, 0])
        half = self.m // 2
        low = [x[:, :half] for x in tables]
        step = [vectors.sub(x[:, half:], x[:, :half]) for x in tables]
        zero, infinity = (
            scalar(vectors.dot(eq, vectors.add(vectors.mul(x[0], x[1]), vectors.mul(x[2], x[3]))))
            for x in (low, step)
        )
        return zero, infinity

    def _small(self) -> list[U32]:
        """The tables a, b, c, d, made from a flat child if no variable is bound yet."""
        if self.tables is None:
            assert isinstance(self.child, Fractions)
            half = self.child.q.shape[1] // 2
            p, q = self.child.p, self.child.q
            d = vectors.add(p[:, half:], vectors.scale(q[:, half:], mont(self.mu)))
            self.tables = [np.ascontiguousarray(x) for x in (p[:, :half], q[:, half:], q[:, :half], d)]
        return self.tables

    def bind(self, value: KS) -> None:
        r = mont(value)
        self.left -= 1
        self.m //= 2
        if not self.parts:
            self.tables = [vectors.fold(x, r) for x in self._small()]
            return
        eq = self.suffixes.of(max(0, self.left - 1))
        for part, _ in self.parts:
            part.bind(r, eq)
        if self.child.flat and self.m < FLAT:
            self.tables, self.parts = self.parts[0][0].compact(), []
        elif not self.child.flat and self.m < SHORT:
            self._flatten()

    def _flatten(self) -> None:
        """Put the tile index last in all tables and go on with one tile of everything."""
        tiles = len(self.shape.present)
        joined = np.empty((4, DEGREE, tiles, self.m), np.uint32)
        for part, at in self.parts:
            for table, mine in zip(joined, part.compact(), strict=True):
                table[:, at] = mine.reshape(DEGREE, len(at), self.m)
        fills = (ZERO, UNIT, UNIT, mont(self.mu))
        self.tables = [
            self.shape.flatten(table, self.m, fill) for table, fill in zip(joined, fills, strict=True)
        ]
        self.left = log2_ceil(self.m) + self.shape.bits
        self.m <<= self.shape.bits
        self.parts, self.suffixes = [], self.flat_suffixes

    def finals(self) -> tuple[KS, KS, KS, KS]:
        """(p0, q1, q0, u) at the point, u = p1 + μ·q1."""
        a, b, c, d = (scalar(x[:, 0]) for x in self._small())
        return a, b, c, d


def prove_lookup(
    channel: ProverChannel, space: LookupSpace, source: LeafSource, stored: int = STORED_ENTRIES
) -> list[KS]:
    """Prove that the leaves' fractions sum to zero; returns the point of the leaf layer."""
    shape = Shape(space)
    layers = build_tree(space, source, stored)
    top = layers[0]
    assert isinstance(top, Fractions)
    root = scalar(top.q[:, 0])
    channel.hidden_product(f"{space.label}.root", root, 1 / root)
    tiles: list[KS] = []
    local: list[KS] = []
    for layer in range(len(layers) - 1):
        label = f"{space.label}.layer{layer}"
        mu = channel.challenge(f"{label}.mu")
        oracle = _Layer(layers[layer + 1], mu, local, tiles, shape)
        bound = prove_rounds(channel, label, oracle, layer)
        local, tiles = bound[: len(local)], bound[len(local) :]
        p0, q1, q0, u = oracle.finals()
        channel.hidden_product(f"{label}.outer", p0, q1)
        channel.hidden_product(f"{label}.inner", q0, u)
        tau = channel.challenge(f"{label}.tau")
        if layer < space.log_tiles:
            tiles = [tau, *tiles]
        else:
            local = [tau, *local]
        layers[layer + 1] = Fractions(ZERO, ZERO[:, None], 1, True)  # done with: free its memory
    return tiles + local
