"""Multilinear extensions over K: tables of eq(point, ·) and small closed forms.

Points are lists of scalars, the first coordinate belonging to the most significant index bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from huref.common.algebra.field import DEGREE, fmul, kadd, kmul, kone, kscale, ksub
from huref.common.algebra.kscalar import KS

Array = NDArray[np.uint64]


def eq_table(point: Sequence[KS]) -> Array:
    """eq(point, x) for every x, shape (2^n, 5), x's top bit first."""
    table = kone((1,))
    for coordinate in point:
        high = kmul(table, coordinate.array())
        table = np.stack([ksub(table, high), high], axis=1).reshape(-1, DEGREE)
    return table


def eq_index(point: Sequence[KS], index: int) -> KS:
    """eq(point, index) for one index below 2^n."""
    value = KS(1)
    for position, coordinate in enumerate(point):
        bit = index >> (len(point) - 1 - position) & 1
        value = value * (coordinate if bit else 1 - coordinate)
    return value


def eq_point(left: Sequence[KS], right: Sequence[KS]) -> KS:
    """eq(left, right) of two points. ValueError if they differ in length."""
    value = KS(1)
    for a, b in zip(left, right, strict=True):
        product = a * b
        value = value * (1 - a - b + product + product)
    return value


def prefix_sums(point: Sequence[KS], count: int) -> tuple[KS, KS]:
    """Σ eq(point, e) and Σ eq(point, e)·e over e < count, for count ≤ 2^n, in O(n).

    The range splits into one aligned block per set bit of `count`; inside a block Σ eq·bit is the coordinate.
    """
    size = len(point)
    if count >> size:
        below = sum((x * (1 << (size - 1 - i)) for i, x in enumerate(point)), KS(0))
        return KS(1), below
    tails = [KS(0)]  # Σ_{j<i} 2^j·r_j over the i last coordinates
    for i in range(size):
        tails.append(tails[-1] + point[size - 1 - i] * (1 << i))
    mass, moment, prefix, start = KS(0), KS(0), KS(1), 0
    for position, coordinate in enumerate(point):
        bit = size - 1 - position
        if count >> bit & 1:
            block = prefix * (1 - coordinate)
            mass += block
            moment += block * (tails[bit] + start)
            prefix, start = prefix * coordinate, start + (1 << bit)
        else:
            prefix = prefix * (1 - coordinate)
    return mass, moment


def power_folds(point: Sequence[KS], bases: Array) -> Array:
    """Σ_x eq(point, x)·base^x = Π (1 − r + r·base^(2^i)) of bases in F (m,), shape (m, 5), in O(n)."""
    values, powers = kone(bases.shape), bases
    for coordinate in reversed(point):
        own = kscale(np.broadcast_to(coordinate.array(), values.shape), powers)
        values = kmul(values, kadd(own, (1 - coordinate).array()))
        powers = fmul(powers, powers)
    return values


def log2_ceil(count: int) -> int:
    """Smallest n with 2^n ≥ count."""
    return max(0, (count - 1).bit_length())
