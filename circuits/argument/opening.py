"""What prover and verifier of the opening both compute from public data (protocol §7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Array, Claim, Columns, Dense, Functional
from huref.common.algebra.field import DEGREE, fmul, kfold, kzero
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table
from huref.common.argument.hidden import Form, PadSpace


class Rowed(Protocol):
    """What an opening needs to know of a proof's layout: row width, pads, and where pads and masks lie in A."""

    @property
    def w(self) -> int: ...

    @property
    def pads(self) -> PadSpace: ...

    @property
    def pad_start(self) -> int: ...

    @property
    def mask_start(self) -> int: ...


_ROWS = 1 << 12  # that are folded at once


def mask_claim(layout: Rowed, columns: Columns, index: int, point: list[KS], value: KS) -> Claim:
    """Σ_col R(col)·eq(point, col) = value for mask row `index`, whose limbs are five rows of A (§7.1)."""
    functional = Functional(columns)
    limbs = np.eye(DEGREE, dtype=np.uint64)
    name = columns.add(f"mask{index}", eq_table(point))
    functional.rows("A", layout.mask_start + DEGREE * index, limbs, name)
    return Claim(f"opening.mask{index}", functional, Form.public(value))


def pad_coefficients(layout: Rowed, claims: Sequence[Claim], weights: Sequence[KS]) -> Dense:
    """−Σ weight·(pad coefficients of the claims' values), on the limbs in A's pad rows."""
    pads = [KS(0)] * layout.pads.total
    for weight, claim in zip(weights, claims, strict=True):
        for pad, coefficient in claim.value.pads.items():
            pads[pad] = pads[pad] - weight * coefficient
    limbs = np.array([tuple(value) for value in pads], np.uint64)[:, None, :].repeat(DEGREE, axis=1)
    for limb in range(1, DEGREE):  # limb l of a pad stands for X^l
        limbs[:, limb] = np.roll(limbs[:, limb - 1], 1, axis=1)
        limbs[:, limb, 0] = fmul(limbs[:, limb, 0], np.uint64(2))
    values = np.concatenate([kzero((1,)), limbs.reshape(-1, DEGREE)])
    choice = np.zeros((layout.mask_start - layout.pad_start) * layout.w, np.int32)
    choice[: DEGREE * len(pads)] = 1 + np.arange(DEGREE * len(pads))
    return Dense("A", layout.pad_start, values, choice.reshape(-1, layout.w))


def dense_fold(values: Array, choice: NDArray[np.int32], eq_rho: Array) -> Array:
    """Σ_col values[choice[i, col]]·eq_rho[col], shape (rows, 5)."""
    rows = (kfold(values[choice[top : top + _ROWS]], eq_rho) for top in range(0, len(choice), _ROWS))
    return np.concatenate(list(rows))


def vandermonde(points: Array, count: int) -> Array:
    """Powers 0 … count − 1 of each point, shape (len(points), count)."""
    out = np.ones((len(points), count), np.uint64)
    filled, step = 1, points
    while filled < count:
        take = min(filled, count - filled)
        out[:, filled : filled + take] = fmul(out[:, :take], step[:, None])
        filled, step = filled + take, fmul(step, step)
    return out
