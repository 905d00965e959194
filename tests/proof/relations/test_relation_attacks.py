"""Cheating provers of relations: each is rejected, and accepted by a build without the check that it is stopped by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from huref.circuits.relations.products import Projection
from huref.circuits.relations.program import Number
from huref.circuits.relations.terms import Public
from huref.common.errors import Rejected
from huref.prover.relations.leaves import RunValues
from tests.proof.cheating import without_constraint
from tests.support.relations import Checker
from tests.support.toy_relations import Toy, satisfied, toy, without

Ints = Any


@pytest.fixture(scope="module")
def small() -> Toy:
    return toy(tokens=4, seed=2)


def lenient_count(self: RunValues, space: Any) -> dict[Any, np.ndarray]:
    """Multiplicities of what is in the tables; other tuples are left out."""
    counts = {block.table: np.zeros(block.table.size, np.int32) for block in space.tables}
    for run in space.runs:
        columns = []
        for operand in run.operands:
            if hasattr(operand, "values"):
                column: Ints = np.tile(np.array(operand.values).repeat(run.heads), run.blocks * run.outer)[
                    :, None
                ]
            else:
                column = self.rows(run, operand)
                column = column[:, : run.cols] if column.shape[1] > 1 else column
                column = column.astype(np.int64) + getattr(operand, "offset", 0)
            columns.append(np.broadcast_to(column, (run.rows, run.cols)).reshape(-1))
        index = np.asarray(run.table.index(tuple(columns)))
        inside = np.clip(index, 0, run.table.size - 1)
        good = index == inside
        for own, column in zip(run.table.columns(), columns, strict=True):
            good &= own[inside] == column
        np.add.at(counts[run.table], inside[good], 1)
    return counts


def prove_falsely(made: Toy, found: Mapping[str, Ints]) -> bytes:
    with mock.patch.object(RunValues, "count", lenient_count):
        return made.prove(found=found)


def changed(made: Toy, name: str, at: int, by: int) -> dict[str, Ints]:
    found = made.found[name].astype(np.int32)
    found.reshape(-1)[at] += by
    return {**made.found, name: found}


def rejected(made: Toy, found: Mapping[str, Ints]) -> None:
    with pytest.raises(Rejected) as caught:
        made.verify(prove_falsely(made, found))
    assert caught.value.path == "opening.final"


# equations and lookups


def an_equation(made: Toy, name: str) -> dict[str, Ints]:
    """An entry of its slack is one more, inside the part that there is."""
    return changed(made, f"{name}.slack", 0, 1)


EQUATIONS = (
    *("cells", "along", "beside", "stored", "stored at", "at", "sum", "causal sum", "causal", "mapped"),
    *(
        "projection",
        "positions",
        "transposed",
        "column",
        "row",
        "heads",
        "gathered",
        "hadamard",
        "squares",
        "mixed",
    ),
    *("low", "flat", "mix"),
)


@pytest.mark.parametrize("name", EQUATIONS)
def test_an_equation_that_does_not_hold(name: str, small: Toy) -> None:
    found = an_equation(small, name)
    assert small.wrong(found) == [name]
    rejected(small, found)


def test_a_build_without_that_equation(small: Toy) -> None:
    """Those that no other equation's product names."""
    for name in ("cells", "mapped", "transposed", "mix"):
        other = without(small, name)
        found = an_equation(small, name)
        other.verify(prove_falsely(other, found))


LOOKUPS = {
    "clip": ("clipped", 0, 1),
    "repeated": ("rest", 3, 1 << 6),
    "spread": ("rest2", 0, -40),
    "query range": ("query", 5, 50),
}


@pytest.mark.parametrize("label", LOOKUPS)
def test_a_tuple_that_is_in_no_table(label: str, small: Toy) -> None:
    name, at, by = LOOKUPS[label]
    found = changed(small, name, at, by)
    if name == "query":  # equations hold for it
        slacks = [m for m in small.relations.matrices if m.name.endswith(".slack")]
        found = satisfied(small.relations, small.weights, found, slacks).found
    assert small.wrong(found) == [label]
    rejected(small, found)
    other = without(small, label)
    other.verify(prove_falsely(other, found))


def test_cells_that_nothing_constrains_are_free(small: Toy) -> None:
    """Shares of future tokens."""
    found = {name: values.copy() for name, values in small.found.items()}
    share = found["share"]
    share.reshape(4, -1, 4)[0, :, 1:] = 3
    small.verify(small.prove(found=found))


@pytest.fixture(scope="module")
def several() -> Toy:
    """Rows of the middle sequence have two columns, of which the first row has one."""
    return toy((3, 2, 3), seed=7)


def test_cells_that_no_sequence_has_are_free(several: Toy) -> None:
    """Shares of future tokens, which are looked up, and of a sequence's length and beyond, which are not."""
    found = {name: values.copy() for name, values in several.found.items()}
    share = found["share"].reshape(8, -1, 3)
    share[3, :, 1] = 3
    share[3:5, :, 2] = 1000
    several.verify(several.prove(found=found))
    share[3, :, 1] = 1000
    assert several.wrong(found) == ["share range"]
    rejected(several, found)


@pytest.mark.parametrize(
    ("name", "at"),
    [("causal", (3, 0)), ("causal", (4, 1)), ("causal sum", (3, 0)), ("mix", (3, 5)), ("mapped", (5, 2))],
)
def test_equations_in_a_second_sequence(name: str, at: tuple[int, int], several: Toy) -> None:
    """Every row and column that a sequence has is asked for, at its own place."""
    frame = several.relations.equation[name].frame
    row = at[0] * frame.inner * frame.heads
    found = changed(several, f"{name}.slack", row * frame.cols + at[1], 1)
    assert several.wrong(found) == [name]
    rejected(several, found)


@pytest.mark.parametrize("name", ["causal", "causal sum", "mix", "mapped"])
def test_sequences_moved_by_a_token(name: str, several: Toy) -> None:
    """A slack that fits keys, values, columns or maps of sequences of other lengths, where all else is alike."""
    moved = toy((2, 3, 3), seed=7)
    left = Checker(moved.relations, several.found, several.weights).sums()[name]
    slack = several.found[f"{name}.slack"].astype(np.int64).reshape(left.shape) + left
    found = {**several.found, f"{name}.slack": slack.astype(np.int32)}
    assert several.wrong(found) == [name]
    rejected(several, found)
    other = without(several, name)
    other.verify(prove_falsely(other, found))


def test_a_claim_of_a_position_that_comes_twice(small: Toy) -> None:
    """Both of its rows are tied to the position: coefficients of one place add up instead of replacing each other."""
    (product,) = (
        p for p in small.relations.products if isinstance(p, Projection) and p.equation == "positions"
    )
    assert product.tokens is not None and len(set(product.tokens)) < len(product.tokens)
    ((_, summed),) = Checker(small.relations, small.found, small.weights).products(product)
    slack = small.found["positions.slack"].astype(np.int32)
    slack[1] -= summed[1].reshape(-1)  # the first of the two rows does without the position
    found = {**small.found, "positions.slack": slack}
    assert small.wrong(found) == ["positions"]
    rejected(small, found)


# multiplicities, the weights, public numbers


def test_a_wrong_multiplicity(small: Toy) -> None:
    original = RunValues.count

    def more(self: RunValues, space: Any) -> Any:
        counts = original(self, space)
        next(iter(counts.values()))[3] += 1
        return counts

    with mock.patch.object(RunValues, "count", more), pytest.raises(Rejected) as caught:
        small.verify(small.prove())
    assert caught.value.path == "opening.final"
    with without_constraint("lookup.layer0.final"), mock.patch.object(RunValues, "count", more):
        small.verify(small.prove())


def test_other_weights_under_the_root(small: Toy) -> None:
    other = {name: x.copy() for name, x in small.weights.items()}
    other["read0"][0, 0] += 1
    with pytest.raises(Rejected) as caught:
        small.verify(small.prove(weights=other))
    assert caught.value.path == "opening.final"


def test_public_numbers_of_another_program(small: Toy) -> None:
    """A proof for another factor, table width or constant is none for this one."""
    relations = small.relations
    cells = relations.equation["cells"]
    public = replace(
        cells, linear=tuple(Public((9, 9)) if isinstance(t, Public) else t for t in cells.linear)
    )
    equations = tuple(public if e.name == "cells" else e for e in relations.equations)
    looks = tuple(
        replace(look, operands=(Number(5), *look.operands[1:])) if look.label == "z range" else look
        for look in relations.looks
    )
    for other in (replace(relations, equations=equations), replace(relations, looks=looks)):
        made = replace(small, relations=other)
        with pytest.raises(Rejected):
            small.verify(prove_falsely(made, small.found))
