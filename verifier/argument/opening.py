"""The batched opening: all linear claims on both matrices at once (protocol §7).

Notation: U is W or A, y = U·eq(ρ) for both one after the other. A level after the first commits to the vector y of
the one before, and to R, R' and random rows under it, as rows Y of w elements of K, and leaves y = Y·eq(ρ). The
last vector is sent masked. The order of messages is the order of the functions below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.folded import Cell, LevelFunctional, Powers, Rows
from huref.circuits.argument.functional import Array, Claim, Columns
from huref.circuits.argument.opening import Rowed, mask_claim, vandermonde
from huref.common.algebra.field import DEGREE, decode_f, fadd, kdot, kfold, kmatvec, kmul, kpowers
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_point, eq_table, log2_ceil
from huref.common.argument.merkle import (
    DIGEST_BYTES,
    SALT_BYTES,
    leaf_digests,
    proof_length,
    verify_multiproof,
)
from huref.common.errors import Rejected
from huref.common.params import LEVEL_MASK_ROWS, CodeGeometry, Knobs, LevelGeometry, OpeningGeometry
from huref.verifier.argument.channel import VerifierChannel


@dataclass(frozen=True)
class Roots:
    """Roots of the two trees opened at level 1: weights, and per-proof matrix."""

    weights: bytes
    proof: bytes


@dataclass(frozen=True)
class Tree:
    """A code to be queried: `label` of its messages, its root, where its y starts in the level's vector, and the
    bytes of a digest in its tree.
    """

    label: str
    root: bytes
    code: CodeGeometry
    start: int
    digest_bytes: int


def verify_opening(
    channel: VerifierChannel,
    layout: Rowed,
    geometry: OpeningGeometry,
    roots: Roots,
    claims: Sequence[Claim],
    columns: Columns,
    knobs: Knobs,
) -> None:
    """Check every claim against the commitments. Raises `Rejected` with the failing step's path."""
    claims = [*claims, *_mask_claims(channel, layout, columns)]
    gamma = channel.challenge("opening.gamma")
    weights = [gamma**i for i in range(len(claims))]
    target = sum((x * claim.value.const for x, claim in zip(weights, claims, strict=True)), KS(0))
    rho, target = public_rounds(channel, "opening.reduction", target, log2_ceil(layout.w))
    eq_rho, cut = eq_table(rho), geometry.weights.k_prime
    functional = LevelFunctional(Rows(layout, cut, claims, weights, columns, eq_rho))
    trees = [
        Tree("opening.weights", roots.weights, geometry.weights, 0, DIGEST_BYTES),
        Tree("opening.proof", roots.proof, geometry.proof, cut, knobs.digest_bytes),
    ]
    for number, level in enumerate(geometry.levels, 2):
        label = f"opening.level{number}"
        root = channel.take(f"{label}.root", DIGEST_BYTES)
        channel.grind(f"opening.level{number - 1}.grind", knobs.grinding)
        evaluations = _query(channel, trees, eq_rho)
        rho, target = _level(channel, label, level, functional, target, evaluations)
        eq_rho, trees = eq_table(rho), [Tree(label, root, level.code, 0, knobs.digest_bytes)]
    _last(channel, trees[0], functional, target, eq_rho, knobs.grinding)


def public_rounds(channel: VerifierChannel, label: str, claim: KS, rounds: int) -> tuple[list[KS], KS]:
    """Rounds of a quadratic sumcheck whose messages p(0), p(∞) are sent in the clear."""
    point = []
    for _ in range(rounds):
        p0, p_inf = channel.public(f"{label}.round", 2)
        x = channel.challenge(f"{label}.challenge")
        claim = p0 + x * (claim - p0 - p0) + x * (x - 1) * p_inf
        point.append(x)
    return point, claim


def _mask_claims(channel: VerifierChannel, layout: Rowed, columns: Columns) -> list[Claim]:
    points = [channel.point(f"opening.z{i}", log2_ceil(layout.w)) for i in range(2)]
    sums = channel.public("opening.sigma", 2)
    return [mask_claim(layout, columns, i, points[i], sums[i]) for i in range(2)]


def _query(channel: VerifierChannel, trees: Sequence[Tree], eq_rho: Array) -> list[tuple[Tree, Array, Array]]:
    """Open the trees of a level; per tree its code points, and what y's code has there: the leaves times eq(ρ)."""
    positions = [
        channel.transcript.challenge_positions(tree.label, tree.code.queries, tree.code.domain.n)
        for tree in trees
    ]
    found = []
    for tree, at in zip(trees, positions, strict=True):
        leaves = _open(channel, tree, at)
        if tree.code.width == len(eq_rho):
            folded = kmatvec(leaves, eq_rho)
        else:
            folded = kfold(leaves.reshape(len(at), -1, DEGREE), eq_rho)
        found.append((tree, tree.code.domain.points(at), folded))
    return found


def _level(
    channel: VerifierChannel,
    label: str,
    level: LevelGeometry,
    functional: LevelFunctional,
    target: KS,
    evaluations: Sequence[tuple[Tree, Array, Array]],
) -> tuple[list[KS], KS]:
    """One sumcheck for what is claimed of y: `target`, the evaluations, and the level's masks. Returns ρ and c."""
    log_w = log2_ceil(level.w)
    z = [channel.point(f"{label}.z{i}", log_w) for i in range(LEVEL_MASK_ROWS)]
    sums = channel.public(f"{label}.sigma", LEVEL_MASK_ROWS)
    delta = channel.challenge(f"{label}.delta")
    power = KS(1)
    for tree, points, values in evaluations:
        weights = kpowers(delta.array(), len(values) + 1)[1:]
        target += power * KS.from_array(kdot(weights, values))
        functional.add(Powers(tree.start, tree.code.k_prime, points, kmul(weights, power.array())))
        power *= KS.from_array(weights[-1])
    own = []
    for value in sums:
        power = power * delta
        target += power * value
        own.append(power)
    rho, target = public_rounds(channel, label, target, log_w)
    functional.fold(rho)
    first = level.code.rows - LEVEL_MASK_ROWS
    for i, weight in enumerate(own):
        functional.add(Cell(first + i, weight * eq_point(z[i], rho)))
    return rho, target


def _last(
    channel: VerifierChannel,
    tree: Tree,
    functional: LevelFunctional,
    target: KS,
    eq_rho: Array,
    grinding: int,
) -> None:
    """The last vector, masked and in the clear: what is claimed of it, and that it is the one committed."""
    mask_sum = channel.public("opening.mask_sum", 1)[0]
    beta = channel.challenge("opening.beta")
    y = channel.array("opening.y", tree.code.k_prime)
    _require_equal("opening.final", functional.dot(y), mask_sum + beta * target)
    channel.grind(f"{tree.label}.grind", grinding)
    at = channel.transcript.challenge_positions(tree.label, tree.code.queries, tree.code.domain.n)
    leaves = _open(channel, tree, at).reshape(len(at), -1, DEGREE)
    folded = fadd(kmul(kfold(leaves[:, :-1], eq_rho), beta.array()), leaves[:, -1])
    _require_code(f"{tree.label}.code", folded, kmatvec(vandermonde(tree.code.domain.points(at), len(y)), y))


def _open(channel: VerifierChannel, tree: Tree, positions: NDArray[np.int64]) -> Array:
    """Read leaves of a code at `positions` and check them against its root; shape (t, width)."""
    label, n, width = tree.label, tree.code.domain.n, tree.code.width
    t, indices = len(positions), positions.tolist()
    values = decode_f(channel.take(f"{label}.leaves", 4 * t * width), t * width).reshape(t, width)
    salts = np.frombuffer(channel.take(f"{label}.salts", SALT_BYTES * t), np.uint8).reshape(t, SALT_BYTES)
    count = proof_length(n, indices)
    size = tree.digest_bytes
    data = channel.take(f"{label}.path", size * count)
    nodes = [data[i * size : (i + 1) * size] for i in range(count)]
    digests = leaf_digests(indices, salts, values)
    verify_multiproof(tree.root, n, indices, digests, nodes, path=label, digest_bytes=size)
    return values


def _require_equal(path: str, got: KS, expected: KS) -> None:
    if got != expected:
        raise Rejected(path, "the combined claim does not hold", expected=expected, got=got)


def _require_code(path: str, got: Array, expected: Array) -> None:
    if not np.array_equal(got, expected):
        raise Rejected(path, "a folded leaf is not the encoding of the last vector")
