"""The fraction tree of the lookup argument: which layers are stored, and how each is read (protocol §6.5).

Layers whose tiles are long are stored tile by tile, absent tiles not at all; once a tile is down to `FLAT`
entries the tables are turned to put the tile index last, absent tiles are filled in as 0/1, and what is left is
an ordinary multilinear table, one tile of everything. Of a large tree the leaves (of a very large one the next
two layers too) are recomputed from the small integers each time they are read: that is work in the cache, while a
stored layer is memory traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.spaces import LookupSpace
from huref.common.algebra.field import DEGREE
from huref.common.algebra.kscalar import KS
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import U32, k_from_mont, to_mont
from huref.prover.kernels.field.limbs import entries, from_blocks, to_blocks
from huref.prover.kernels.lookup import gkr
from huref.prover.kernels.lookup import leaves as lookup_leaves
from huref.prover.kernels.lookup import unit as lookup_unit
from huref.prover.kernels.lookup.leaves import folded
from huref.prover.kernels.lookup.rows import LeafRows

SHORT = 16  # least entries of a tile that the kernels take
FLAT = 2 * SHORT  # entries per tile from which tables are kept flat
STORED_ENTRIES = 1 << 20  # up to this many leaves all layers are stored, 64 bytes a leaf
LARGE_ENTRIES = 1 << 25  # up to this many only their own layer is recomputed, 40 bytes a leaf are stored
HUGE_ENTRIES = 1 << 26  # up to this many one layer more, 20 bytes a leaf are stored


def mont(value: KS) -> U32:
    """A scalar as Montgomery limbs, shape (5,)."""
    return to_mont(value.array())


def scalar(limbs: U32) -> KS:
    """Montgomery limbs of shape (5,) as a scalar."""
    return KS.from_array(k_from_mont(limbs))


ZERO, UNIT = mont(KS(0)), mont(KS(1))


class Source(Protocol):
    """Tiles of a layer, read for the first two rounds of the sumcheck over them.

    `weights` (5, tiles) are the tiles' eq coefficients. For leaves whose numerators are all one (`unit`) they are a
    factor of the first table, and the sums are over all tiles in any number of parts; `factor` is 1/μ, otherwise μ.
    """

    @property
    def unit(self) -> bool: ...

    def first_round(self, factor: U32, eq: U32, weights: U32) -> U32:
        """Sums at 0 and ∞ by tile, (2, 5, tiles)."""
        ...

    def bind_first(self, factor: U32, r: U32, eq: U32, weights: U32) -> tuple[list[U32], U32]:
        """The tables with one variable bound, and the next round's sums."""
        ...


@dataclass
class Fractions:
    """A stored layer: numerators p, denominators q in tiles of `m`; one tile of everything when `flat`.

    Both are in blocks, but (5, n) where `small`, which no kernel takes.
    """

    p: U32
    q: U32
    m: int
    flat: bool
    unit: bool = False

    @property
    def small(self) -> bool:
        """Whether there are at most `FLAT` entries, in one tile."""
        return self.flat and self.m <= FLAT

    @property
    def tiles(self) -> int:
        """Number of stored tiles."""
        return 1 if self.flat else entries(self.q) // self.m

    def first_round(self, factor: U32, eq: U32, _: U32) -> U32:
        """As `Source` says."""
        return gkr.first_round(self.p, self.q, self.m, factor, eq)

    def bind_first(self, factor: U32, r: U32, eq: U32, _: U32) -> tuple[list[U32], U32]:
        """As `Source` says."""
        return gkr.bind_first(self.p, self.q, self.m, factor, r, eq)

    def parts(self) -> list[tuple[Source, NDArray[np.int64]]]:
        """The layer's tiles by form, with their numbers."""
        return [(self, np.arange(self.tiles))]


@dataclass(frozen=True)
class _Run:
    """Tiles of a recomputed layer."""

    rows: LeafRows
    tiles: NDArray[np.int64]
    unit: bool
    depth: int = 0

    def first_round(self, factor: U32, eq: U32, weights: U32) -> U32:
        if self.unit:
            return lookup_unit.first_round(self.rows, self.tiles, weights, factor, eq)
        return lookup_leaves.first_round(self.rows, self.tiles, self.depth, factor, eq)

    def bind_first(self, factor: U32, r: U32, eq: U32, weights: U32) -> tuple[list[U32], U32]:
        if self.unit:
            return lookup_unit.bind_first(self.rows, self.tiles, weights, factor, r, eq)
        return lookup_leaves.bind_first(self.rows, self.tiles, self.depth, factor, r, eq)


@dataclass
class Virtual:
    """A layer near the leaves that is recomputed, in the cache, whenever it is read."""

    rows: LeafRows
    depth: int  # how many foldings above the leaves, 0 to 2
    flat: bool = False

    @property
    def m(self) -> int:
        """Entries per tile."""
        return (self.rows.job.shape[1] * self.rows.w) >> self.depth

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return len(self.rows.job)

    def parts(self) -> list[tuple[Source, NDArray[np.int64]]]:
        """The layer's tiles by form, with their numbers."""
        every = np.arange(self.tiles)
        if self.depth:
            return [(_Run(self.rows, every, False, self.depth), every)]
        unit = self.rows.unit_tiles()
        runs = [_Run(self.rows, every[unit], True), _Run(self.rows, every[~unit], False)]
        return [(run, run.tiles) for run in runs if len(run.tiles)]


Child = Fractions | Virtual


class LeafSource(Protocol):
    """Makes the leaf layer's tiles; `rows` describes them to the kernels of a tree too large to store."""

    rows: LeafRows
    tiles: int

    def batch(self, first: int, count: int) -> tuple[U32, U32]:
        """p (n,) and q in blocks of `count` tiles from `first` on."""
        ...


def present_tiles(space: LookupSpace) -> NDArray[np.int64]:
    """Indices of the tiles that hold entries, in storage order."""
    return np.concatenate([np.arange(first, first + count) for first, count in space.tiles])


class Shape:
    """How tiles are stored: the present ones out of 2^bits."""

    def __init__(self, space: LookupSpace) -> None:
        self.present = present_tiles(space)
        self.bits = space.log_tiles

    def flatten(self, table: U32, m: int, absent: U32) -> U32:
        """Turn (5, present·m) into (5, m·2^bits) with the tile index last; absent tiles get `absent`."""
        out = np.empty((DEGREE, m, 1 << self.bits), np.uint32)
        out[:] = absent[:, None, None]
        out[:, :, self.present] = table.reshape(DEGREE, len(self.present), m).swapaxes(1, 2)
        return out.reshape(DEGREE, -1)


def build_tree(space: LookupSpace, source: LeafSource, stored: int = STORED_ENTRIES) -> list[Child]:
    """All layers from the root to the leaves. Of a tree of more than `stored` leaves the leaf layer is virtual,
    of a large one the layer above it too, and of a very large one, unless tiles are low, the next.
    """
    shape = Shape(space)
    size = space.tile_size
    leaves = source.tiles * size
    depth = 0 if leaves <= stored else 1
    if leaves > max(stored, LARGE_ENTRIES):
        depth = 2
    if leaves > max(stored, HUGE_ENTRIES):
        # binding recomputes 8 << (depth - 1) rows of a tile at once
        depth = 3 if space.tile_rows >= 32 else 2
    layers: list[Child] = [Virtual(source.rows, level) for level in range(depth)]
    made = folded(source.rows, depth) if depth else source.batch(0, source.tiles)
    layers.append(Fractions(*made, size >> depth, False))
    while layers[-1].m * layers[-1].tiles > 1:
        child = layers[-1]
        assert isinstance(child, Fractions)
        if not child.flat and child.m <= FLAT:
            fp = shape.flatten(from_blocks(child.p), child.m, ZERO)
            fq = shape.flatten(from_blocks(child.q), child.m, UNIT)
            child = layers[-1] = Fractions(fp, fq, fp.shape[1], True)
            if not child.small:
                child.p, child.q = to_blocks(fp), to_blocks(fq)
        layers.append(_up(child))
    return layers[::-1]


def _up(child: Fractions) -> Fractions:
    """The layer above a stored one."""
    half = child.m // 2
    if not child.small:
        above = Fractions(*gkr.up(child.p, child.q, child.m), half, child.flat)
        if above.small:
            above.p, above.q = from_blocks(above.p), from_blocks(above.q)
        return above
    p0, p1, q0, q1 = (x[:, at : at + half] for x in (child.p, child.q) for at in (0, half))
    return Fractions(vectors.add(vectors.mul(p0, q1), vectors.mul(p1, q0)), vectors.mul(q0, q1), half, True)
