"""The prover of the batched opening; twin of `verifier.opening`, same notation and order (protocol §7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.functional import Array, Claim, Columns, Dense, Term
from circuits.layout import Layout
from circuits.opening import mask_claim, pad_coefficients, row_functional, vandermonde
from common.field import DEGREE, encode_f, fadd, fdot, fmul, kdot, kmul, kpowers, kscale, kzero
from common.kscalar import KS
from common.multilinear import eq_table, log2_ceil
from common.params import OpeningGeometry
from prover.channel import ProverChannel
from prover.committed import Committed, commit
from prover.kernels import vectors
from prover.kernels.field import U32, k_from_mont, k_to_mont, to_mont
from prover.kernels.small import small_matvec, small_vecmat
from prover.lookup_tree import mont, scalar
from prover.matrix import StackedMatrix
from prover.randomness import SecretSeed

Ints = NDArray[Any]


@dataclass(frozen=True)
class OpenedMatrix:
    """One committed matrix: row segments (data, then random), its tree, and its mask g (k', 5)."""

    segments: tuple[Ints, ...]
    committed: Committed
    mask: Array

    def vecmat(self, start: int, vector: Array) -> U32:
        """vectorᵀ·U[start : start + n], (5, w)."""
        total = np.zeros((DEGREE, self.segments[0].shape[1]), np.uint32)
        row = 0
        for segment in self.segments:
            low, high = max(start, row), min(start + len(vector), row + len(segment))
            if low < high:
                part = k_to_mont(vector[low - start : high - start])
                total = vectors.add(total, small_vecmat(part, segment[low - row : high - row]))
            row += len(segment)
        return total

    def matvec(self, vector: U32) -> Array:
        """U·vector for a Montgomery K vector (5, w), canonical (rows, 5)."""
        return np.concatenate([k_from_mont(small_matvec(segment, vector)) for segment in self.segments])

    def rows(self, start: int, count: int) -> Array:
        """Rows start … start + count − 1 as canonical residues; they must lie in one segment's span."""
        parts, row = [], 0
        for segment in self.segments:
            low, high = max(start, row), min(start + count, row + len(segment))
            if low < high:
                parts.append(np.mod(segment[low - row : high - row].astype(np.int64), 2013265921))
            row += len(segment)
        return np.concatenate(parts).astype(np.uint64)


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
    oracle = _reduction(layout, claims, powers, columns, matrices)
    rho = public_rounds(channel, "opening.reduction", oracle, log2_ceil(layout.w))
    eq_rho = eq_table(rho)
    functional = row_functional(layout, geometry, claims, powers, columns, eq_rho)
    mask = np.concatenate([weights.mask, proof.mask])
    mask_sum = KS.from_array(kdot(mask, functional))
    channel.public("opening.mask_sum", [mask_sum])
    beta = channel.challenge("opening.beta")
    eq_mont = k_to_mont(eq_rho)
    y = np.concatenate([weights.matvec(eq_mont), proof.matvec(eq_mont)])
    y = fadd(kmul(y, beta.array()), mask)
    if geometry.second is None:
        channel.array("opening.y", y)
    else:
        by_row = y.reshape(-1, DEGREE * geometry.w2).astype(np.uint32)
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


def _reduction(
    layout: Layout,
    claims: Sequence[Claim],
    powers: Sequence[KS],
    columns: Columns,
    matrices: dict[str, OpenedMatrix],
) -> PairsOracle:
    """The pairs (aᵀU, b) of the merged claims: one per matrix and column vector, one per dense row."""
    merged: dict[tuple[str, str], list[tuple[int, Array]]] = {}
    left: list[U32] = []
    right: list[U32] = []

    def dense(term: Dense, power: KS) -> None:
        rows = matrices[term.matrix].rows(term.start, len(term.choice))
        table = np.zeros((DEGREE, *rows.shape), np.uint32)
        table[0] = to_mont(rows)
        left.append(table)
        right.append(k_to_mont(kmul(term.values, power.array()))[:, term.choice])

    for power, claim in zip(powers, claims, strict=True):
        for term in claim.functional.terms:
            if isinstance(term, Term):
                part = (term.start, term.scaled(power))
                merged.setdefault((term.matrix, term.columns), []).append(part)
            else:
                dense(term, power)
    for (matrix, name), parts in merged.items():
        start = min(at for at, _ in parts)
        stop = max(at + len(a) for at, a in parts)
        total = kzero((stop - start,))
        for at, a in parts:
            total[at - start : at - start + len(a)] = fadd(total[at - start : at - start + len(a)], a)
        left.append(matrices[matrix].vecmat(start, total)[:, None, :])
        right.append(k_to_mont(columns.vectors[name])[:, None, :])
    dense(pad_coefficients(layout, claims, powers), KS(1))
    return PairsOracle(np.concatenate(left, axis=1), np.concatenate(right, axis=1))


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
    geometry: OpeningGeometry, functional: Array, y: Array, points: Sequence[int], deltas: Array
) -> PairsOracle:
    """Pairs of the second sumcheck: (row of y', row of a*) for every row, (Σ_r x^(r·w2)·row, x^c) per query."""
    w2 = geometry.w2
    left = [np.moveaxis(to_mont(y).reshape(-1, w2, DEGREE), 2, 0)]
    right = [np.moveaxis(to_mont(functional).reshape(-1, w2, DEGREE), 2, 0)]
    cut = geometry.weights.k_prime
    first = geometry.weights.queries
    for part, wanted in ((y[:cut], slice(0, first)), (y[cut:], slice(first, len(points)))):
        x = np.array(points[wanted], np.uint64)
        across = vandermonde(x, w2)
        steps = vandermonde(fmul(across[:, -1], x), len(part) // w2)
        sums = fdot(steps, part.reshape(-1, w2 * DEGREE)).reshape(-1, w2, DEGREE)
        weighted = kscale(deltas[wanted][:, None, :], across)
        left.append(np.moveaxis(to_mont(sums), 2, 0))
        right.append(np.moveaxis(to_mont(weighted), 2, 0))
    return PairsOracle(
        np.ascontiguousarray(np.concatenate(left, axis=1)),
        np.ascontiguousarray(np.concatenate(right, axis=1)),
    )
