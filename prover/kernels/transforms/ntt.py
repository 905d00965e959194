"""Transforms of 16 columns at a time on cosets: the compiled twin of `common/algebra/ntt.py` (protocol §4).

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

from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import P, fpowers, root_of_unity
from huref.common.algebra.ntt import bit_reversal
from huref.prover.kernels.field.field import ONE, U32, mmul, to_mont
from huref.prover.kernels.field.simd import vadd, vbroadcast, vload, vmul, vresidues, vstore, vsub
from huref.prover.kernels.jit import bare_helper, frozen, helper, kernel

BATCH = 16
_LOG_GROUP = 2  # four i2 are handled together in pass one: 256 contiguous bytes
_LOCAL_ROWS = 4096  # at most 256 KiB of them at a time


def split(domain: CodeDomain) -> tuple[int, int]:
    """log N1 and log N2."""
    return (domain.a + 1) // 2, domain.a // 2


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
        log1, log2 = split(domain)
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


@bare_helper
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


@helper
def power(x: Any, exponent: int) -> Any:
    """x^exponent of a Montgomery residue."""
    result, base = ONE, x
    while exponent:
        if exponent & 1:
            result = mmul(result, base)
        base = mmul(base, base)
        exponent >>= 1
    return result


@bare_helper
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


@helper
def place_of(row: int, stretch: int, log2: int) -> int:
    """Where pass one wants row i1*N2 + i2 of a batch of `stretch` values of i1: the rows that it reads together."""
    i1, i2 = row >> log2, row & ((1 << log2) - 1)
    group = min(_LOG_GROUP, log2)
    return (((i2 >> group) * stretch + i1) << group) + (i2 & ((1 << group) - 1))


@bare_helper
def _residues(array: Any, at: int) -> Any:
    """16 entries in (-p, p) as residues, in two vectors."""
    return vresidues(array, at), vresidues(array, at + 8)


@kernel
def first_pass(
    work: Any, small: Any, wide: Any, shift: Any, wrap: Any, root: Any,
    log1: int, log2: int, twiddles: Any, reverse1: Any, start: int, stop: int,
) -> None:  # fmt: skip
    """Pass one for i2 in [start, stop): coefficients to flat `work` of N rows.

    `small` and `wide` are flat batches, int8 and residues, of the first i1 and of the others; rows as `place_of`.
    """
    n1 = 1 << log1
    packed = small.size // 16 >> log2
    loose = wide.size // 16 >> log2
    group = max(1, min(1 << _LOG_GROUP, _LOCAL_ROWS >> log1))
    local = np.empty(group * n1 * 16, dtype=np.uint32)
    factors = np.empty(group, dtype=np.uint32)
    steps = np.empty(group, dtype=np.uint32)
    for first in range(start, stop, group):
        members = min(group, stop - first)
        for i1 in range(n1):
            for g in range(members):
                low = high = vbroadcast(np.uint32(0))
                factor = ONE
                for i in range(i1, packed + loose, n1):
                    if i < packed:
                        x, y = _residues(small, 16 * place_of((i << log2) + first + g, packed, log2))
                    else:
                        x, y = _residues(wide, 16 * place_of((i - packed << log2) + first + g, loose, log2))
                    if i != i1:
                        factor = mmul(factor, wrap)
                        w = vbroadcast(factor)
                        x, y = vmul(x, w), vmul(y, w)
                    low, high = vadd(low, x), vadd(high, y)
                to = (g * n1 + reverse1[i1]) * 16
                vstore(local, to, low)
                vstore(local, to + 8, high)
        for g in range(members):
            _butterflies(local, g * n1 * 16, log1, twiddles)
            steps[g] = power(root, first + g)
            factors[g] = power(shift, first + g)
        for k1 in range(n1):
            for g in range(members):
                to, at = ((k1 << log2) + first + g) * 16, (g * n1 + k1) * 16
                w = vbroadcast(factors[g])
                vstore(work, to, vmul(vload(local, at), w))
                vstore(work, to + 8, vmul(vload(local, at + 8), w))
                factors[g] = mmul(factors[g], steps[g])


@bare_helper
def second_pass(work: Any, k1: int, log2: int, twiddles: Any) -> None:
    """Pass two for the run of rows with index k1."""
    _butterflies_reversed(work, k1 * 16 << log2, log2, twiddles)


@kernel
def evaluate_rows(
    out: Any, work: Any, places: Any, root: Any, log1: int, log2: int, start: int, stop: int
) -> None:
    """Instead of pass two, only the rows k1 + N1*k2 of `places`: out row r is the value of places[r]."""
    n1, n2 = 1 << log1, 1 << log2
    root2 = power(root, n1)
    for r in range(start, stop):
        k1, k2 = places[r] & (n1 - 1), places[r] >> log1
        step = power(root2, k2)
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


@kernel
def load_columns(
    target: Any, first_row: int, log2: int, source: Any, width: int, column: int, columns: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Rows [start, stop) of some columns of a flat integer matrix as residues, into batches (b, N2·i, 16).

    Entries are in (-p, p), columns past the last become zero; rows are placed as `place_of`. Several batches at
    once, because a batch is but a part of a cache line of the source.
    """
    batches, rows, _ = target.shape
    flat = target.reshape(-1)
    for row in range(start, stop):
        place = place_of(first_row + row, rows >> log2, log2)
        for batch in range(batches):
            to, at = (batch * rows + place) * 16, row * width + column + 16 * batch
            if 16 * (batch + 1) <= columns:
                low, high = _residues(source, at)
                vstore(flat, to, low)
                vstore(flat, to + 8, high)
            else:
                for j in range(16):
                    value = np.int64(source[at + j]) if 16 * batch + j < columns else np.int64(0)
                    flat[to + j] = np.uint32(value + P if value < 0 else value)


@kernel
def pack_bytes(target: Any, log2: int, source: Any, column: int, start: int, stop: int) -> None:
    """As `load_columns` for bytes that stay bytes, eight in a word: source (rows, w/8), target (b, rows, 2)."""
    batches, rows, _ = target.shape
    for row in range(start, stop):
        place = place_of(row, rows >> log2, log2)
        for batch in range(batches):
            target[batch, place, 0] = source[row, column + 2 * batch]
            target[batch, place, 1] = source[row, column + 2 * batch + 1]


def as_source(part: np.ndarray) -> np.ndarray:
    """The entries flat as `load_columns` takes them, residues (below 2^31) as int32."""
    flat = part.reshape(-1)
    return frozen(flat.view(np.int32) if part.dtype == np.uint32 else flat)
