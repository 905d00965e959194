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
from huref.prover.kernels.field.limbs import from_blocks, to_blocks
from huref.prover.kernels.field.simd import LANES
from huref.prover.kernels.lookup import gkr, gkr_unit


class _Suffixes:
    """eq tables of every suffix of a point: `of(k)` covers its last k coordinates, as (5, 2^k)."""

    def __init__(self, point: list[KS]) -> None:
        self._tables = [UNIT.reshape(DEGREE, 1).copy()]
        for coordinate in reversed(point):
            high = vectors.scale(self._tables[-1], mont(coordinate))
            self._tables.append(np.concatenate([vectors.sub(self._tables[-1], high), high], axis=1))
        self._blocks: dict[int, U32] = {}

    def of(self, count: int) -> U32:
        return self._tables[count]

    def blocks(self, count: int) -> U32:
        """The table in blocks, for kernels, which want at least one."""
        size = max(count, log2_ceil(LANES))
        if size not in self._blocks:  # binding and the message after it ask for the same
            self._blocks[size] = to_blocks(self._tables[size])
        return self._blocks[size]


class _Part:
    """Tiles of one form in a layer's sumcheck; `weights` (5, tiles) are the tiles' eq coefficients. They come from a
    source, or are given as `tables`.
    """

    def __init__(
        self, source: Source | None, weights: U32, mu: KS, m: int, tables: list[U32] | None = None
    ) -> None:
        self.source, self.weights, self.mu, self.m = source, weights, mu, m
        self.unit = source is not None and source.unit
        self.factor = mont(1 / mu if self.unit else mu)
        self.tables = tables
        self.stride = m  # distance between tiles of the tables
        self.sums: U32 | None = None  # of the next message, when binding has left them

    def message(self, eq: U32) -> tuple[KS, KS]:
        parts = [np.ascontiguousarray(part) for part in self._sums(eq)]
        if not self.unit:
            zero, infinity = (scalar(vectors.dot(part, self.weights)) for part in parts)
            return zero, infinity
        zero, infinity = (scalar(vectors.total(part)) for part in parts)
        return self.mu * zero - 1 / self.mu * scalar(vectors.total(self.weights)), self.mu * infinity

    def _sums(self, eq: U32) -> U32:
        if self.sums is not None:
            return self.sums
        if self.tables is not None:
            return gkr.round_sums(self.tables, self.m, self.stride, eq)
        assert self.source is not None
        return self.source.first_round(self.factor, eq, self.weights)

    def bind(self, r: U32, eq: U32) -> None:
        """Bind a variable; while tiles are long enough, with the sums of the next message, weighted by `eq`."""
        if self.tables is None:
            assert self.source is not None
            self.tables, self.sums = self.source.bind_first(self.factor, r, eq, self.weights)
            self.stride = self.m // 2
        elif self.m == SHORT:
            gkr.bind(self.tables, self.m, self.stride, r)
        else:
            bind_round = gkr_unit.bind_round if self.unit else gkr.bind_round
            self.sums = bind_round(self.tables, self.m, self.stride, r, eq)
        self.m //= 2

    def compact(self) -> list[U32]:
        """a, b, c, d without the gaps that binding in place leaves, each (5, tiles·m)."""
        assert self.tables is not None
        tables = [from_blocks(_without_gaps(table, self.m, self.stride)) for table in self.tables]
        if not self.unit:
            return tables
        inverse = k_to_mont(kinv(k_from_mont(self.weights)))
        tables[0] = vectors.mul(tables[0], np.repeat(inverse, self.m, axis=1))
        shift = np.broadcast_to(self.factor[:, None], tables[0].shape)
        b, c = (vectors.sub(x, shift) for x in tables)
        one = np.broadcast_to(UNIT[:, None], b.shape)
        return [one.copy(), b, c, vectors.scale(tables[0], mont(self.mu))]


def _without_gaps(table: U32, m: int, stride: int) -> U32:
    """The first m entries of every `stride` of a table in blocks, in blocks."""
    tiles = table.reshape(-1, stride // LANES, DEGREE, LANES)[:, : m // LANES]
    return tiles.reshape(-1, DEGREE, LANES)


class _Layer:
    """Round oracle of one layer's sumcheck: over parts of long tiles, then over one tile of everything, then over
    small tables (5, m).
    """

    def __init__(self, child: Child, mu: KS, local: list[KS], tiles: list[KS], shape: Shape) -> None:
        self.child, self.mu, self.shape, self.flat = child, mu, shape, child.flat
        self.m = child.m // 2  # entries per tile of g, before binding
        self.parts: list[tuple[_Part, NDArray[np.int64]]] = []
        self.tables: list[U32] | None = None  # once small
        self.absent = KS(0)
        point = local + tiles if self.flat else local
        self.suffixes, self.left = _Suffixes(point), len(point)
        if self.flat:
            weights = UNIT.reshape(DEGREE, 1)
        else:
            self.flat_suffixes = _Suffixes(local[len(local) - log2_ceil(SHORT) + 1 :] + tiles)
            weights = k_to_mont(eq_table(tiles)[shape.present])
            self.absent = mu * (1 - scalar(vectors.total(weights)))
        if self.m >= FLAT or not self.flat:
            self.parts = [
                (_Part(source, np.ascontiguousarray(weights[:, at]), mu, self.m), at)
                for source, at in child.parts()
            ]

    def message(self) -> tuple[KS, KS]:
        if self.parts:
            eq, zero, infinity = self.suffixes.blocks(self.left - 1), self.absent, KS(0)
            for part, _ in self.parts:
                at_zero, at_infinity = part.message(eq)
                zero, infinity = zero + at_zero, infinity + at_infinity
            return zero, infinity
        tables, half, eq = self._small(), self.m // 2, self.suffixes.of(self.left - 1)
        low = [x[:, :half] for x in tables]
        step = [vectors.sub(x[:, half:], x[:, :half]) for x in tables]
        zero, infinity = (
            scalar(vectors.dot(eq, vectors.add(vectors.mul(x[0], x[1]), vectors.mul(x[2], x[3]))))
            for x in (low, step)
        )
        return zero, infinity

    def _small(self) -> list[U32]:
        """The tables a, b, c, d, made from a small child if no variable is bound yet."""
        if self.tables is None:
            assert isinstance(self.child, Fractions)
            half = self.child.m // 2
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
        eq = self.suffixes.blocks(self.left - 1)
        for part, _ in self.parts:
            part.bind(r, eq)
        if self.flat and self.m < FLAT:
            self.tables, self.parts = self.parts[0][0].compact(), []
        elif not self.flat and self.m < SHORT:
            self._flatten()

    def _flatten(self) -> None:
        """Put the tile index last in all tables and go on with one tile of everything."""
        tiles = len(self.shape.present)
        joined = np.empty((4, DEGREE, tiles, self.m), np.uint32)
        for part, at in self.parts:
            for table, mine in zip(joined, part.compact(), strict=True):
                table[:, at] = mine.reshape(DEGREE, len(at), self.m)
        fills = (ZERO, UNIT, UNIT, mont(self.mu))
        tables = [self.shape.flatten(table, self.m, fill) for table, fill in zip(joined, fills, strict=True)]
        self.left = log2_ceil(self.m) + self.shape.bits
        self.m <<= self.shape.bits
        self.flat, self.absent, self.suffixes = True, KS(0), self.flat_suffixes
        if self.m < FLAT:
            self.tables, self.parts = tables, []
            return
        made = [to_blocks(table) for table in tables]
        whole = _Part(None, UNIT.reshape(DEGREE, 1), self.mu, self.m, made)
        self.parts = [(whole, np.zeros(1, np.int64))]

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
