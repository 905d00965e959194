"""Rows of looked-up weights and tables at a leaf point, against sums over their cells (protocol §6.5).

Programs fill few tiles; here entry rows end anywhere in a tile, at its last row, and at that of a later one.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from huref.circuits.argument.functional import Columns
from huref.circuits.argument.lookup import LeafClaims, leaf_claims
from huref.circuits.argument.spaces import TableBlock, WeightBlock
from huref.circuits.program.tables import Table
from huref.common.algebra.field import P, fsub, kscale, ksum, to_field
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from tests.proof.oracles import direct, elements

W, TILES, BEFORE, AFTER = 8, 8, 3, 40
SHAPES = [(height, rows) for height in (16, 32) for rows in (1, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96)]


def scalar() -> KS:
    return KS.from_array(elements(1)[0])


def claims_at_a_point(height: int, **blocks: Any) -> tuple[LeafClaims, np.ndarray, KS, KS]:
    """The claims of a layout with these blocks, eq of the point by entry, α − 1 − tag, and β."""
    layout: Any = SimpleNamespace(
        label="lookup",
        w=W,
        tile_rows=height,
        tile_size=height * W,
        log_tiles=log2_ceil(TILES),
        tag=lambda _: 7,
        blocks=(),
    )
    vars(layout).update({"weight_blocks": (), "tables": (), "runs": (), **blocks})
    point = [scalar() for _ in range(log2_ceil(TILES * height * W))]
    alpha, beta = scalar(), scalar()
    claims = leaf_claims(layout, layout, point, alpha, beta, Columns(W))
    for functional in (claims.numerator, claims.denominator):
        assert all(len(term.a) == term.length for term in functional.terms)  # type: ignore[union-attr]
    return claims, eq_table(point).reshape(-1, 5), alpha - 8, beta


def summed(eq: np.ndarray, offset: KS, beta: KS, components: list[np.ndarray]) -> KS:
    """1 + Σ eq·(offset − β·x₁ − β²·x₂ − …)."""
    values = np.broadcast_to(offset.array(), eq.shape)
    for m, component in enumerate(components):
        values = fsub(values, kscale(np.broadcast_to((beta ** (1 + m)).array(), eq.shape), component))
    weighted = [KS.from_array(e) * KS.from_array(x) for e, x in zip(eq, values, strict=True)]
    return sum(weighted, KS(1))


@pytest.mark.parametrize("arity", [2, 3])
@pytest.mark.parametrize(("height", "rows"), SHAPES)
def test_weights(height: int, rows: int, arity: int) -> None:
    """Matrices hold noise around the block, which no term may touch."""
    for missing in range(arity):
        count = rows * arity - missing
        if -(-count // arity) != rows or count < 1:
            continue
        tile = TILES - -(-rows // height) - missing
        block = WeightBlock(Table("digits", (4, arity)), tile, BEFORE, count, rows)
        claims, eq, offset, beta = claims_at_a_point(height, weight_blocks=(block,))
        matrix = elements(BEFORE + count + AFTER, W)[..., 0]
        padded = np.zeros((arity * rows, W), np.uint64)
        padded[:count] = matrix[BEFORE : BEFORE + count]
        entries = eq[tile * height * W :][: rows * W]
        assert claims.numerator_const == KS.from_array(ksum(entries))
        wanted = summed(entries, offset, beta, list(padded.reshape(arity, -1)))
        got = claims.denominator_const + direct(claims.denominator, matrix, matrix)
        assert got == wanted
        assert max(term.start + term.length for term in claims.denominator.terms) <= BEFORE + count  # type: ignore[union-attr]


@pytest.mark.parametrize("height", [16, 32])
@pytest.mark.parametrize(
    "table",
    [
        Table("digits", (3, 2)),
        Table("digits", (4, 2)),
        Table("digits", (3, 3)),
        Table("abs", (3, -3)),
        Table("abs", (63, -63)),
        Table("abs", (64, -63)),
        Table("clamp", (64, 15, 0)),
        Table("remainder", (2, 3)),
        Table("remainder", (1, 7)),
        Table("remainder", (1, 3, 8)),
        Table("remainder", (2, 7, 8)),
    ],
    ids=str,
)
def test_tables(table: Table, height: int) -> None:
    rows = -(-table.size // W)
    count = -(-rows // height)
    tile = TILES - (1 << log2_ceil(count))
    block = TableBlock(table, tile, BEFORE, rows)
    claims, eq, offset, beta = claims_at_a_point(height, tables=(block,))
    matrix = elements(BEFORE + rows + AFTER, W)[..., 0]
    entries = eq[tile * height * W :][: table.size]
    counts = matrix[BEFORE : BEFORE + rows].reshape(-1)[: table.size]
    assert direct(claims.numerator, matrix, matrix) == -KS.from_array(ksum(kscale(entries, counts)))
    components = [to_field(np.asarray(column, np.int64)) for column in table.columns()]
    assert claims.denominator_const == summed(entries, offset, beta, components)
    assert int(matrix.max()) < P
