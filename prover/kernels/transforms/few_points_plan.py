"""How values at a few points are computed with the least work: a stride, and the points in groups (protocol §4).

With v = x^M for the stride M, points of a code have few values of v, and these lie in fewer cosets g·⟨ζ⟩ of the
roots of unity of an order D. For v = g·ζ^e

    Σ_j v^j · U_j = Σ_{r < D} ζ^(e·r) · S_r,   S_r = Σ_q g^(r + D·q) · U_(r + D·q),

so that a group needs the integer products of one value of v, and a transform of D sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from huref.common.algebra.field import FArray, P, fmul, fpow, fpowers, root_of_unity
from huref.common.algebra.multilinear import log2_ceil
from huref.common.algebra.ntt import bit_reversal

MOST_TERMS = 400  # of 2^7 · 2^15 at most: their sum stays below p
_ORDERS = (1, 2, 4, 8, 16, 32)
_RESIDUES, _BUTTERFLY, _TWIDDLE, _POINT = 20, 6, 9, 9  # vector operations per 8 columns


@dataclass(frozen=True)
class PointPlan:
    """`stride` M and `order` D; g of every group, an even number of them; points in the order of their slots, and the
    first of every slot. Slot g·D + p is place p of the transform of group g, whose results come in bit-reversed order.
    """

    stride: int
    order: int
    groups: FArray
    points: npt.NDArray[np.int64]
    first_point: npt.NDArray[np.int64]

    def terms(self, rows: int) -> int:
        """Rows of every sum S_r, an even number."""
        return _terms(rows, self.stride * self.order)

    def twiddles(self) -> FArray:
        """ζ^0 … ζ^(D/2 − 1), one at least."""
        return fpowers(root_of_unity(log2_ceil(self.order)), max(1, self.order // 2))


def _even(count: int) -> int:
    """Filled up, for what goes in twos."""
    return count + count % 2


def _terms(rows: int, period: int) -> int:
    return _even(-(-rows // period))


def plan_points(rows: int, points: FArray) -> PointPlan:
    """The plan with the least work for so many rows."""
    found: list[tuple[int, int, int]] = []
    stride = 1
    while not found or stride < 2 * rows:
        for order in _ORDERS:
            groups = _even(len(np.unique(fpow(points, stride * order))))
            terms = _terms(rows, stride * order)
            if terms <= MOST_TERMS and order * terms <= 2 * MOST_TERMS:
                work = 2 * groups * order * terms + groups * _transform_work(order) + _POINT * len(points)
                found.append((work * stride, stride, order))
        stride *= 2
    return _group(points, *min(found)[1:])


def _transform_work(order: int) -> int:
    stages = log2_ceil(order)
    return _RESIDUES * order + order // 2 * stages * (_BUTTERFLY + _TWIDDLE) - _TWIDDLE * (order - 1)


def _group(points: FArray, stride: int, order: int) -> PointPlan:
    v = fpow(points, stride)
    _, first, group = np.unique(fpow(v, order), return_index=True, return_inverse=True)
    groups = v[first]
    ratio = fmul(v, fpow(groups, P - 2)[group])
    roots = fpowers(root_of_unity(log2_ceil(order)), order)
    exponent = (ratio[:, None] == roots).argmax(axis=1)
    slot = group * order + bit_reversal(log2_ceil(order))[exponent]
    if len(groups) % 2:  # they go in twos, the last without points
        groups = np.append(groups, np.uint64(0))
    counts = np.bincount(slot, minlength=len(groups) * order)
    return PointPlan(
        stride, order, groups, np.argsort(slot, kind="stable"), np.concatenate([[0], np.cumsum(counts)])
    )
