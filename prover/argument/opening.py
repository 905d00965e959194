"""The prover of the batched opening; its twin in `huref.verifier.argument` has its notation and order (protocol §7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Array, Claim, Columns, Grouped, Own, Scattered
from huref.circuits.argument.opening import Rowed, mask_claim, vandermonde
from huref.common.algebra.field import DEGREE, encode_f, fmul, fpow, kdot, kmul, kpowers, kscale, to_field
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from huref.common.params import LEVEL_MASK_ROWS, CodeGeometry, Knobs, LevelGeometry, OpeningGeometry
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.lookup_tree import UNIT, mont, scalar
from huref.prover.argument.merged import Merged, Piece, merge, row_functional
from huref.prover.commitment.committed import Committed, commit
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.devices.matrix import StackedMatrix
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import U32, k_from_mont, k_to_mont, to_mont
from huref.prover.kernels.field.small import small_matvec, small_vecmat
from huref.prover.kernels.transforms.few_points import evaluate_integers

Ints = NDArray[Any]


@dataclass(frozen=True)
class OpenedMatrix:
    """One committed matrix: row segments (data, then random), and its tree."""

    segments: tuple[Ints, ...]
    committed: Committed

    def vecmat(self, piece: Piece) -> U32:
        """Σ of rows times their coefficients, (5, w) Montgomery."""
        total = np.zeros((DEGREE, self.segments[0].shape[1]), np.uint32)
        row, (start, step), count = 0, (piece.start, piece.step), piece.a.shape[1]
        for segment in self.segments:
            first = max(0, -((start - row) // step))
            last = min(count, -((start - row - len(segment)) // step))
            if first < last:
                rows = segment[start - row + first * step :: step][: last - first]
                total = vectors.add(total, small_vecmat(np.ascontiguousarray(piece.a[:, first:last]), rows))
            row += len(segment)
        return total

    def matvec(self, vector: U32) -> list[U32]:
        """U·vector for a Montgomery K vector (5, w), by segments, (5, rows) each."""
        return [small_matvec(segment, vector) for segment in self.segments]

    def rows(self, start: int, count: int) -> Array:
        """Rows start … start + count − 1 as canonical residues."""
        return np.concatenate([to_field(part) for part in self._parts(start, count)])

    def picked(self, rows: NDArray[np.int64]) -> Array:
        """These rows as canonical residues."""
        out, first = np.zeros((len(rows), self.segments[0].shape[1]), np.uint64), 0
        for segment in self.segments:
            mine = (first <= rows) & (rows < first + len(segment))
            out[mine] = to_field(segment[rows[mine] - first])
            first += len(segment)
        return out

    def _parts(self, start: int, count: int) -> list[Ints]:
        """These rows, by segments."""
        parts, row = [], 0
        for segment in self.segments:
            low, high = max(start, row), min(start + count, row + len(segment))
            if low < high:
                parts.append(segment[low - row : high - row])
            row += len(segment)
        return parts

    def grouped(self, term: Grouped) -> U32:
        """Σ of every group's rows times their coefficients, (5, groups, w) Montgomery."""
        parts, groups = self._parts(term.start, term.length), len(term.vectors)
        if len(parts) > 1:  # of several types, perhaps
            parts = [np.concatenate([to_field(part).astype(np.uint32) for part in parts])]
        cells, w = parts[0], parts[0].shape[1]
        if not term.interleaved:
            cells = np.ascontiguousarray(cells.reshape(groups, -1, w).swapaxes(0, 1))
        folded = small_vecmat(k_to_mont(term.rows), cells.reshape(-1, groups * w))
        return folded.reshape(DEGREE, groups, w)


class PairsOracle:
    """Σ over pairs and columns of l·r for tables (5, pairs, columns), bound from the top column variable. They are kept
    column after column, (5, columns · pairs), so that their halves lie side by side; in the end that is one column.
    """

    def __init__(self, left: U32, right: U32) -> None:
        self.left, self.right = (
            np.ascontiguousarray(table.swapaxes(1, 2)).reshape(DEGREE, -1) for table in (left, right)
        )

    def message(self) -> tuple[KS, KS]:
        low, steps = vectors.halves(self.left, self.right, self.left.shape[1] // 2)
        return scalar(low), scalar(steps)

    def bind(self, value: KS) -> None:
        self.left, self.right = (vectors.fold(table, mont(value)) for table in (self.left, self.right))


def public_rounds(channel: ProverChannel, label: str, oracle: PairsOracle, rounds: int) -> list[KS]:
    """Quadratic rounds whose messages are sent in the clear; returns the point."""
    point = []
    for _ in range(rounds):
        channel.public(f"{label}.round", oracle.message())
        x = channel.challenge(f"{label}.challenge")
        oracle.bind(x)
        point.append(x)
    return point


@dataclass(frozen=True)
class Tree:
    """A committed code to be queried, with the vector y that its rows fold to, which starts there in the level's."""

    label: str
    committed: Committed
    code: CodeGeometry
    start: int


def prove_opening(
    channel: ProverChannel,
    layout: Rowed,
    geometry: OpeningGeometry,
    claims: Sequence[Claim],
    columns: Columns,
    weights: OpenedMatrix,
    proof: OpenedMatrix,
    seed: SecretSeed,
    knobs: Knobs,
) -> None:
    """Open all claims. From `seed` come the random rows, masks and salts of the levels after the first."""
    matrices = {"W": weights, "A": proof}
    claims = [*claims, *_mask_claims(channel, layout, columns, proof)]
    gamma = channel.challenge("opening.gamma")
    powers = [gamma**i for i in range(len(claims))]
    merged, own = merge(layout, claims, powers)
    oracle = _reduction(merged, own, columns, matrices)
    rho = public_rounds(channel, "opening.reduction", oracle, log2_ceil(layout.w))
    eq_rho, cut = eq_table(rho), geometry.weights.k_prime
    functional = row_functional(geometry, merged, own, columns, eq_rho)
    eq_mont = k_to_mont(eq_rho)
    y = np.concatenate([*weights.matvec(eq_mont), *proof.matvec(eq_mont)], axis=1)
    trees = [
        Tree("opening.weights", weights.committed, geometry.weights, 0),
        Tree("opening.proof", proof.committed, geometry.proof, cut),
    ]
    for number, level in enumerate(geometry.levels, 2):
        label, last = f"opening.level{number}", number > len(geometry.levels)
        rows = _level_rows(level, vectors.to_plain(y), seed, label)
        mask = (
            seed.field_elements(f"{label}.mask", rows.shape[0] * DEGREE).reshape(-1, DEGREE) if last else None
        )
        salts = seed.derive(f"{label} salts").value
        device = weights.committed.device
        committed = commit(
            StackedMatrix([rows], beside=mask), level.code.domain, salts, device, knobs.digest_bytes
        )
        channel.send(f"{label}.root", committed.root)
        channel.grind(f"opening.level{number - 1}.grind", knobs.grinding)
        points = _query(channel, trees)
        y, functional = _level(channel, label, level, rows, functional, trees, points)
        trees = [Tree(label, committed, level.code, 0)]
    if mask is None:
        raise ValueError("an opening has at least one level after the first")
    _last(channel, trees[0], y, functional, vectors.from_plain(mask), knobs.grinding)


def _mask_claims(channel: ProverChannel, layout: Rowed, columns: Columns, proof: OpenedMatrix) -> list[Claim]:
    points = [channel.point(f"opening.z{i}", log2_ceil(layout.w)) for i in range(2)]
    rows = proof.rows(layout.mask_start, 2 * DEGREE).reshape(2, DEGREE, layout.w)
    sums = [KS.from_array(kdot(rows[i].T, eq_table(points[i]))) for i in range(2)]
    channel.public("opening.sigma", sums)
    return [mask_claim(layout, columns, i, points[i], sums[i]) for i in range(2)]


def _reduction(
    merged: Sequence[Merged],
    own: Sequence[Own],
    columns: Columns,
    matrices: dict[str, OpenedMatrix],
) -> PairsOracle:
    """The pairs (aᵀU, b): one per matrix and column vector, one per group of rows, dense row or single cell."""
    left: list[U32] = []
    right: list[U32] = []
    for term in own:
        if isinstance(term, Grouped):
            left.append(matrices[term.matrix].grouped(term))
            plain = term.written()
            right.append(vectors.from_plain(plain.reshape(-1, DEGREE)).reshape(DEGREE, *plain.shape[:2]))
            continue
        values = k_to_mont(term.values)
        if isinstance(term, Scattered):
            rows = matrices[term.matrix].picked(term.rows)
            coefficients = np.zeros((DEGREE, *rows.shape), np.uint32)
            coefficients[:, np.arange(len(rows)), term.cols] = values
        else:
            rows = matrices[term.matrix].rows(term.start, len(term.choice))
            coefficients = values[:, term.choice]
        table = np.zeros((DEGREE, *rows.shape), np.uint32)
        table[0] = to_mont(rows)
        left.append(table)
        right.append(coefficients)
    for part in merged:
        read = [matrices[part.matrix].vecmat(piece) for piece in part.pieces]
        left.append(reduce(vectors.add, read)[:, None, :])
        right.append(k_to_mont(columns.vectors[part.columns])[:, None, :])
    return PairsOracle(np.concatenate(left, axis=1), np.concatenate(right, axis=1))


def _level_rows(level: LevelGeometry, y: Ints, seed: SecretSeed, label: str) -> Ints:
    """The rows of a level, canonical (k', 5w): y (n, 5) by rows of w, then R, R' and the random rows."""
    data = y.reshape(-1, DEGREE * level.w)
    count = level.code.k_prime - len(data)
    own = seed.field_elements(f"{label}.rows", count * DEGREE * level.w).reshape(count, -1)
    return np.concatenate([data, own])


def _query(channel: ProverChannel, trees: Sequence[Tree]) -> list[Array]:
    """Open the trees of a level at drawn positions; returns the code points of each."""
    positions = [
        channel.transcript.challenge_positions(tree.label, tree.code.queries, tree.code.domain.n)
        for tree in trees
    ]
    for tree, at in zip(trees, positions, strict=True):
        _open(channel, tree.label, tree.committed, at)
    return [tree.code.domain.points(at) for tree, at in zip(trees, positions, strict=True)]


def _open(channel: ProverChannel, label: str, committed: Committed, at: NDArray[np.int64]) -> None:
    opening = committed.open(at.tolist())
    channel.send(f"{label}.leaves", encode_f(opening.values))
    channel.send(f"{label}.salts", opening.salts.tobytes())
    channel.send(f"{label}.path", b"".join(opening.nodes))


def _level(
    channel: ProverChannel,
    label: str,
    level: LevelGeometry,
    rows: Ints,
    functional: U32,
    trees: Sequence[Tree],
    points: Sequence[Array],
) -> tuple[U32, U32]:
    """The sumcheck of a level: y and the functional on it after folding, both (5, k') Montgomery.

    `rows` are the level's, `functional` what is claimed of the data in them, (5, length) Montgomery. Pairs: every row
    with its coefficients (zero for random rows), and (Σ_r x^(r·w)·row r, x^c) for every query.
    """
    w, log_w = level.w, log2_ceil(level.w)
    z = [channel.point(f"{label}.z{i}", log_w) for i in range(LEVEL_MASK_ROWS)]
    data, across = functional.shape[1] // w, [eq_table(point) for point in z]
    masks = rows[data : data + LEVEL_MASK_ROWS].reshape(LEVEL_MASK_ROWS, w, DEGREE).astype(np.uint64)
    sums = [KS.from_array(kdot(row, table)) for row, table in zip(masks, across, strict=True)]
    channel.public(f"{label}.sigma", sums)
    delta, total = channel.challenge(f"{label}.delta"), sum(len(x) for x in points)
    powers = kpowers(delta.array(), 1 + total + LEVEL_MASK_ROWS)[1:]
    right = np.zeros((DEGREE, len(rows), w), np.uint32)
    right[:, :data] = functional.reshape(DEGREE, data, w)
    for i, table in enumerate(across):
        right[:, data + i] = k_to_mont(kmul(table, powers[total + i]))
    left = [vectors.from_plain(rows.reshape(-1, DEGREE)).reshape(DEGREE, -1, w)]
    pairs, first = [right], 0
    for tree, x in zip(trees, points, strict=True):
        part = rows[tree.start // w : (tree.start + tree.code.k_prime) // w]
        steps = vandermonde(x, w)
        folded = evaluate_integers([part], fmul(steps[:, -1], x)).reshape(-1, w, DEGREE)
        left.append(np.moveaxis(to_mont(folded), 2, 0))
        weighted = kscale(powers[first : first + len(x), None, :], steps)
        pairs.append(np.moveaxis(to_mont(weighted), 2, 0))
        first += len(x)
    oracle = PairsOracle(np.concatenate(left, axis=1), np.concatenate(pairs, axis=1))
    public_rounds(channel, label, oracle, log_w)
    y, after = (np.ascontiguousarray(table[:, : len(rows)]) for table in (oracle.left, oracle.right))
    first = len(rows)
    for tree, x in zip(trees, points, strict=True):
        start, count = tree.start // w, tree.code.k_prime // w
        down = vandermonde(fpow(x, w), count).astype(np.uint32)
        weights = np.ascontiguousarray(oracle.right[:, first : first + len(x)])
        vectors.add_outer(after, start, UNIT[:, None], small_vecmat(weights, down))
        first += len(x)
    return y, after


def _last(channel: ProverChannel, tree: Tree, y: U32, functional: U32, mask: U32, grinding: int) -> None:
    """The last vector, masked and in the clear, and its code's queries."""
    channel.public("opening.mask_sum", [scalar(vectors.dot(mask, functional))])
    beta = channel.challenge("opening.beta")
    channel.array("opening.y", k_from_mont(vectors.fma(mask, mont(beta), y)))
    channel.grind(f"{tree.label}.grind", grinding)
    _query(channel, [tree])
