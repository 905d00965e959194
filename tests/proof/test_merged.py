"""What the prover makes of all claims' terms, and how it reads matrices with it, against every term by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from huref.circuits.argument.functional import Claim, Columns, Functional, Grouped, Term
from huref.common.algebra.field import P, embed, fadd, kmul, kzero, to_field
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form
from huref.prover.argument.merged import Piece, merge
from huref.prover.argument.opening import OpenedMatrix
from huref.prover.kernels.field.field import k_from_mont
from tests.proof.oracles import elements

ROWS, W = 3000, 16
NO_PADS: Any = SimpleNamespace(w=W, pads=SimpleNamespace(total=1), pad_start=0, mask_start=1)


def one_of(count: int, *at: int) -> np.ndarray:
    """Zeros but for these places."""
    out = kzero((count,))
    out[list(at)] = elements(len(at))
    return out


TERMS = {
    "a plain one": Term("A", 5, elements(9), "c"),
    "cut": Term("A", 40, elements(9), "c", None, 4),
    "zeros around": Term("A", 100, one_of(900, 17, 30), "c"),
    "nothing": Term("A", 100, kzero((8,)), "c"),
    "nothing on the right": Term("A", 100, elements(8), "c", kzero((3,))),
    "an outer product": Term("A", 2000, elements(7), "c", elements(5)),
    "one that is cut": Term("A", 2050, elements(7), "c", elements(5), 33),
    "one block of it": Term("A", 1000, one_of(4, 2), "c", elements(50)),
    "one entry of every row": Term("A", 500, elements(6), "c", one_of(4, 3)),
    "of fewer rows": Term("A", 500, elements(6), "c", one_of(4, 3), 22),
    "cut before its entry": Term("A", 500, elements(1), "c", one_of(4, 3), 2),
    "nothing before the cut": Term("A", 500, one_of(6, 5), "c", elements(4), 13),
    "every fourth row": Term("A", 503, elements(6), "c", one_of(4, 0)),
    "every seventh after zeros": Term("A", 480, one_of(300, 70, 71), "c", one_of(7, 0)),
    "the last row": Term("A", ROWS - 1, elements(1), "c"),
}


def coefficients(terms: list[Term], power: KS) -> np.ndarray:
    """Σ power · a of terms, for every row."""
    out = kzero((ROWS,))
    for term in terms:
        out[term.start : term.start + term.length] = fadd(
            out[term.start : term.start + term.length], term.scaled(power)
        )
    return out


def written(pieces: list[Piece]) -> np.ndarray:
    """Every row's coefficient."""
    out = kzero((ROWS,))
    for piece in pieces:
        rows = piece.start + piece.step * np.arange(piece.a.shape[1])
        out[rows] = fadd(out[rows], k_from_mont(piece.a))
    return out


def merged(terms: list[Term], power: KS) -> list[Piece]:
    columns = Columns(W, {"c": elements(W)})
    claim = Claim("claim", Functional(columns, list(terms)), Form.public(KS(0)))
    found, _ = merge(NO_PADS, [claim], [power])
    assert len(found) <= 1
    return found[0].pieces if found else []


def test_every_kind_of_term_alone_and_all_together() -> None:
    power = KS.from_array(elements(1)[0])
    for name, term in TERMS.items():
        assert np.array_equal(written(merged([term], power)), coefficients([term], power)), name
    every = list(TERMS.values()) * 2
    pieces = merged(every, power)
    assert np.array_equal(written(pieces), coefficients(every, power))
    assert sum(piece.a.shape[1] for piece in pieces) < ROWS / 3  # zeros between far terms are no part of it


def parted() -> tuple[OpenedMatrix, np.ndarray]:
    """A matrix in segments of all types, and its residues."""
    rng = np.random.default_rng(5)
    segments = tuple(
        rng.integers(-100, 100, (rows, W)).astype(kind)
        for rows, kind in ((510, np.int16), (1, np.int8), (600, np.int32), (ROWS - 1111, np.uint32))
    )
    whole = np.concatenate([to_field(part.astype(np.int32)) for part in segments])
    last = whole[1111:].astype(np.uint32)
    return OpenedMatrix((*segments[:3], last), Any), whole  # type: ignore[arg-type]


def test_pieces_are_read_across_segments() -> None:
    matrix, whole = parted()
    power = KS.from_array(elements(1)[0])
    for name, term in TERMS.items():
        wanted = kzero((W,))
        a = coefficients([term], power)
        for row in np.flatnonzero(a.any(axis=1)):
            wanted = (wanted + kmul(embed(whole[row]), a[row])) % np.uint64(P)
        found = sum((k_from_mont(matrix.vecmat(piece)) for piece in merged([term], power)), kzero((W,)))
        assert np.array_equal(found % np.uint64(P), wanted), name


def test_groups_and_single_rows_are_read_across_segments() -> None:
    matrix, whole = parted()
    for start in (0, 480, 505, 1100, ROWS - 30):
        for interleaved in (False, True):
            term = Grouped("A", start, elements(5), elements(6, W), interleaved)
            own = whole[start : start + 30].reshape((5, 6, W) if interleaved else (6, 5, W))
            wanted = kzero((6, W))
            for g in range(6):
                for i in range(5):
                    row = own[i, g] if interleaved else own[g, i]
                    wanted[g] = fadd(wanted[g], kmul(embed(row), term.rows[i]))
            found = matrix.grouped(term)
            assert np.array_equal(k_from_mont(found.reshape(5, -1)), wanted.reshape(-1, 5)), start
    rows = np.array([509, 3, 510, 511, 1110, 1111, ROWS - 1, 3])
    assert np.array_equal(matrix.picked(rows), whole[rows])
