"""What prover and verifier of the opening both compute from public data (protocol §7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuits.functional import Array, Claim, Columns, Functional, Term
from circuits.layout import Layout
from common.field import DEGREE, P, fadd, fmul, kdot, kmatvec, kmul, kzero
from common.hidden import Form
from common.kscalar import KS
from common.multilinear import eq_table
from common.params import OpeningGeometry


def mask_claim(layout: Layout, columns: Columns, index: int, point: list[KS], value: KS) -> Claim:
    """Σ_col R(col)·eq(point, col) = value for mask row `index`, whose limbs are five rows of A (§7.1)."""
    functional = Functional(columns)
    limbs = np.eye(DEGREE, dtype=np.uint64)
    name = columns.add(f"mask{index}", eq_table(point))
    functional.rows("A", layout.mask_start + DEGREE * index, limbs, name)
    return Claim(f"opening.mask{index}", functional, Form.public(value))


def pad_coefficients(layout: Layout, claims: Sequence[Claim], weights: Sequence[KS]) -> Array:
    """−Σ weight·(pad coefficients of the claims' values) on the limbs in A's pad rows, (rows, w, 5)."""
    pads: dict[int, KS] = {}
    for weight, claim in zip(weights, claims, strict=True):
        for pad, coefficient in claim.value.pads.items():
            pads[pad] = pads.get(pad, KS(0)) - weight * coefficient
    rows = layout.mask_start - layout.pad_start
    flat = kzero((rows * layout.w,))
    if pads:
        index = np.fromiter(pads.keys(), np.int64, len(pads))
        value = np.array([tuple(v) for v in pads.values()], np.uint64)
        for limb in range(DEGREE):
            flat[DEGREE * index + limb] = value
            value = np.roll(value, 1, axis=1)  # times X
            value[:, 0] = value[:, 0] * np.uint64(2) % np.uint64(P)
    return flat.reshape(rows, layout.w, DEGREE)


def dense_fold(coefficients: Array, eq_rho: Array) -> Array:
    """Σ_col coefficients[i, col]·eq_rho[col], shape (rows, 5)."""
    out = kzero((len(coefficients),))
    for limb in range(DEGREE):
        part = kmatvec(np.ascontiguousarray(coefficients[:, :, limb]), eq_rho)
        shift = np.zeros(DEGREE, np.uint64)
        shift[limb] = 1
        out = fadd(out, kmul(part, shift))
    return out


def row_functional(
    layout: Layout,
    geometry: OpeningGeometry,
    claims: Sequence[Claim],
    weights: Sequence[KS],
    columns: Columns,
    eq_rho: Array,
) -> Array:
    """a*: what the reduced claim asks of (y_W ‖ y_A), shape (length, 5)."""
    out = kzero((geometry.length,))
    base = {"W": 0, "A": geometry.weights.k_prime}
    at = {name: KS.from_array(kdot(vector, eq_rho)) for name, vector in columns.vectors.items()}
    for weight, claim in zip(weights, claims, strict=True):
        for term in claim.functional.terms:
            start = base[term.matrix] + term.start
            if isinstance(term, Term):
                part = kmul(term.a, (weight * at[term.columns]).array())
            else:
                part = kmul(dense_fold(term.coefficients, eq_rho), weight.array())
            out[start : start + len(part)] = fadd(out[start : start + len(part)], part)
    start = base["A"] + layout.pad_start
    part = dense_fold(pad_coefficients(layout, claims, weights), eq_rho)
    out[start : start + len(part)] = fadd(out[start : start + len(part)], part)
    return out


def vandermonde(points: Array, count: int) -> Array:
    """Powers 0 … count − 1 of each point, shape (len(points), count)."""
    out = np.ones((len(points), count), np.uint64)
    filled, step = 1, points
    while filled < count:
        take = min(filled, count - filled)
        out[:, filled : filled + take] = fmul(out[:, :take], step[:, None])
        filled, step = filled + take, fmul(step, step)
    return out
