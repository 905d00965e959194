"""The verifier's sum of row coefficients where it takes shortcuts: terms with one left side, dense rows, cuts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from huref.circuits.argument.folded import Folded, Rows, _read_dot
from huref.circuits.argument.functional import Claim, Columns, Cut, Functional, Term
from huref.circuits.argument.opening import dense_fold
from huref.common.algebra.field import kdot, kfold, kouter
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table
from huref.common.argument.hidden import Form
from tests.proof.oracles import elements, scalars
from tests.support.terms import coefficients

FOLDED = "huref.circuits.argument.folded"
LENGTH, W = 1200, 8
Added = Callable[[Functional], None]


def made(terms: Sequence[Added], columns: Columns) -> Functional:
    functional = Functional(columns)
    for add in terms:
        add(functional)
    return functional


def both(terms: Sequence[Added]) -> tuple[KS, KS]:
    """What `Rows.dot` gives of these terms, and what they give cell by cell."""
    columns = Columns(W, {name: elements(W) for name in "cd"})
    functional = made(terms, columns)
    layout: Any = SimpleNamespace(w=W, pads=SimpleNamespace(total=1), pad_start=LENGTH - 1, mask_start=LENGTH)
    eq, weight = eq_table(scalars(3)), scalars(1)[0]
    values, point = elements(LENGTH // 16 + 1), scalars(4)
    z = kouter(values, eq_table(point)).reshape(-1, 5)
    wanted = KS(0)
    for term in functional.terms:
        start, cells = coefficients(term, columns)
        for row, own in enumerate(cells):
            wanted += weight * KS.from_array(kdot(own, eq)) * KS.from_array(z[start + row])
    claim = Claim("claim", functional, Form.public(KS(0)))
    return Rows(layout, 0, [claim], [weight], columns, eq).dot(Folded(values, point)), wanted


@pytest.mark.parametrize("written", [2, 1 << 14])
def test_terms_of_one_left_side_are_added_up_only_where_all_else_is_alike(written: int) -> None:
    left, right = elements(7), elements(9)
    terms: list[Added] = [
        lambda f: f.product("A", 3, left, right, 63, "c"),
        lambda f: f.product("A", 3, left, elements(9), 63, "d"),
        lambda f: f.product("A", 70, left, right, 63, "c"),  # another start
        lambda f: f.product("A", 3, left, elements(9), 60, "c"),  # another count
        lambda f: f.product("A", 3, left, elements(9), 57, "d"),
        lambda f: f.grouped("A", 3, left, elements(9, W), interleaved=True),
        lambda f: f.grouped("A", 3, left, elements(11, W), interleaved=True),  # another number of groups
        lambda f: f.grouped("A", 200, left, elements(9, W)),
        lambda f: f.rows("A", 3, left, "c"),
    ]
    with mock.patch(f"{FOLDED}._WRITTEN", written), mock.patch(f"{FOLDED}._LONG", 16):
        found, wanted = both(terms)
    assert found == wanted


def test_a_cut_shorter_than_a_row() -> None:
    left, right, read = elements(1), elements(9), elements(4)
    term = Term("A", 0, left, "c", right, 4)
    assert _read_dot(term, read) == KS.from_array(kdot(term.a, read))


def test_dense_terms_are_folded_in_parts() -> None:
    values, eq = elements(9), elements(4)
    choice = np.random.default_rng(1).integers(0, 9, (23, 4)).astype(np.int32)
    wanted = np.stack([kdot(values[row], eq) for row in choice])
    for rows in (1, 5, 22, 23, 24):
        with mock.patch("huref.circuits.argument.opening._ROWS", rows):
            assert np.array_equal(dense_fold(values, choice, eq), wanted)


@pytest.mark.parametrize("first", [0, 3])
def test_cut_vectors_fold_as_written_ones_do(first: int) -> None:
    outer, column, eq = elements(12), elements(W), elements(W)
    column[:first] = 0
    outer[4] = 0
    widths = np.array([-9, -1, 0, 1, 2, 3, 4, 5, 7, 8, 9, 40])
    cut = Cut(outer, column, widths)
    written = cut.written()
    for g, width in enumerate(widths):
        for c in range(W):
            kept = kouter(outer[g : g + 1], column[c : c + 1])[0, 0] if c < width else np.zeros(5, np.uint64)
            assert np.array_equal(written[g, c], kept), (g, c)
    assert np.array_equal(cut.folded(eq), kfold(written, eq))
    assert np.array_equal(cut.used(), written.any(axis=(1, 2)))
    nothing = Cut(outer, np.zeros_like(column), widths)
    assert not nothing.used().any() and not nothing.folded(eq).any()


def test_cut_groups_are_the_groups_that_they_write() -> None:
    rows, outer, column = elements(5), elements(9), elements(W)
    widths = np.array([0, 0, 1, 3, 0, 8, 9, 2, -1])
    short: list[Added] = [lambda f: f.grouped("A", 20, rows, Cut(outer, column, widths))]
    found, wanted = both(short)
    assert found == wanted
    long: list[Added] = [lambda f: f.grouped("A", 20, rows, Cut(outer, column, widths).written())]
    columns = Columns(W)
    (term,), (other,) = (made(terms, columns).terms for terms in (short, long))
    (first, cells), (same, others) = (coefficients(x, columns) for x in (term, other))
    assert first == same == 30 and np.array_equal(cells, others) and len(cells) == 30
