"""The batched opening: all linear claims on both matrices at once (protocol §7).

Notation: U is W or A; y = U·eq(ρ); y' = mask + β·y, uniform, for both matrices one after the other; a* the
row functional that the reduction leaves. The order of messages is the order of the functions below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Array, Claim, Columns
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.opening import mask_claim, row_functional, vandermonde
from huref.common.algebra.field import DEGREE, P, decode_f, fadd, kdot, kfold, kmatvec, kmul
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil, power_fold
from huref.common.argument.merkle import (
    DIGEST_BYTES,
    SALT_BYTES,
    leaf_digests,
    proof_length,
    verify_multiproof,
)
from huref.common.errors import Rejected
from huref.common.params import CodeGeometry, OpeningGeometry
from huref.verifier.argument.channel import VerifierChannel


@dataclass(frozen=True)
class Roots:
    """Roots of the three trees opened at level 1: weights, weights' mask, per-proof matrix."""

    weights: bytes
    mask: bytes
    proof: bytes


def verify_opening(
    channel: VerifierChannel,
    layout: Layout,
    geometry: OpeningGeometry,
    roots: Roots,
    claims: Sequence[Claim],
    columns: Columns,
    grinding: int,
) -> None:
    """Check every claim against the commitments. Raises `Rejected` with the failing step's path."""
    claims = [*claims, *_mask_claims(channel, layout, columns)]
    gamma = channel.challenge("opening.gamma")
    weights = [gamma**i for i in range(len(claims))]
    target = sum((x * claim.value.const for x, claim in zip(weights, claims, strict=True)), KS(0))
    rho, reduced = public_rounds(channel, "opening.reduction", target, log2_ceil(layout.w))
    eq_rho = eq_table(rho)
    functional = row_functional(layout, geometry, claims, weights, columns, eq_rho)
    mask_sum = channel.public("opening.mask_sum", 1)[0]
    beta = channel.challenge("opening.beta")
    target = mask_sum + beta * reduced
    if geometry.second is None:
        y = channel.array("opening.y", geometry.length)
        second_root = b""
    else:
        second_root = channel.take("opening.root", DIGEST_BYTES)
    channel.grind("opening.grind", grinding)
    points, values = _level_one(channel, geometry, roots, eq_rho, beta)
    delta = channel.challenge("opening.delta")
    deltas = [delta ** (1 + i) for i in range(len(values))]
    target = target + sum((d * value for d, value in zip(deltas, values, strict=True)), KS(0))
    if geometry.second is None:
        total = KS.from_array(kdot(functional, y))
        total += _power_sums(y, geometry, points, deltas, [KS(1)] * len(points), 1)
        _require_equal("opening.final", total, target)
        return
    rho2, reduced = public_rounds(channel, "opening.second", target, log2_ceil(geometry.w2))
    y = channel.array("opening.y", geometry.second.k_prime)
    eq_rho2 = eq_table(rho2)
    by_row = functional.reshape(-1, geometry.w2, DEGREE)
    folded = kfold(by_row, eq_rho2)
    folds = [power_fold(rho2, int(x)) for x in points]
    total = KS.from_array(kdot(folded, y)) + _power_sums(y, geometry, points, deltas, folds, geometry.w2)
    _require_equal("opening.final", total, reduced)
    channel.grind("opening.second.grind", grinding)
    _level_two(channel, geometry.second, second_root, y, eq_rho2)


def public_rounds(channel: VerifierChannel, label: str, claim: KS, rounds: int) -> tuple[list[KS], KS]:
    """Rounds of a quadratic sumcheck whose messages p(0), p(∞) are sent in the clear."""
    point = []
    for _ in range(rounds):
        p0, p_inf = channel.public(f"{label}.round", 2)
        x = channel.challenge(f"{label}.challenge")
        claim = p0 + x * (claim - p0 - p0) + x * (x - 1) * p_inf
        point.append(x)
    return point, claim


def _mask_claims(channel: VerifierChannel, layout: Layout, columns: Columns) -> list[Claim]:
    points = [channel.point(f"opening.z{i}", log2_ceil(layout.w)) for i in range(2)]
    sums = channel.public("opening.sigma", 2)
    return [mask_claim(layout, columns, i, points[i], sums[i]) for i in range(2)]


def _level_one(
    channel: VerifierChannel, geometry: OpeningGeometry, roots: Roots, eq_rho: Array, beta: KS
) -> tuple[list[int], list[KS]]:
    """Open both matrices; returns the code points (W's then A's) and Enc(y')'s claimed values there."""
    w = geometry.w
    weights, proof = geometry.weights, geometry.proof
    at_w = channel.transcript.challenge_positions("opening.weights", weights.queries, weights.domain.n)
    at_a = channel.transcript.challenge_positions("opening.proof", proof.queries, proof.domain.n)
    leaves_w = _open(channel, "opening.weights", roots.weights, weights, w, at_w)
    mask_w = _open(channel, "opening.mask", roots.mask, weights, DEGREE, at_w)
    leaves_a = _open(channel, "opening.proof", roots.proof, proof, w + DEGREE, at_a)
    values = []
    for leaves, masks in ((leaves_w, mask_w), (leaves_a[:, :w], leaves_a[:, w:])):
        encoded = fadd(kmul(kmatvec(leaves, eq_rho), beta.array()), masks)
        values += KS.list_from_array(encoded)
    points = [int(x) for x in weights.domain.points(at_w)] + [int(x) for x in proof.domain.points(at_a)]
    return points, values


def _open(
    channel: VerifierChannel,
    label: str,
    root: bytes,
    code: CodeGeometry,
    width: int,
    positions: NDArray[np.int64],
) -> Array:
    """Read leaves of a code at `positions` and check them against `root`; shape (t, width)."""
    t, indices = len(positions), positions.tolist()
    values = decode_f(channel.take(f"{label}.leaves", 4 * t * width), t * width).reshape(t, width)
    salts = np.frombuffer(channel.take(f"{label}.salts", SALT_BYTES * t), np.uint8).reshape(t, SALT_BYTES)
    count = proof_length(code.domain.n, indices)
    data = channel.take(f"{label}.path", DIGEST_BYTES * count)
    nodes = [data[i * DIGEST_BYTES : (i + 1) * DIGEST_BYTES] for i in range(count)]
    verify_multiproof(root, code.domain.n, indices, leaf_digests(indices, salts, values), nodes, path=label)
    return values


def _power_sums(
    y: Array,
    geometry: OpeningGeometry,
    points: Sequence[int],
    deltas: Sequence[KS],
    folds: Sequence[KS],
    step: int,
) -> KS:
    """Σ_q δ_q·fold_q·Σ_r y[r]·(x_q^step)^r, W's queries reading y's first part and A's the second."""
    cut = geometry.weights.k_prime // step
    total = KS(0)
    first = geometry.weights.queries
    for part, wanted in ((y[:cut], slice(0, first)), (y[cut:], slice(first, len(points)))):
        base = np.array([pow(x, step, P) for x in points[wanted]], np.uint64)
        evaluations = KS.list_from_array(kmatvec(vandermonde(base, len(part)), part))
        for d, fold, value in zip(deltas[wanted], folds[wanted], evaluations, strict=True):
            total += d * fold * value
    return total


def _level_two(channel: VerifierChannel, code: CodeGeometry, root: bytes, y: Array, eq_rho2: Array) -> None:
    """Queries of the second-level code: its rows folded by eq(ρ2) must be the encoding of y''."""
    at = channel.transcript.challenge_positions("opening.second", code.queries, code.domain.n)
    leaves = _open(channel, "opening.second", root, code, code.width, at)
    by_column = leaves.reshape(len(at), -1, DEGREE)
    folded = kfold(by_column, eq_rho2)
    expected = kmatvec(vandermonde(code.domain.points(at), len(y)), y)
    if not np.array_equal(folded, expected):
        raise Rejected("opening.second.code", "a folded leaf is not the encoding of the sent row")


def _require_equal(path: str, got: KS, expected: KS) -> None:
    if got != expected:
        raise Rejected(path, "the combined claim does not hold", expected=expected, got=got)
