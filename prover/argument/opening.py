"""The prover of the batched opening; its twin in `huref.verifier.argument` has its notation and order (protocol §7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Array, Claim, Columns, Dense, Matrix, Term
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.opening import dense_fold, mask_claim, pad_coefficients, vandermonde
from huref.common.algebra.field import DEGREE, encode_f, fmul, kdot, kmul, kpowers, kscale, to_field
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from huref.common.params import OpeningGeometry
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.lookup_tree import UNIT, mont, scalar
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
    """One committed matrix: row segments (data, then random), its tree, and its mask g (k', 5), canonical."""

    segments: tuple[Ints, ...]
    committed: Committed
    mask: Ints

    def vecmat(self, start: int, vector: U32) -> U32:
        """vectorᵀ·U[start : start + n] for a Montgomery K vector (5, n), (5, w)."""
        total = np.zeros((DEGREE, self.segments[0].shape[1]), np.uint32)
        row = 0
        for segment in self.segments:
            low, high = max(start, row), min(start + vector.shape[1], row + len(segment))
            if low < high and vector[:, low - start : high - start].any():
                part = np.ascontiguousarray(vector[:, low - start : high - start])
                total = vectors.add(total, small_vecmat(part, segment[low - row : high - row]))
            row += len(segment)
        return total

    def matvec(self, vector: U32) -> list[U32]:
        """U·vector for a Montgomery K vector (5, w), by segments, (5, rows) each."""
        return [small_matvec(segment, vector) for segment in self.segments]

    def rows(self, start: int, count: int) -> Array:
        """Rows start … start + count − 1 as canonical residues; they must lie in one segment's span."""
        parts, row = [], 0
        for segment in self.segments:
            low, high = max(start, row), min(start + count, row + len(segment))
            if low < high:
                parts.append(to_field(segment[low - row : high - row]))
            row += len(segment)
        return np.concatenate(parts)


class PairsOracle:
    """Σ over pairs and columns of l·r for tables (5, pairs, columns), bound from the top column variable."""

    def __init__(self, left: U32, right: U32) -> None:
        self.left, self.right = left, right

    def message(self) -> tuple[KS, KS]:
        half = self.left.shape[2] // 2
        low, high = zip(*(_halves(x, half) for x in (self.left, self.right)), strict=True)
        steps = [vectors.sub(b, a) for a, b in zip(low, high, strict=True)]
        return scalar(vectors.dot(*low)), scalar(vectors.dot(*steps))

    def bind(self, value: KS) -> None:
        self.left, self.right = self._bound(self.left, value), self._bound(self.right, value)

    @staticmethod
    def _bound(table: U32, value: KS) -> U32:
        half = table.shape[2] // 2
        return vectors.lerp(*_halves(table, half), mont(value)).reshape(DEGREE, -1, half)


def _halves(table: U32, half: int) -> tuple[U32, U32]:
    return (
        np.ascontiguousarray(table[:, :, :half]).reshape(DEGREE, -1),
        np.ascontiguousarray(table[:, :, half:]).reshape(DEGREE, -1),
    )


def public_rounds(channel: ProverChannel, label: str, oracle: PairsOracle, rounds: int) -> list[KS]:
    """Quadratic rounds whose messages are sent in the clear; returns the point."""
    point = []
    for _ in range(rounds):
        channel.public(f"{label}.round", oracle.message())
        x = channel.challenge(f"{label}.challenge")
        oracle.bind(x)
        point.append(x)
    return point


def prove_opening(
    channel: ProverChannel,
    layout: Layout,
    geometry: OpeningGeometry,
    claims: Sequence[Claim],
    columns: Columns,
    weights: OpenedMatrix,
    weights_mask: Committed,
    proof: OpenedMatrix,
    seed: SecretSeed,
    grinding: int,
) -> None:
    """Open all claims. `weights_mask` is the tree over g_W; `seed` salts the second level's leaves."""
    matrices = {"W": weights, "A": proof}
    claims = [*claims, *_mask_claims(channel, layout, columns, proof)]
    gamma = channel.challenge("opening.gamma")
    powers = [gamma**i for i in range(len(claims))]
    merged, dense = _merge(layout, claims, powers)
    oracle = _reduction(merged, dense, columns, matrices)
    rho = public_rounds(channel, "opening.reduction", oracle, log2_ceil(layout.w))
    eq_rho = eq_table(rho)
    functional = _functional(geometry, merged, dense, columns, eq_rho)
    mask = vectors.from_plain(np.concatenate([weights.mask, proof.mask]))
    mask_sum = scalar(vectors.dot(mask, functional))
    channel.public("opening.mask_sum", [mask_sum])
    beta = channel.challenge("opening.beta")
    eq_mont = k_to_mont(eq_rho)
    fold = np.concatenate([*weights.matvec(eq_mont), *proof.matvec(eq_mont)], axis=1)
    y = vectors.to_plain(vectors.fma(mask, mont(beta), fold, out=fold))
    if geometry.second is None:
        channel.array("opening.y", y.astype(np.uint64))
    else:
        by_row = y.reshape(-1, DEGREE * geometry.w2)
        salts, device = seed.derive("second").value, weights.committed.device
        second = commit(StackedMatrix([by_row]), geometry.second.domain, salts, device)
        channel.send("opening.root", second.root)
    channel.grind("opening.grind", grinding)
    points = _level_one(channel, geometry, weights.committed, weights_mask, proof.committed)
    delta = channel.challenge("opening.delta")
    if geometry.second is None:
        return
    deltas = kpowers(delta.array(), 1 + len(points))[1:]
    oracle = _second(geometry, functional, y, points, deltas)
    public_rounds(channel, "opening.second", oracle, log2_ceil(geometry.w2))
    channel.array(
        "opening.y", k_from_mont(np.ascontiguousarray(oracle.left[:, : geometry.second.k_prime, 0]))
    )
    channel.grind("opening.second.grind", grinding)
    code = geometry.second
    at = channel.transcript.challenge_positions("opening.second", code.queries, code.domain.n)
    _open(channel, "opening.second", second, at)


def _mask_claims(
    channel: ProverChannel, layout: Layout, columns: Columns, proof: OpenedMatrix
) -> list[Claim]:
    points = [channel.point(f"opening.z{i}", log2_ceil(layout.w)) for i in range(2)]
    rows = proof.rows(layout.mask_start, 2 * DEGREE).reshape(2, DEGREE, layout.w)
    sums = [KS.from_array(kdot(rows[i].T, eq_table(points[i]))) for i in range(2)]
    channel.public("opening.sigma", sums)
    return [mask_claim(layout, columns, i, points[i], sums[i]) for i in range(2)]


@dataclass(frozen=True)
class _Merged:
    """All terms of one matrix and column vector: Σ weight·a on the rows from `start` on, (5, n) Montgomery."""

    matrix: Matrix
    columns: str
    start: int
    a: U32


def _merge(
    layout: Layout, claims: Sequence[Claim], powers: Sequence[KS]
) -> tuple[list[_Merged], list[Dense]]:
    """The left side of the claims' sum: terms merged by matrix and column vector, and dense ones with their weight."""
    terms: dict[tuple[Matrix, str], list[tuple[Term, KS]]] = {}
    dense = []
    for power, claim in zip(powers, claims, strict=True):
        for term in claim.functional.terms:
            if isinstance(term, Term):
                terms.setdefault((term.matrix, term.columns), []).append((term, power))
            else:
                dense.append(replace(term, values=kmul(term.values, power.array())))
    merged = []
    for (matrix, name), parts in terms.items():
        start = min(term.start for term, _ in parts)
        total = np.zeros((DEGREE, max(term.start + term.length for term, _ in parts) - start), np.uint32)
        for term, power in parts:
            left, right = mont(power)[:, None], vectors.from_plain(term.left)
            if term.right is not None:
                left, right = vectors.scale(right, mont(power)), vectors.from_plain(term.right)
            at, (whole, rest) = term.start - start, divmod(term.length, right.shape[1])
            vectors.add_outer(total, at, left[:, :whole], right)
            if rest:
                last = left[:, whole : whole + 1], right[:, :rest]
                vectors.add_outer(total, at + whole * right.shape[1], *last)
        merged.append(_Merged(matrix, name, start, total))
    return merged, [*dense, pad_coefficients(layout, claims, powers)]


def _reduction(
    merged: Sequence[_Merged], dense: Sequence[Dense], columns: Columns, matrices: dict[str, OpenedMatrix]
) -> PairsOracle:
    """The pairs (aᵀU, b): one per matrix and column vector, one per dense row."""
    left: list[U32] = []
    right: list[U32] = []
    for term in dense:
        rows = matrices[term.matrix].rows(term.start, len(term.choice))
        table = np.zeros((DEGREE, *rows.shape), np.uint32)
        table[0] = to_mont(rows)
        left.append(table)
        right.append(k_to_mont(term.values)[:, term.choice])
    for part in merged:
        left.append(matrices[part.matrix].vecmat(part.start, part.a)[:, None, :])
        right.append(k_to_mont(columns.vectors[part.columns])[:, None, :])
    return PairsOracle(np.concatenate(left, axis=1), np.concatenate(right, axis=1))


def _functional(
    geometry: OpeningGeometry,
    merged: Sequence[_Merged],
    dense: Sequence[Dense],
    columns: Columns,
    eq_rho: Array,
) -> U32:
    """a*, the twin of `huref.circuits.argument.opening.row_functional`: (5, length) Montgomery."""
    out = np.zeros((DEGREE, geometry.length), np.uint32)
    base = {"W": 0, "A": geometry.weights.k_prime}
    for part in merged:
        at = k_to_mont(kdot(columns.vectors[part.columns], eq_rho)[None])
        vectors.add_outer(out, base[part.matrix] + part.start, at, part.a)
    for term in dense:
        folded = vectors.from_plain(dense_fold(term.values, term.choice, eq_rho))
        vectors.add_outer(out, base[term.matrix] + term.start, UNIT[:, None], folded)
    return out


def _level_one(
    channel: ProverChannel,
    geometry: OpeningGeometry,
    weights: Committed,
    weights_mask: Committed,
    proof: Committed,
) -> list[int]:
    code, own = geometry.weights, geometry.proof
    at_w = channel.transcript.challenge_positions("opening.weights", code.queries, code.domain.n)
    at_a = channel.transcript.challenge_positions("opening.proof", own.queries, own.domain.n)
    _open(channel, "opening.weights", weights, at_w)
    _open(channel, "opening.mask", weights_mask, at_w)
    _open(channel, "opening.proof", proof, at_a)
    return [int(x) for x in code.domain.points(at_w)] + [int(x) for x in own.domain.points(at_a)]


def _open(channel: ProverChannel, label: str, committed: Committed, at: NDArray[np.int64]) -> None:
    opening = committed.open(at.tolist())
    channel.send(f"{label}.leaves", encode_f(opening.values))
    channel.send(f"{label}.salts", opening.salts.tobytes())
    channel.send(f"{label}.path", b"".join(opening.nodes))


def _second(
    geometry: OpeningGeometry, functional: U32, y: Ints, points: Sequence[int], deltas: Array
) -> PairsOracle:
    """Pairs of the second sumcheck: (row of y', row of a*) for every row, (Σ_r x^(r·w2)·row, x^c) per query.

    y is canonical (n, 5), `functional` Montgomery (5, n).
    """
    w2 = geometry.w2
    left = [vectors.from_plain(y).reshape(DEGREE, -1, w2)]
    right = [functional.reshape(DEGREE, -1, w2)]
    cut = geometry.weights.k_prime
    first = geometry.weights.queries
    for part, wanted in ((y[:cut], slice(0, first)), (y[cut:], slice(first, len(points)))):
        x = np.array(points[wanted], np.uint64)
        across = vandermonde(x, w2)
        rows = part.reshape(-1, w2 * DEGREE).astype(np.uint32, copy=False)
        sums = evaluate_integers([rows], fmul(across[:, -1], x)).reshape(-1, w2, DEGREE)
        weighted = kscale(deltas[wanted][:, None, :], across)
        left.append(np.moveaxis(to_mont(sums), 2, 0))
        right.append(np.moveaxis(to_mont(weighted), 2, 0))
    return PairsOracle(np.concatenate(left, axis=1), np.concatenate(right, axis=1))
