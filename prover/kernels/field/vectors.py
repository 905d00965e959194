"""Element-wise operations and inner products on K vectors: (5, n) uint32 Montgomery limbs.

Arguments are made contiguous when they are not (a copy); results are fresh arrays unless `out` is given,
which may be one of the operands. Twins: the functions of the same meaning in `huref.common.algebra.field`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from huref.common.algebra.field import DEGREE
from huref.prover.kernels.field.field import ONE, ONE_SQUARED, P64, U32, check_k, kmul, madd, mmul, msub
from huref.prover.kernels.field.limbs import (
    broadcast5,
    broadcast_column,
    load5,
    store5,
    vkadd5,
    vkmul5,
    vksub5,
)
from huref.prover.kernels.field.simd import LANES, vadd, vload, vmul, vstore, vsub
from huref.prover.kernels.jit import bare_helper, frozen, kernel
from huref.prover.kernels.threads import run_ranges

_GRAIN = 1 << 14


@kernel
def _add(out: Any, a: Any, b: Any, start: int, stop: int) -> None:
    whole = start + (stop - start) // LANES * LANES
    for i in range(start, whole, LANES):
        vstore(out, i, vadd(vload(a, i), vload(b, i)))
    for i in range(whole, stop):
        out[i] = madd(a[i], b[i])


@kernel
def _sub(out: Any, a: Any, b: Any, start: int, stop: int) -> None:
    whole = start + (stop - start) // LANES * LANES
    for i in range(start, whole, LANES):
        vstore(out, i, vsub(vload(a, i), vload(b, i)))
    for i in range(whole, stop):
        out[i] = msub(a[i], b[i])


@bare_helper
def _kmul_at(a: Any, i: int, b: Any, j: int) -> Any:
    return kmul(a[0, i], a[1, i], a[2, i], a[3, i], a[4, i], b[0, j], b[1, j], b[2, j], b[3, j], b[4, j])


@kernel
def _mul(out: Any, a: Any, b: Any, start: int, stop: int) -> None:
    whole = start + (stop - start) // LANES * LANES
    for i in range(start, whole, LANES):
        store5(out, i, vkmul5(load5(a, i), load5(b, i)))
    for i in range(whole, stop):
        product = _kmul_at(a, i, b, i)
        for limb in range(DEGREE):
            out[limb, i] = product[limb]


@kernel
def _scale_add(out: Any, at: int, s: Any, b: Any, add: bool, start: int, stop: int) -> None:
    """s * b to entry `at` of out and on, added if `add`."""
    whole = start + (stop - start) // LANES * LANES
    wide = broadcast5(s)
    for i in range(start, whole, LANES):
        x = vkmul5(wide, load5(b, i))
        store5(out, at + i, vkadd5(x, load5(out, at + i)) if add else x)
    for i in range(whole, stop):
        product = kmul(s[0], s[1], s[2], s[3], s[4], b[0, i], b[1, i], b[2, i], b[3, i], b[4, i])
        for limb in range(DEGREE):
            out[limb, at + i] = madd(product[limb], out[limb, at + i]) if add else product[limb]


@kernel
def _lerp(out: Any, low: Any, high: Any, offset: int, r: Any, start: int, stop: int) -> None:
    whole = start + (stop - start) // LANES * LANES
    wide = broadcast5(r)
    for i in range(start, whole, LANES):
        x = load5(low, i)
        store5(out, i, vkadd5(x, vkmul5(wide, vksub5(load5(high, offset + i), x))))
    for i in range(whole, stop):
        product = kmul(
            r[0], r[1], r[2], r[3], r[4],
            msub(high[0, offset + i], low[0, i]), msub(high[1, offset + i], low[1, i]),
            msub(high[2, offset + i], low[2, i]), msub(high[3, offset + i], low[3, i]),
            msub(high[4, offset + i], low[4, i]),
        )  # fmt: skip
        for limb in range(DEGREE):
            out[limb, i] = madd(low[limb, i], product[limb])


@kernel
def _dot(a: Any, b: Any, start: int, stop: int) -> Any:
    lanes = np.zeros((DEGREE, LANES), dtype=np.uint32)
    whole = start + (stop - start) // LANES * LANES
    total = load5(lanes, 0)
    for i in range(start, whole, LANES):
        total = vkadd5(total, vkmul5(load5(a, i), load5(b, i)))
    store5(lanes, 0, total)
    for i in range(whole, stop):
        product = _kmul_at(a, i, b, i)
        for limb in range(DEGREE):
            lanes[limb, 0] = madd(lanes[limb, 0], product[limb])
    return lanes


@kernel
def _dot_halves(a: Any, b: Any, half: int, start: int, stop: int) -> Any:
    """Lanes of Σ low·low and Σ step·step of two tables' halves, (2, 5, 8): entries past the end are zero; all sizes are
    multiples of eight.
    """
    lanes = np.zeros((2, DEGREE, LANES), dtype=np.uint32)
    zero, infinite = load5(lanes[0], 0), load5(lanes[1], 0)
    last = min(stop, a.shape[1] - half)
    for i in range(start, last, LANES):
        x, y = load5(a, i), load5(b, i)
        zero = vkadd5(zero, vkmul5(x, y))
        infinite = vkadd5(infinite, vkmul5(vksub5(load5(a, half + i), x), vksub5(load5(b, half + i), y)))
    for i in range(max(start, last), stop, LANES):
        product = vkmul5(load5(a, i), load5(b, i))
        zero, infinite = vkadd5(zero, product), vkadd5(infinite, product)
    store5(lanes[0], 0, zero)
    store5(lanes[1], 0, infinite)
    return lanes


@kernel
def _mul_base(out: Any, a: Any, f: Any, start: int, stop: int) -> None:
    whole = start + (stop - start) // LANES * LANES
    n = a.shape[1]
    for limb in range(DEGREE):
        for i in range(start, whole, LANES):
            vstore(out, limb * n + i, vmul(vload(a, limb * n + i), vload(f, i)))
        for i in range(whole, stop):
            out[limb, i] = mmul(a[limb, i], f[i])


@kernel
def _from_plain(out: Any, values: Any, start: int, stop: int) -> None:
    for i in range(start, stop):
        for limb in range(DEGREE):
            out[limb, i] = mmul(np.uint32(values[i, limb]), ONE_SQUARED)


@kernel
def _to_plain(out: Any, a: Any, start: int, stop: int) -> None:
    for i in range(start, stop):
        for limb in range(DEGREE):
            out[i, limb] = mmul(a[limb, i], np.uint32(1))


@kernel
def _add_outer(out: Any, at: int, left: Any, right: Any, start: int, stop: int) -> None:
    count = right.shape[1]
    whole = count // LANES * LANES
    for i in range(start, stop):
        wide, to = broadcast_column(left, i), at + i * count
        for j in range(0, whole, LANES):
            store5(out, to + j, vkadd5(load5(out, to + j), vkmul5(wide, load5(right, j))))
        for j in range(whole, count):
            product = _kmul_at(left, i, right, j)
            for limb in range(DEGREE):
                out[limb, to + j] = madd(out[limb, to + j], product[limb])


def _ready(a: U32) -> U32:
    check_k(a)
    return np.ascontiguousarray(a)


def _pair(a: U32, b: U32, out: U32 | None) -> tuple[U32, U32, U32]:
    left, right = _ready(a), _ready(b)
    target = np.empty_like(left) if out is None else out
    if not (left.shape == right.shape == target.shape) or not target.flags.c_contiguous:
        raise ValueError(f"K vectors differ in shape: {left.shape}, {right.shape}, {target.shape}")
    return left, right, target


def _scalar(s: U32) -> U32:
    return np.ascontiguousarray(s, dtype=np.uint32).reshape(DEGREE)


def add(a: U32, b: U32, out: U32 | None = None) -> U32:
    """a + b, entry-wise."""
    left, right, target = _pair(a, b, out)
    run_ranges(_add, target.size, 4 * _GRAIN, target.reshape(-1), left.reshape(-1), right.reshape(-1))
    return target


def sub(a: U32, b: U32, out: U32 | None = None) -> U32:
    """a - b, entry-wise."""
    left, right, target = _pair(a, b, out)
    run_ranges(_sub, target.size, 4 * _GRAIN, target.reshape(-1), left.reshape(-1), right.reshape(-1))
    return target


def mul(a: U32, b: U32, out: U32 | None = None) -> U32:
    """a * b, entry-wise."""
    left, right, target = _pair(a, b, out)
    run_ranges(_mul, target.shape[1], _GRAIN, target, left, right)
    return target


def scale(a: U32, s: U32, out: U32 | None = None) -> U32:
    """s * a for one element s of shape (5,)."""
    left, _, target = _pair(a, a, out)
    run_ranges(_scale_add, target.shape[1], _GRAIN, target, 0, _scalar(s), left, False)
    return target


def fma(a: U32, s: U32, b: U32) -> U32:
    """a + s * b for one element s of shape (5,)."""
    target = np.array(a, order="C")
    add_outer(target, 0, _scalar(s)[:, None], b)
    return target


def lerp(low: U32, high: U32, r: U32, out: U32 | None = None) -> U32:
    """low + r * (high - low) for one element r of shape (5,)."""
    left, right, target = _pair(low, high, out)
    run_ranges(_lerp, target.shape[1], _GRAIN, target, left, right, 0, _scalar(r))
    return target


def fold(table: U32, r: U32, half: int | None = None) -> U32:
    """`lerp` of the two halves of a (5, n) table: binds the variable of the highest index bit to r. Where `half` is
    given, entries from n to 2·half are zero.
    """
    whole = _ready(table)
    n = whole.shape[1]
    half = n // 2 if half is None and n % 2 == 0 else half
    if half is None or not half <= n <= 2 * half:
        raise ValueError(f"cannot fold a table of length {n}")
    target = np.empty((DEGREE, half), dtype=np.uint32)
    run_ranges(_lerp, n - half, _GRAIN, target, whole, whole, half, _scalar(r))
    if n < 2 * half:
        rest = _scalar(sub(_one()[:, None], _scalar(r)[:, None]))
        run_ranges(_scale_add, 2 * half - n, _GRAIN, target, 0, rest, whole, False, first=n - half)
    return target


def _one() -> U32:
    one = np.zeros(DEGREE, np.uint32)
    one[0] = ONE
    return one


def halves(a: U32, b: U32, half: int) -> tuple[U32, U32]:
    """Σ low·low and Σ (high - low)·(high - low) of two (5, n) tables' halves, entries from n to 2·half zero."""
    left, right = _ready(a), _ready(b)
    n = left.shape[1]
    if left.shape != right.shape or not half <= n <= 2 * half:
        raise ValueError(f"K vectors {left.shape} and {right.shape} do not have halves of {half}")
    if half % LANES == n % LANES == 0:
        zero, infinite = np.concatenate(run_ranges(_dot_halves, half, _GRAIN, left, right, half), axis=2)
        return total(zero), total(infinite)
    low, high = ([x[:, at : at + half] for x in (left, right)] for at in (0, half))
    padded = [np.pad(x, ((0, 0), (0, 2 * half - n))) for x in high]
    return dot(*low), dot(*(sub(y, x) for x, y in zip(low, padded, strict=True)))


def mul_base(a: U32, f: U32, out: U32 | None = None) -> U32:
    """a * f for a Montgomery F vector f of shape (n,)."""
    left, _, target = _pair(a, a, out)
    factors = np.ascontiguousarray(f)
    if factors.shape != (left.shape[1],) or factors.dtype != np.uint32:
        raise ValueError(f"expected {left.shape[1]} uint32 factors, got {factors.shape} {factors.dtype}")
    run_ranges(_mul_base, left.shape[1], _GRAIN, target, left, factors)
    return target


def from_plain(values: npt.NDArray[Any]) -> U32:
    """Canonical residues (n, 5), uint32 or uint64, as a K vector (5, n): `k_to_mont` for long ones."""
    out = np.empty((DEGREE, len(values)), dtype=np.uint32)
    run_ranges(_from_plain, len(values), _GRAIN, out, frozen(np.ascontiguousarray(values)))
    return out


def to_plain(a: U32) -> U32:
    """Canonical residues (n, 5) of a K vector: `k_from_mont` for long ones, in 32 bits."""
    vector = _ready(a)
    out = np.empty((vector.shape[1], DEGREE), dtype=np.uint32)
    run_ranges(_to_plain, len(out), _GRAIN, out, vector)
    return out


def add_outer(out: U32, at: int, left: U32, right: U32) -> None:
    """Add left_i * right_j to entry at + i * len(right) + j of `out` for all i, j."""
    a, b = _ready(left), _ready(right)
    check_k(out)
    if not out.flags.c_contiguous or at < 0 or at + a.shape[1] * b.shape[1] > out.shape[1]:
        raise ValueError(f"{a.shape[1]} x {b.shape[1]} products do not fit {out.shape} from {at} on")
    if a.shape[1] == 1:
        run_ranges(_scale_add, b.shape[1], _GRAIN, out, at, _scalar(a), b, True)
        return
    run_ranges(_add_outer, a.shape[1], max(1, _GRAIN // max(1, b.shape[1])), out, at, a, b, align=1)


def total(a: U32) -> U32:
    """The sum of all n entries, shape (5,)."""
    check_k(a)
    return (a.sum(axis=1, dtype=np.uint64) % P64).astype(np.uint32)


def dot(a: U32, b: U32) -> U32:
    """The inner product sum_i a_i b_i, shape (5,)."""
    left, right = _ready(a), _ready(b)
    if left.shape != right.shape:
        raise ValueError(f"K vectors differ in shape: {left.shape}, {right.shape}")
    lanes = run_ranges(_dot, left.shape[1], _GRAIN, left, right)
    return total(np.concatenate(lanes, axis=1))
