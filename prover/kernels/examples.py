"""One small call of every kernel that an owner's commands need on the CPU, in the order of a proof.

Calling is what compiles: types are those of the wrappers, so nothing is said twice. Stages are those of
`huref.prover.owner`; `other` holds what small models and
very large ones need besides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from huref.circuits.program.program import Site, SketchSum
from huref.common.algebra.domain import CodeDomain
from huref.common.algebra.field import DEGREE
from huref.prover.kernels.field import cells, small, vectors
from huref.prover.kernels.field.limbs import to_blocks
from huref.prover.kernels.hashing import grind, leaves
from huref.prover.kernels.integers import canonical, heads, integer_gemm, reading, row_sums, sites
from huref.prover.kernels.jit import frozen
from huref.prover.kernels.lookup import gkr, gkr_unit, histogram, rows, unit
from huref.prover.kernels.lookup import leaves as lookup_leaves
from huref.prover.kernels.transforms import few_points, ntt

Example = Callable[[], Any]

_ROW = 16  # leaves a row


def _k(count: int) -> Any:
    return np.zeros((DEGREE, count), np.uint32)


def _floats(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def _blocks(count: int) -> Any:
    return to_blocks(_k(count))


def _read() -> list[Example]:
    stored: list[Any] = [frozen(_floats(2, 2)), np.zeros((2, 2), np.uint16)]
    calls = [partial(call, given) for given in stored for call in (reading.widen, reading.transpose)]
    return [lambda: reading.widen(_floats(2, 2)), *calls]


def _quantize() -> list[Example]:
    ones, one = np.ones(2), _floats(1, 8)
    table, out = np.zeros(1, np.int64), np.zeros((2, 8), np.int8)
    return [
        lambda: canonical.fold_rows(_floats(2, 8), one[0], one[0], 8.0),
        lambda: canonical.mix_rows(_floats(2, 8), ones, one, table, 8),
        lambda: canonical.measure_rows(_floats(2, 8)),
        lambda: canonical.round_rows(_floats(2, 8), np.float32(1), 127, out),
        lambda: canonical.round_each(_floats(2, 8), np.ones(2, np.float32), 127, out),
        lambda: sites.signed_sums(_sketch(), 1, _floats(1, 8)),
        lambda: heads.balance_heads(_floats(1, 2, 8), _floats(1, 1, 2, 8), 1e-9, one[0], np.eye(2)),
        lambda: heads.apply_maps(np.ones((1, 2, 2)), _floats(1, 2, 8)),
    ]


def _commit() -> list[Example]:
    domain = CodeDomain.for_length(20)
    plan, n = ntt.Plan.of(domain), domain.subgroup
    work, states = np.zeros(n * ntt.BATCH, np.uint32), np.zeros(8 * domain.n, np.uint32)
    batch, packed = np.zeros((1, n, ntt.BATCH), np.uint32), np.zeros((1, n, 2), np.uint64)
    role = leaves.BatchRole.of(0, 1)
    hasher = leaves.LeafHasher(domain, 1, bytes(64))

    def load(dtype: Any) -> Any:
        return ntt.load_columns(batch, 0, plan.log2, ntt.as_source(np.zeros((1, 1), dtype)), 1, 0, 1, 0, 1)

    return [
        lambda: ntt.pack_bytes(packed, plan.log2, np.zeros((1, 2), np.uint64), 0, 0, 1),
        partial(load, np.int8),
        partial(load, np.int32),
        lambda: ntt.first_pass(
            work, np.empty(0, np.int8), batch.reshape(-1), plan.shifts[0], plan.wraps[0], plan.root,
            plan.log1, plan.log2, plan.first_twiddles[0], plan.reverse1, 0, 1,
        ),
        lambda: leaves.hash_pass(
            work, states, 0, plan.log2, plan.second_twiddles, role.opens, role.header_state, role.columns,
            role.padding, role.tail, role.has_tail, 0, 1,
        ),
        hasher.finish,
        lambda: leaves.hash_level(np.zeros((2, 32), np.uint8)),
    ]  # fmt: skip


def _witness() -> list[Example]:
    site = Site("", _sketch(), 1, 1, 127, -127, 1 << 20, 1)
    narrow, wide = np.zeros((1, 16), np.int8), np.zeros((1, 16), np.int16)
    return [
        lambda: sites.signed_sums(_sketch(), 1, narrow),
        lambda: sites.requantize(site, np.zeros((1, 1), np.int32), 1),
        lambda: sites.multiply(np.zeros((1, 16), np.int32), np.ones(16, np.int64), 8, 127, wide),
        lambda: integer_gemm.product(wide, narrow),
        lambda: integer_gemm.product(wide, wide),
        lambda: histogram.count_digits(narrow, 4),
        lambda: histogram.count_digits(np.zeros((2, 32), np.int8)[:, :16], 4),  # rows that lie apart
        lambda: histogram.count_entries(np.zeros(1, np.int64), 1),
    ]


def _prove() -> list[Example]:
    made, tiles = _leaf_rows(8), np.zeros(1, np.int64)
    eq, short, one = _blocks(32 * _ROW), _k(16), np.zeros(DEGREE, np.uint32)
    weights, long = _k(1), _blocks(64)
    few = np.zeros((20, 16), np.int8)
    points = np.ones(2, np.uint64)
    domain = CodeDomain.for_length(20)
    plan = ntt.Plan.of(domain)
    work, places = np.zeros(domain.subgroup * ntt.BATCH, np.uint32), np.zeros(1, np.int64)
    calls: list[Example] = [
        lambda: ntt.load_columns(
            np.zeros((1, domain.subgroup, ntt.BATCH), np.uint32), 0, plan.log2,
            ntt.as_source(np.zeros((1, 1), np.int16)), 1, 0, 1, 0, 1,
        ),
        lambda: lookup_leaves.folded(made, 1),
        lambda: gkr.up(long, long, 64),
        lambda: vectors.mul(short, short),
        lambda: vectors.add(short, short),
        lambda: vectors.scale(short, one),
        lambda: vectors.sub(short, short),
        lambda: vectors.dot(short, short),
        lambda: vectors.lerp(short, short, one),
        lambda: vectors.halves(short, short, 8),
        lambda: gkr.first_round(long, long, 64, one, eq),
        lambda: gkr.bind_first(long, long, 64, one, one, eq),
        lambda: gkr.bind_round([_blocks(64) for _ in range(4)], 64, 64, one, eq),
        lambda: gkr.bind([_blocks(64)], 64, 64, one),
        lambda: gkr.round_sums([long] * 4, 64, 64, eq),
        lambda: unit.first_round(made, tiles, weights, one, eq),
        lambda: lookup_leaves.first_round(made, tiles, 0, one, eq),
        lambda: unit.bind_first(made, tiles, weights, one, one, eq),
        lambda: lookup_leaves.bind_first(made, tiles, 0, one, one, eq),
        lambda: gkr_unit.bind_round([_blocks(64), _blocks(64)], 64, 64, one, eq),
    ]  # fmt: skip
    for dtype in (np.int16, np.int8, np.int32):
        calls += [
            partial(small.small_vecmat, _k(16), np.zeros((16, 16), dtype)),
            partial(small.small_matvec, np.zeros((16, 16), dtype), _k(16)),
        ]
    return [
        *calls,
        lambda: vectors.from_plain(np.zeros((1, DEGREE), np.uint64)),
        lambda: vectors.from_plain(np.zeros((1, DEGREE), np.uint32)),
        lambda: vectors.add_outer(_k(4), 0, _k(2), _k(2)),
        lambda: vectors.to_plain(short),
        lambda: grind.grind(bytes(32), 1),
        lambda: few_points.evaluate_integers([few], points),
        lambda: ntt.evaluate_rows(
            np.zeros(ntt.BATCH, np.uint32), work, places, plan.root, plan.log1, plan.log2, 0, 1
        ),
    ]


def _other() -> list[Example]:
    made, tiles = _leaf_rows(32), np.zeros(1, np.int64)
    eq, one = _blocks(32 * _ROW), np.zeros(DEGREE, np.uint32)
    short, wide = _k(16), np.zeros((1, 16), np.int16)
    long, ones = _blocks(64), np.zeros(64, np.uint32)
    calls: list[Example] = []
    for dtype in (np.int16, np.int32):
        calls += [
            partial(cells.weighted_cells, short[:, :1].copy(), short, np.zeros((1, 16), dtype)),
            partial(cells.integers_to_mont, np.zeros(1, dtype)),
        ]
    return [
        *calls,
        lambda: rows.fill_tiles(made, 0, 1),
        lambda: gkr.up(ones, long, 64),
        lambda: gkr.first_round(ones, long, 64, one, eq),
        lambda: gkr.bind_first(ones, long, 64, one, one, eq),
        lambda: vectors.mul_base(short, short[0].copy()),
        lambda: sites.signed_sums(_sketch(), 1, wide),
        lambda: row_sums.row_sums(wide, np.zeros((16, 16), np.int8)),
        lambda: histogram.count_digits(wide, 4),
        lambda: lookup_leaves.folded(made, 2),
        lambda: lookup_leaves.first_round(made, tiles, 1, one, eq),
        lambda: lookup_leaves.bind_first(made, tiles, 1, one, one, eq),
    ]


def _sketch() -> SketchSum:
    place = np.zeros(1, np.int64)
    return SketchSum("", place, place, np.ones(1, np.int8))


def _leaf_rows(height: int) -> rows.LeafRows:
    """One tile of absent rows; one job, of no columns."""
    shape, scales = (1, height), np.zeros((1, rows.COMPONENTS + 1, DEGREE), np.uint32)
    kinds = np.full(1, rows.WORDS, np.int32)
    return rows.LeafRows(
        job=np.zeros(shape, np.int32),
        base=np.zeros(shape, np.int64),
        numerator=np.full(shape, -1, np.int64),
        kind=kinds,
        cols=np.zeros(1, np.int64),
        deltas=np.zeros((1, rows.COMPONENTS - 1), np.int64),
        pairs=np.ones(1, np.int64),
        scales=scales,
        constants=rows.job_constants(kinds, scales),
        weights=np.empty(0, np.int8),
        digits=np.empty(0, np.int8),
        halves=np.empty(0, np.int16),
        words=np.empty(0, np.uint32),
        counts=np.empty(0, np.int32),
        w=_ROW,
    )


_STAGES: dict[str, Callable[[], list[Example]]] = {
    "load": _read,
    "quantize": _quantize,
    "commit": _commit,
    "witness": _witness,
    "prove": _prove,
    "other": _other,
}
STAGES = tuple(_STAGES)


def examples(stages: Sequence[str] = STAGES) -> list[Example]:
    """The calls that compile what these stages need."""
    return [example for stage in stages for example in _STAGES[stage]()]
