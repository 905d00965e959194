"""The functional on the levels' vectors, kept in parts whose size follows the claims, not the rows (protocol §7.6).

Level by level a functional f on y becomes f'[r] = Σ_c f[r·w + c]·eq(ρ, c) on y' = Y·eq(ρ). Nothing is written out:
at the end ⟨f, y⟩ is taken on the last vector, which stands for z[p] = y[p div B]·eq(all ρ, p mod B) at level 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import gcd

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import (
    Array,
    Claim,
    Columns,
    Dense,
    Grouped,
    Scattered,
    Stacked,
    Term,
)
from huref.circuits.argument.opening import Rowed, dense_fold, pad_coefficients, vandermonde
from huref.common.algebra.field import (
    DEGREE,
    fmul,
    fpow,
    kdot,
    kfold,
    kmatvec,
    kmul,
    kouter,
    kscale,
    ksum,
    kzero,
    reduce,
)
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_index, eq_table, power_folds

_CALLS = 1 << 13  # products that take as long as the calls for one offset
_WRITTEN = 1 << 14  # rows up to which an outer product is written out
_GAP = 1 << 12  # rows between terms that are still written out together
_CLUSTER = 1 << 18
_LONG = 1 << 8  # rows from which a term is multiplied by itself


@dataclass(frozen=True)
class Folded:
    """z[p] = values[p div 2^b]·eq(point, p mod 2^b), b coordinates; values (n, 5)."""

    values: Array
    point: Sequence[KS]
    _tables: dict[tuple[int, int], Array] = field(default_factory=dict, compare=False, repr=False)

    def _eq(self, start: int, stop: int) -> Array:
        """eq of the coordinates start … stop − 1, kept: most terms ask for the same few."""
        if (start, stop) not in self._tables:
            self._tables[start, stop] = eq_table(self.point[start:stop])
        return self._tables[start, stop]

    def coarse(self, bits: int, start: int, count: int) -> Array:
        """Entries `start` … of Z with z[Q·2^bits + c] = Z[Q]·eq(last `bits` coordinates, c); zeros past the end."""
        inner = len(self.point) - bits
        first, last = start >> inner, (start + count - 1 >> inner) + 1
        part = kouter(self.values[first:last], self._eq(0, inner)).reshape(-1, DEGREE)
        part = part[start - (first << inner) :][:count]
        return part if len(part) == count else np.concatenate([part, kzero((count - len(part),))])

    def at(self, rows: NDArray[np.int64]) -> Array:
        """Single entries of z."""
        bits = len(self.point)
        return kmul(self.values[rows >> bits], self._eq(0, bits)[rows & (1 << bits) - 1])

    def dot(self, start: int, left: Array) -> KS:
        """Σ_i left[i]·z[start + i]."""
        return KS.from_array(kdot(left, self.coarse(0, start, len(left))))

    def outer_dot(self, start: int, left: Array, right: Array) -> KS:
        """Σ_ij left[i]·right[j]·z[start + i·n + j], n entries of `right`.

        In blocks of 2^s, a row of n entries lies in at most k + 1 of them and starts at one of few offsets: `right`
        is folded once for each offset, and what is left is a product of `left` with blocks at equal distances.
        """
        m, n = len(left), len(right)
        s = min(range(len(self.point) + 1), key=lambda s: self._work(s, start, m, n))
        size = 1 << s
        period = size // gcd(n, size)
        blocks = -(-(size - 1 + n) // size)
        low, total = self._eq(len(self.point) - s, len(self.point)), KS(0)
        coarse = self.coarse(s, start >> s, (start % size + m * n + size - 1 >> s) + blocks)
        for first in range(min(period, m)):
            at = start % size + first * n
            placed = kzero((blocks * size,))
            placed[at % size : at % size + n] = right
            factors = kfold(placed.reshape(blocks, size, DEGREE), low)
            own = np.ascontiguousarray(left[first::period])
            used = np.flatnonzero(factors.any(axis=1))
            shifted = [coarse[(at >> s) + k :: n * period >> s][: len(own)] for k in used]
            if shifted:
                total += KS.from_array(kdot(kfold(np.stack(shifted), own), factors[used]))
        return total

    def stacked_dot(self, start: int, rows: Array, blocks: Array) -> KS:
        """Σ_irb rows[i, r]·blocks[i, b]·z[start + (i·R + r)·B + b], rows (n, R, 5), blocks (n, B, 5).

        As `outer_dot`, but what is folded differs by i: it is multiplied with the rows that start at one offset.
        """
        n, count = len(rows), blocks.shape[1]
        flat, of = rows.reshape(-1, DEGREE), np.arange(rows.shape[0]).repeat(rows.shape[1])
        s = min(range(len(self.point) + 1), key=lambda s: self._stacked_work(s, len(flat), n, count))
        size = 1 << s
        period = size // gcd(count, size)
        reach = -(-(size - 1 + count) // size)
        low, total = self._eq(len(self.point) - s, len(self.point)), KS(0)
        coarse = self.coarse(s, start >> s, (start % size + len(flat) * count + size - 1 >> s) + reach)
        for first in range(min(period, len(flat))):
            at = start % size + first * count
            placed = kzero((n, reach * size))
            placed[:, at % size : at % size + count] = blocks
            factors = kfold(placed.reshape(n * reach, size, DEGREE), low).reshape(n, reach, DEGREE)
            own, which = flat[first::period], of[first::period]
            for k in np.flatnonzero(factors.any(axis=(0, 2))):
                shifted = coarse[(at >> s) + k :: count * period >> s][: len(own)]
                total += KS.from_array(kdot(kmul(own, factors[which, k]), shifted))
        return total

    @staticmethod
    def _stacked_work(s: int, rows: int, n: int, count: int) -> int:
        """About how many products blocks of 2^s cost."""
        size = 1 << s
        period = size // gcd(count, size)
        reach = -(-(size - 1 + count) // size)
        return (
            2 * rows * (size + count - 1) // size
            + (rows * count >> s)
            + min(rows, period) * (_CALLS + n * reach * size)
        )

    @staticmethod
    def _work(s: int, start: int, m: int, n: int) -> int:
        """About how many products blocks of 2^s cost; an offset costs calls as well."""
        size = 1 << s
        blocks = -(-(size - 1 + n) // size)
        return min(m, size // gcd(n, size)) * (blocks * size + _CALLS) + m * blocks + (m * n >> s)


@dataclass(frozen=True)
class Rows:
    """a*: what the claims, combined with `weights` and folded by eq(ρ) over the columns, ask of (y_W ‖ y_A)."""

    layout: Rowed
    cut: int
    claims: Sequence[Claim]
    weights: Sequence[KS]
    columns: Columns
    eq_rho: Array

    def dot(self, z: Folded) -> KS:
        """⟨a*, z⟩."""
        base = {"W": 0, "A": self.cut}
        vectors = self.columns.vectors
        folded = kfold(np.stack(list(vectors.values())), self.eq_rho)
        at = dict(zip(vectors, KS.list_from_array(folded), strict=True))
        total, terms = KS(0), list[Placed]()
        for weight, claim in zip(self.weights, self.claims, strict=True):
            for term in claim.functional.terms:
                if isinstance(term, Scattered):
                    cells = kmul(term.values, self.eq_rho[term.cols])
                    total += weight * KS.from_array(kdot(cells, z.at(base[term.matrix] + term.rows)))
                    continue
                start = base[term.matrix] + term.start
                if isinstance(term, Stacked):
                    blocks = kmul(term.blocks, (weight * at[term.columns]).array())
                    blocks[:, -1] = kmul(term.blocks[:, -1], (weight * at[term.tail]).array())
                    total += z.stacked_dot(start, term.rows, blocks)
                elif isinstance(term, Dense):
                    total += weight * z.dot(start, dense_fold(term.values, term.choice, self.eq_rho))
                elif isinstance(term, Grouped):
                    left, right = term.sides(term.folded(self.eq_rho))  # no columns are left
                    terms.append((start, Term(term.matrix, term.start, left, "", right), weight))
                else:
                    terms.append((start, term, weight * at[term.columns]))
        written = []
        for start, term, factor in _joined(terms):
            if term.right is None or term.length <= _WRITTEN:
                written.append((start, term, factor))
            else:
                total += factor * _term_dot(term, start, z)
        total += _written_dot(written, z)
        pads = pad_coefficients(self.layout, self.claims, self.weights)
        return total + z.dot(self.cut + pads.start, dense_fold(pads.values, pads.choice, self.eq_rho))


Placed = tuple[int, Term, KS]
"""A term with its first row and its factor."""


def _written_dot(terms: list[Placed], z: Folded) -> KS:
    """Σ of terms without an outer product, or with a short one: there are thousands. By clusters."""
    clusters = _clusters(sorted(terms, key=lambda item: item[0]))
    return sum((_cluster_dot(cluster, z) for cluster in clusters), KS(0))


def _joined(terms: list[Placed]) -> list[Placed]:
    """Outer products that start at one row and have one left side, such as the weights of tokens, are added up."""
    kept, alike = list[Placed](), dict[tuple[int, int, int, int | None], list[tuple[Array, Placed]]]()
    for start, term, factor in terms:
        if term.right is None:
            kept.append((start, term, factor))
        else:
            key = start, id(term.left), len(term.right), term.count
            alike.setdefault(key, []).append((term.right, (start, term, factor)))
    for found in alike.values():
        _, (start, term, factor) = found[0]
        if len(found) > 1:
            rights = np.stack([right for right, _ in found])
            factors = np.stack([own.array() for _, (_, _, own) in found])
            term, factor = replace(term, right=ksum(kmul(rights, factors[:, None]))), KS(1)
        kept.append((start, term, factor))
    return kept


def _clusters(ordered: list[Placed]) -> list[list[Placed]]:
    """Terms that lie close, but no more rows than `_CLUSTER` where they can be parted."""
    found: list[list[Placed]] = []
    first = end = 0
    for item in ordered:
        start = item[0]
        if not found or start > end + _GAP or (start >= end and end - first > _CLUSTER):
            found.append([])
            first = end = start
        found[-1].append(item)
        end = max(end, start + item[1].length)
    return found


def _cluster_dot(cluster: list[Placed], z: Folded) -> KS:
    """Short terms are written out, and multiplied at once."""
    first = cluster[0][0]
    end = max(start + term.length for start, term, _ in cluster)
    own, total = kzero((end - first,)), KS(0)  # sums of fewer than 2^33 residues stay below 2^64
    read = z.coarse(0, first, end - first)
    for start, term, factor in cluster:
        part = slice(start - first, start - first + term.length)
        if term.length > _LONG:
            total += factor * _read_dot(term, read[part])
        else:
            own[part] += term.scaled(factor)
    return total + KS.from_array(kdot(reduce(own), read))


def _read_dot(term: Term, read: Array) -> KS:
    """The row coefficients of a term times what they meet, (length, 5)."""
    if term.right is None:
        return KS.from_array(kdot(term.left, read))
    n = len(term.right)
    whole, rest = divmod(term.length, n)
    total = KS(0)
    if whole:
        sides = kfold(read[: whole * n].reshape(whole, n, DEGREE), term.right)
        total = KS.from_array(kdot(term.left[:whole], sides))
    if rest:
        last = KS.from_array(kdot(term.right[:rest], read[whole * n :]))
        total += KS.from_array(term.left[whole]) * last
    return total


def _term_dot(term: Term, start: int, z: Folded) -> KS:
    """The row coefficients of a term times z from `start` on."""
    if term.right is None:
        return z.dot(start, term.left[: term.length])
    n = len(term.right)
    whole, rest = divmod(term.length, n)
    total = z.outer_dot(start, term.left[:whole], term.right) if whole else KS(0)
    if rest:
        last = kmul(term.right[:rest], term.left[whole])
        total += z.dot(start + whole * n, last)
    return total


@dataclass(frozen=True)
class Powers:
    """Σ_q weights[q]·Σ_r y[start + r]·points[q]^r over r < length: evaluations of one code."""

    start: int
    length: int
    points: Array
    weights: Array

    def fold(self, rho: Sequence[KS]) -> list[Powers | Cell]:
        """The same on the next level: powers on whole rows of w entries, and the rows that are cut at either end."""
        w, end = 1 << len(rho), self.start + self.length
        first, last = -(-self.start // w), end // w
        if first > last:
            return [self._cell(self.start, end, rho)]
        parts: list[Powers | Cell] = []
        if self.start % w:
            parts.append(self._cell(self.start, first * w, rho))
        if end % w:
            parts.append(self._cell(last * w, end, rho))
        skipped = fpow(self.points, first * w - self.start)
        weights = kmul(kscale(self.weights, skipped), power_folds(rho, self.points))
        return [*parts, Powers(first, last - first, fpow(self.points, w), weights)]

    def _cell(self, start: int, stop: int, rho: Sequence[KS]) -> Cell:
        """Entries start … stop − 1, all of one row."""
        row, column = divmod(start, 1 << len(rho))
        low = fpow(self.points, start - self.start)
        powers = fmul(vandermonde(self.points, stop - start), low[:, None])
        entries = kmatvec(powers, eq_table(rho)[column : column + stop - start])
        return Cell(row, KS.from_array(kdot(self.weights, entries)))

    def dot(self, y: Array) -> KS:
        """The sum for y (n, 5)."""
        own = y[self.start : self.start + self.length]
        return KS.from_array(kdot(self.weights, kmatvec(vandermonde(self.points, self.length), own)))


@dataclass(frozen=True)
class Cell:
    """weight·y[index]: a mask row of a level, or an entry of it later on."""

    index: int
    weight: KS

    def fold(self, rho: Sequence[KS]) -> list[Powers | Cell]:
        """The same on the next level, with rows of 2^len(ρ) entries."""
        row, column = divmod(self.index, 1 << len(rho))
        return [Cell(row, self.weight * eq_index(rho, column))]

    def dot(self, y: Array) -> KS:
        """The entry of y (n, 5) times the weight."""
        return self.weight * KS.from_array(y[self.index])


class LevelFunctional:
    """The functional on the vector of the level that was folded last."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._point: list[KS] = []
        self._parts: list[Powers | Cell] = []

    def add(self, part: Powers | Cell) -> None:
        """Add a part on the present vector."""
        self._parts.append(part)

    def fold(self, rho: Sequence[KS]) -> None:
        """To the next level."""
        self._point = [*rho, *self._point]
        self._parts = [folded for part in self._parts for folded in part.fold(rho)]

    def dot(self, y: Array) -> KS:
        """Its value on the present vector y (n, 5)."""
        own = sum((part.dot(y) for part in self._parts), KS(0))
        return own + self._rows.dot(Folded(y, self._point))
