"""Transforms of 16 columns at a time on cosets: the compiled twin of `common/ntt.py` (protocol §4).

A batch is a row-major (rows, 16) uint32 buffer of plain canonical residues, one cache line per row, so
every butterfly works on two vectors and the digest of a row reads one line. Twiddles are in Montgomery
form, so products of plain data stay plain.

A coset transform of size N = N1*N2 takes two passes. Pass one, for each i2 in [0, N2): gather the
coefficients i1*N2 + i2, transform of size N1 with the coset's shift s^N2 in its twiddles, multiply row k1
by (s w^k1)^i2 and store it at k1*N2 + i2; neighbouring i2 go together, so that memory is touched in longer
runs. Pass two transforms each run of N2 rows in place: row k1*N2 + reversed(k2) then holds the value at
s * w^(k1 + N1*k2). Both block sizes fit the cache, and the codeword is consumed there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from common.domain import CodeDomain
from common.field import P, fpowers, root_of_unity
from common.ntt import bit_reversal
from prover.kernels.field import ONE, U32, mmul, to_mont
from prover.kernels.simd import vadd, vbroadcast, vload, vmul, vstore, vsub

BATCH = 16
_GROUP = 4  # i2 handled together in pass one: 256 contiguous bytes
_LOCAL_ROWS = 4096  # at most 256 KiB of them at a time


@dataclass(frozen=True)
class Plan:
    """Sizes and twiddles of the transforms of one domain; `shifts` and `first_twiddles` per coset."""

    log1: int
    log2: int
    first_twiddles: U32  # (c, N1): size-N1 coset transforms
    second_twiddles: U32  # (N2,)
    reverse1: np.ndarray
    reverse2: np.ndarray
    shifts: U32  # (c,) Montgomery 31^j
    wraps: U32  # (c,) Montgomery 31^(j*2^a)
    root: np.uint32  # Montgomery primitive N-th root

    @classmethod
    def of(cls, domain: CodeDomain) -> Plan:
        """Plan of a domain; the tables have about c * sqrt(2^a) entries."""
        log1, log2 = (domain.a + 1) // 2, domain.a // 2
        shifts = [domain.shift(j) for j in range(1, domain.c + 1)]
        powers = [pow(s, 1 << log2, P) for s in shifts]
        return cls(
            log1=log1,
            log2=log2,
            first_twiddles=np.stack([_twiddles(log1, s) for s in powers]),
            second_twiddles=_twiddles(log2, 1),
            reverse1=bit_reversal(log1),
            reverse2=bit_reversal(log2),
            shifts=to_mont(np.array(shifts, dtype=np.uint64)),
            wraps=to_mont(np.array([pow(s, domain.subgroup, P) for s in shifts], dtype=np.uint64)),
            root=np.uint32(to_mont(np.array(root_of_unity(domain.a), dtype=np.uint64))),
        )


def _twiddles(log_n: int, shift: int) -> U32:
    """Entry half + j is shift^(n/(2 half)) w^j for the level with `half` butterflies per block."""
    table = np.zeros(max(1, 1 << log_n), dtype=np.uint32)
    for level in range(log_n):
        half = 1 << level
        start = pow(shift, 1 << (log_n - level - 1), P)
        powers = fpowers(root_of_unity(level + 1), half) * np.uint64(start) % np.uint64(P)
        table[half : 2 * half] = to_mont(powers)
    return table


@njit(cache=True)
def _butterflies(x: Any, base: int, log_n: int, twiddles: Any) -> None:
    """In-place transform of the 2^log_n rows from flat element `base` on; bit-reversed in, natural out."""
    n = 1 << log_n
    quarter = 1
    if log_n & 1:
        w = vbroadcast(twiddles[1])
        for row in range(0, n, 2):
            for i in range(base + row * 16, base + row * 16 + 16, 8):
                low, high = vload(x, i), vmul(vload(x, i + 16), w)
                vstore(x, i, vadd(low, high))
                vstore(x, i + 16, vsub(low, high))
        quarter = 2
    while quarter < n:
        step = quarter * 16
        for block in range(0, n, 4 * quarter):
            for j in range(quarter):
                w1 = vbroadcast(twiddles[quarter + j])
                w2 = vbroadcast(twiddles[2 * quarter + j])
                w3 = vbroadcast(twiddles[3 * quarter + j])
                start = base + (block + j) * 16
                for i in range(start, start + 16, 8):
                    x0, x1 = vload(x, i), vmul(vload(x, i + step), w1)
                    x2, x3 = vload(x, i + 2 * step), vmul(vload(x, i + 3 * step), w1)
                    y0, y1 = vadd(x0, x1), vsub(x0, x1)
                    y2, y3 = vmul(vadd(x2, x3), w2), vmul(vsub(x2, x3), w3)
                    vstore(x, i, vadd(y0, y2))
                    vstore(x, i + step, vadd(y1, y3))
                    vstore(x, i + 2 * step, vsub(y0, y2))
                    vstore(x, i + 3 * step, vsub(y1, y3))
        quarter *= 4


@njit(cache=True)
def _power(x: Any, exponent: int) -> Any:
    result, base = ONE, x
    while exponent:
        if exponent & 1:
            result = mmul(result, base)
        base = mmul(base, base)
        exponent >>= 1
    return result


@njit(cache=True)
def _butterflies_reversed(x: Any, base: int, log_n: int, twiddles: Any) -> None:
    """As `_butterflies` without shift, but natural order in and bit-reversed order out."""
    n = 1 << log_n
    quarter = n >> 2
    while quarter > 0:
        step = quarter * 16
        for block in range(0, n, 4 * quarter):
            for j in range(quarter):
                w1 = vbroadcast(twiddles[quarter + j])
                w2 = vbroadcast(twiddles[2 * quarter + j])
                w3 = vbroadcast(twiddles[3 * quarter + j])
                start = base + (block + j) * 16
                for i in range(start, start + 16, 8):
                    x0, x1 = vload(x, i), vload(x, i + step)
                    x2, x3 = vload(x, i + 2 * step), vload(x, i + 3 * step)
                    y0, y2 = vadd(x0, x2), vmul(vsub(x0, x2), w2)
                    y1, y3 = vadd(x1, x3), vmul(vsub(x1, x3), w3)
                    vstore(x, i, vadd(y0, y1))
                    vstore(x, i + step, vmul(vsub(y0, y1), w1))
                    vstore(x, i + 2 * step, vadd(y2, y3))
                    vstore(x, i + 3 * step, vmul(vsub(y2, y3), w1))
        quarter >>= 2
    if log_n & 1:
        for i in range(base, base + n * 16, 32):
            for lane in range(i, i + 16, 8):
                low, high = vload(x, lane), vload(x, lane + 16)
                vstore(x, lane, vadd(low, high))
                vstore(x, lane + 16, vsub(low, high))


@njit(cache=True, nogil=True)
def first_pass(
    work: Any, source: Any, rows: int, shift: Any, wrap: Any, root: Any,
    log1: int, log2: int, twiddles: Any, reverse1: Any, start: int, stop: int,
) -> None:  # fmt: skip
    """Pass one for i2 in [start, stop): flat `source` of `rows` coefficient rows to flat `work` of N rows."""
    n1, n2 = 1 << log1, 1 << log2
    group = max(1, min(_GROUP, _LOCAL_ROWS >> log1))
    local = np.empty(group * n1 * 16, dtype=np.uint32)
    factors = np.empty(group, dtype=np.uint32)
    steps = np.empty(group, dtype=np.uint32)
    for first in range(start, stop, group):
        members = min(group, stop - first)
        for i1 in range(n1):
            for g in range(members):
                row = (i1 << log2) + first + g
                to = (g * n1 + reverse1[i1]) * 16
                for lane in range(0, 16, 8):
                    if row < rows:
                        x = vload(source, row * 16 + lane)
                        factor, other = wrap, row + n1 * n2
                        while other < rows:
                            x = vadd(x, vmul(vload(source, other * 16 + lane), vbroadcast(factor)))
                            factor, other = mmul(factor, wrap), other + n1 * n2
                    else:
                        x = vbroadcast(np.uint32(0))
                    vstore(local, to + lane, x)
        for g in range(members):
            _butterflies(local, g * n1 * 16, log1, twiddles)
            steps[g] = _power(root, first + g)
            factors[g] = _power(shift, first + g)
        for k1 in range(n1):
            for g in range(members):
                to, at = ((k1 << log2) + first + g) * 16, (g * n1 + k1) * 16
                w = vbroadcast(factors[g])
                vstore(work, to, vmul(vload(local, at), w))
                vstore(work, to + 8, vmul(vload(local, at + 8), w))
                factors[g] = mmul(factors[g], steps[g])


@njit(cache=True)
def second_pass(work: Any, k1: int, log2: int, twiddles: Any) -> None:
    """Pass two for the run of rows with index k1."""
    _butterflies_reversed(work, k1 * 16 << log2, log2, twiddles)


@njit(cache=True, nogil=True)
def evaluate_rows(
    out: Any, work: Any, places: Any, root: Any, log1: int, log2: int, start: int, stop: int
) -> None:
    """Instead of pass two, only the rows k1 + N1*k2 of `places`: out row r is the value of places[r]."""
    n1, n2 = 1 << log1, 1 << log2
    root2 = _power(root, n1)
    for r in range(start, stop):
        k1, k2 = places[r] & (n1 - 1), places[r] >> log1
        step = _power(root2, k2)
        factor = ONE
        low = high = vbroadcast(np.uint32(0))
        for i2 in range(n2):
            row = ((k1 << log2) + i2) * 16
            w = vbroadcast(factor)
            low = vadd(low, vmul(vload(work, row), w))
            high = vadd(high, vmul(vload(work, row + 8), w))
            factor = mmul(factor, step)
        vstore(out, r * 16, low)
        vstore(out, r * 16 + 8, high)


@njit(cache=True, nogil=True)
def load_columns(
    target: Any, first_row: int, source: Any, column: int, columns: int, start: int, stop: int
) -> bool:
    """Rows [start, stop) of some columns of an integer matrix as residues, into batches (b, rows, 16).

    Columns past the last are zero. Several batches at once, because a batch is but a part of a cache line
    of the source. False if an entry is outside (-p, p).
    """
    bad = np.int64(0)
    for row in range(start, stop):
        to = first_row + row
        for batch in range(target.shape[0]):
            first = batch * 16
            whole = min(16, max(0, columns - first))
            for j in range(whole):
                value = np.int64(source[row, column + first + j])
                bad |= np.int64(value >= P) | np.int64(value <= -P)
                target[batch, to, j] = np.uint32(value + P if value < 0 else value)
            for j in range(whole, 16):
                target[batch, to, j] = np.uint32(0)
    return bad == 0
