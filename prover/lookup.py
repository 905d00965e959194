"""The prover of the lookup argument: builds the fraction tree and proves it layer by layer (protocol §6.5).

The twin of `verifier.lookup`. Layers whose tiles are long are stored tile by tile, absent tiles not at all;
once a tile is down to `SHORT` entries the tables are turned to put the tile index last, absent tiles are
filled in as 0/1, and what is left is an ordinary multilinear table. Of a large tree the leaves (of a very large
one the next layer too) are recomputed from the small integers each time they are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from circuits.layout import Layout
from common.field import DEGREE
from common.kscalar import KS
from common.multilinear import eq_table, log2_ceil
from prover.channel import ProverChannel
from prover.kernels import gkr, lookup_leaves, vectors
from prover.kernels.field import U32, k_from_mont, k_to_mont, to_mont
from prover.kernels.lookup_leaves import LeafRows, folded
from prover.sumcheck import prove_rounds

SHORT = 16  # entries per tile from which tables are kept flat
STORED_ENTRIES = 1 << 20  # up to this many leaves all layers are stored, 64 bytes a leaf
HUGE_ENTRIES = (
    1 << 28
)  # up to this many leaves only their own layer is recomputed, 40 bytes a leaf are stored


def mont(value: KS) -> U32:
    """A scalar as Montgomery limbs, shape (5,)."""
    return to_mont(value.array())


def scalar(limbs: U32) -> KS:
    """Montgomery limbs of shape (5,) as a scalar."""
    return KS.from_array(k_from_mont(limbs))


@dataclass
class Fractions:
    """A stored layer: numerators p, denominators q in tiles of `m`; one tile of everything when `flat`."""

    p: U32
    q: U32
    m: int
    flat: bool

    @property
    def tiles(self) -> int:
        """Number of stored tiles."""
        return self.q.shape[1] // self.m

    def first_round(self, mu: U32, eq: U32) -> U32:
        """Sums at 0 and ∞ by tile."""
        return gkr.first_round(self.p, self.q, self.m, mu, eq)

    def first_bind(self, mu: U32, r: U32) -> list[U32]:
        """The tables a, b, c, d with one variable bound."""
        return gkr.first_bind(self.p, self.q, self.m, mu, r)


class LeafSource(Protocol):
    """Makes the leaf layer's tiles; `rows` describes them to the kernels of a tree too large to store."""

    rows: LeafRows
    tiles: int

    def batch(self, first: int, count: int) -> tuple[U32, U32]:
        """p (n,) and q (5, n) of `count` tiles from `first` on."""
        ...


@dataclass
class Virtual:
    """A layer near the leaves that is recomputed, in the cache, whenever it is read."""

    rows: LeafRows
    depth: int  # how many foldings above the leaves
    flat: bool = False

    @property
    def m(self) -> int:
        """Entries per tile."""
        return (self.rows.job.shape[1] * self.rows.w) >> self.depth

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return len(self.rows.job)

    def first_round(self, mu: U32, eq: U32) -> U32:
        """Sums at 0 and ∞ by tile."""
        return lookup_leaves.first_round(self.rows, self.depth, mu, eq)

    def first_bind(self, mu: U32, r: U32) -> list[U32]:
        """The tables a, b, c, d with one variable bound."""
        return lookup_leaves.first_bind(self.rows, self.depth, mu, r)


Child = Fractions | Virtual


def present_tiles(layout: Layout) -> NDArray[np.int64]:
    """Indices of the tiles that hold entries, in storage order."""
    return np.concatenate([np.arange(first, first + count) for first, count in layout.tiles])


class _Shape:
    """How tiles are stored: the present ones out of 2^bits."""

    def __init__(self, layout: Layout) -> None:
        self.present = present_tiles(layout)
        self.bits = layout.log_tiles

    def flatten(self, table: U32, m: int, absent: U32) -> U32:
        """Turn (5, present·m) into (5, m·2^bits) with the tile index last; absent tiles get `absent`."""
        out = np.empty((DEGREE, m, 1 << self.bits), np.uint32)
        out[:] = absent[:, None, None]
        out[:, :, self.present] = table.reshape(DEGREE, len(self.present), m).swapaxes(1, 2)
        return out.reshape(DEGREE, -1)


ZERO, UNIT = mont(KS(0)), mont(KS(1))


def build_tree(layout: Layout, source: LeafSource, stored: int) -> list[Child]:
    """All layers from the root to the leaves. Of a tree of more than `stored` leaves the leaf layer is virtual,
    of a very large one the layer above it too.
    """
    shape = _Shape(layout)
    size = layout.tile_size
    leaves = source.tiles * size
    depth = 0 if leaves <= stored else 1 if leaves <= HUGE_ENTRIES else 2
    layers: list[Child] = [Virtual(source.rows, level) for level in range(depth)]
    made = folded(source.rows, depth) if depth else source.batch(0, source.tiles)
    layers.append(Fractions(*made, size >> depth, False))
    while layers[-1].m * layers[-1].tiles > 1:
        child = layers[-1]
        assert isinstance(child, Fractions)
        if not child.flat and child.m <= SHORT:
            fp = shape.flatten(child.p, child.m, ZERO)
            fq = shape.flatten(child.q, child.m, UNIT)
            child = layers[-1] = Fractions(fp, fq, fp.shape[1], True)
        if child.q.shape[1] >= 2 * SHORT or not child.flat:
            out_p, out_q = gkr.up(child.p, child.q, child.m)
        else:
            out_p, out_q = _small_up(child.p, child.q)
        layers.append(Fractions(out_p, out_q, child.m // 2, child.flat))
    return layers[::-1]


def _small_up(p: U32, q: U32) -> tuple[U32, U32]:
    half = q.shape[1] // 2
    outer, inner = vectors.mul(p[:, :half], q[:, half:]), vectors.mul(p[:, half:], q[:, :half])
    return vectors.add(outer, inner), vectors.mul(q[:, :half], q[:, half:])


class _Suffixes:
    """eq tables of every suffix of a point: `of(k)` covers its last k coordinates, as (5, 2^k)."""

    def __init__(self, point: list[KS]) -> None:
        self._tables = [UNIT.reshape(DEGREE, 1).copy()]
        for coordinate in reversed(point):
            high = vectors.scale(self._tables[-1], mont(coordinate))
            self._tables.append(np.concatenate([vectors.sub(self._tables[-1], high), high], axis=1))

    def of(self, count: int) -> U32:
        return self._tables[count]


class _Layer:
    """Round oracle of one layer's sumcheck over g = a·b + c·d (see `prover.kernels.gkr`)."""

    def __init__(self, child: Child, mu: KS, local: list[KS], tiles: list[KS], shape: _Shape) -> None:
        self.child, self.mu, self.shape = child, mu, shape
        self.tables: list[U32] | None = None
        self.stride = 0  # distance between tiles of the tables
        self.flat = child.flat
        self.m = child.m // 2  # entries per tile of g, before binding
        self.local = len(local)
        if self.flat:
            self.suffixes = _Suffixes(local + tiles)
            self.left = self.local + len(tiles)
        else:
            self.suffixes = _Suffixes(local)
            self.left = self.local
            self.flat_suffixes = _Suffixes(local[self.local - log2_ceil(SHORT) + 1 :] + tiles)
            eq_tiles = eq_table(tiles)[shape.present]
            self.eq_tiles = k_to_mont(eq_tiles)
            self.absent = mu * (1 - scalar(vectors.total(self.eq_tiles)))

    def message(self) -> tuple[KS, KS]:
        eq = self.suffixes.of(self.left - 1)
        if self.m < SHORT:
            return self._small_message(eq)
        if self.tables is None:
            sums = self.child.first_round(mont(self.mu), eq)
        else:
            sums = gkr.round_sums(self.tables, self.m, self.stride, eq)
        if self.flat:
            return scalar(sums[0, :, 0]), scalar(sums[1, :, 0])
        zero, infinity = (scalar(vectors.dot(np.ascontiguousarray(part), self.eq_tiles)) for part in sums)
        return zero + self.absent, infinity

    def _small_message(self, eq: U32) -> tuple[KS, KS]:
        a, b, c, d = self._small()
        half = a.shape[1] // 2
        low = [x[:, :half] for x in (a, b, c, d)]
        step = [vectors.sub(x[:, half:], x[:, :half]) for x in (a, b, c, d)]
        zero, infinity = (
            scalar(vectors.dot(eq, vectors.add(vectors.mul(x[0], x[1]), vectors.mul(x[2], x[3]))))
            for x in (low, step)
        )
        return zero, infinity

    def _small(self) -> list[U32]:
        """The tables a, b, c, d, made from the child layer if no variable is bound yet."""
        if self.tables is None:
            assert isinstance(self.child, Fractions)
            half = self.child.q.shape[1] // 2
            p, q = self.child.p, self.child.q
            d = vectors.add(p[:, half:], vectors.scale(q[:, half:], mont(self.mu)))
            self.tables = [np.ascontiguousarray(x) for x in (p[:, :half], q[:, half:], q[:, :half], d)]
        return self.tables

    def bind(self, value: KS) -> None:
        r = mont(value)
        if self.m < SHORT:
            self.tables = [vectors.fold(x, r) for x in self._small()]
        elif self.tables is None:
            self.tables = self.child.first_bind(mont(self.mu), r)
            self.stride = self.m // 2
        else:
            gkr.bind(self.tables, self.m, self.stride, r)
        self.m //= 2
        self.left -= 1
        if not self.flat and self.m < SHORT:
            fills = (ZERO, UNIT, UNIT, mont(self.mu))
            self.tables = [
                self.shape.flatten(self._compact(x), self.m, fill)
                for x, fill in zip(self.tables, fills, strict=True)
            ]
            self.left = log2_ceil(self.m) + self.shape.bits
            self.stride = self.m = self.m << self.shape.bits
            self.flat, self.suffixes = True, self.flat_suffixes
        elif self.flat and self.m < SHORT <= 2 * self.m:
            self.tables = [self._compact(x) for x in self._small()]

    def _compact(self, table: U32) -> U32:
        """The valid first m entries of every tile, without the gaps that binding in place leaves."""
        return np.ascontiguousarray(table.reshape(DEGREE, -1, self.stride)[:, :, : self.m]).reshape(
            DEGREE, -1
        )

    def finals(self) -> tuple[KS, KS, KS, KS]:
        """(p0, q1, q0, u) at the point, u = p1 + μ·q1."""
        a, b, c, d = (scalar(x[:, 0]) for x in self._small())
        return a, b, c, d


def prove_lookup(
    channel: ProverChannel, layout: Layout, source: LeafSource, stored: int = STORED_ENTRIES
) -> list[KS]:
    """Prove that the leaves' fractions sum to zero; returns the point of the leaf layer."""
    shape = _Shape(layout)
    layers = build_tree(layout, source, stored)
    top = layers[0]
    assert isinstance(top, Fractions)
    root = scalar(top.q[:, 0])
    channel.hidden_product("lookup.root", root, 1 / root)
    tiles: list[KS] = []
    local: list[KS] = []
    for layer in range(len(layers) - 1):
        label = f"lookup.layer{layer}"
        mu = channel.challenge(f"{label}.mu")
        oracle = _Layer(layers[layer + 1], mu, local, tiles, shape)
        bound = prove_rounds(channel, label, oracle, layer)
        local, tiles = bound[: len(local)], bound[len(local) :]
        p0, q1, q0, u = oracle.finals()
        channel.hidden_product(f"{label}.outer", p0, q1)
        channel.hidden_product(f"{label}.inner", q0, u)
        tau = channel.challenge(f"{label}.tau")
        if layer < layout.log_tiles:
            tiles = [tau, *tiles]
        else:
            local = [tau, *local]
        layers[layer + 1] = Fractions(ZERO, ZERO[:, None], 1, True)  # done with: free its memory
    return tiles + local
