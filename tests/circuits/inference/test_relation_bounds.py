"""Every equation is one of integers: its largest value, from what the tables really admit, is below p.

Nothing here reads the bounds that the compiler states. Sums over a norm's output have Cauchy–Schwarz' bound
(docs/inference.md §4), sums of shares the bound that the softmax's sum has; all others are sums of absolute values.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, partial
from math import isqrt
from typing import Any

import numpy as np
import pytest

from huref.circuits.inference.claim import odds_digit
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import Facts, LayerFacts
from huref.circuits.inference.limits import RAW_LIMB
from huref.circuits.inference.relate_head import Claims
from huref.circuits.inference.relations import relate
from huref.circuits.model.tensors import whole_model
from huref.circuits.program.program import Weight
from huref.circuits.program.rotation import rotation
from huref.circuits.program.tables import Table
from huref.circuits.relations import products, terms
from huref.circuits.relations.frame import Matrix
from huref.circuits.relations.program import Look, Number, Own, Relations
from huref.circuits.relations.terms import by_inner
from huref.common.algebra.field import P
from huref.common.errors import Unsupported
from tests.support.inference_runs import LAYOUTS, UNEVEN, Ints, layout_run, make_run
from tests.support.shapes import SMOL, all_shifts

WEIGHT = 128  # what the proof of range admits
LAYER = LayerFacts(
    stream=(12, 11), query=7, key=7, query_shift=12, key_shift=12, value=7, mixed=20, gate=9, up=7, product=21,
    up_outliers=((5, 2),), product_outliers=((5, 3), (9, 4)),
)  # fmt: skip
FACTS = Facts(
    activation="silu", epsilon="1e-05", score_square=64, window=0, embedding=13, logits=9, shifts=all_shifts(2, 16),
    layers=(LAYER, LAYER),
)  # fmt: skip


def of_layout(name: str) -> Relations:
    return layout_run(name).relations


def smol(tokens: int, hidden: int = 576, **changes: Any) -> Relations:
    shape = replace(SMOL, hidden=hidden, vocab=1000, layers=2, head=True, **changes)
    facts = FACTS
    if shape.qk_norm:
        layer = replace(LAYER, raw_query=7, raw_key=7, query_gain=-7, key_gain=-7)
        facts = replace(FACTS, layers=(layer, layer))
    program = compile_inference(shape, facts, tokens)
    stack = tuple(Weight(tensor.name, tensor.rows, tensor.cols) for tensor in whole_model(shape))
    return relate(program, [1] * tokens, Claims((tokens - 1,), (3,), (5,), (40,)), stack)


@cache
def columns_of(table: Table) -> tuple[Ints, ...]:
    return table.columns()


class Bounds:
    """Largest absolute values per matrix and inner index, from the tables."""

    def __init__(self, relations: Relations) -> None:
        self.relations = relations
        self.largest: dict[str, list[int]] = {}
        self.few: dict[str, Ints] = {}
        self.known: dict[str, int] = {}
        for _ in range(2):  # what a table admits may depend on what another one does
            for look in relations.looks:
                numbers = [
                    by_inner(o.values, look.frame.inner) for o in look.operands if isinstance(o, Number)
                ]
                by_numbers: dict[tuple[int, ...], dict[str, int]] = {}
                for i in range(look.frame.inner):
                    key = tuple(values[i] for values in numbers)
                    if key not in by_numbers:
                        by_numbers[key] = self.admit(look, i)
                    for name, found in by_numbers[key].items():
                        self.largest.setdefault(name, [0] * look.frame.inner)[i] = found

    def admit(self, look: Look, i: int) -> dict[str, int]:
        """The largest value of every matrix that is in the look's table at inner index i, with what is known so far."""
        columns, inner = columns_of(look.table), look.frame.inner
        kept = np.ones(look.table.size, bool)
        for operand, column in zip(look.operands, columns, strict=True):
            if isinstance(operand, Number):
                kept &= column == by_inner(operand.values, inner)[i]
            elif operand.matrix.name in self.few:
                kept &= np.isin(column, self.few[operand.matrix.name], kind="table")
        found = {}
        for operand, column in zip(look.operands, columns, strict=True):
            if isinstance(operand, Own):
                values = column[kept].astype(np.int64) - operand.offset
                found[operand.matrix.name] = int(np.abs(values).max())
                if len(values) < 64:
                    self.few[operand.matrix.name] = np.unique(values)
        return found

    def of(self, matrix: object, i: int, select: tuple[int, ...] | None = None) -> int:
        if matrix.name in self.known:  # type: ignore[attr-defined]
            return self.known[matrix.name]  # type: ignore[attr-defined]
        found = self.largest[matrix.name]  # type: ignore[attr-defined]
        return found[select[i] if select else min(i, len(found) - 1)]

    def equation(self, name: str, i: int) -> int:
        largest = 0
        for known in self.by_shift(name):
            self.known = known
            largest = max(largest, self.total(name, i))
        self.known = {}
        return largest

    def by_shift(self, name: str) -> list[dict[str, int]]:
        """For every secret shift what is known of the equation's matrices, where what is rounded depends on it."""
        looks = {look.label: look for look in self.relations.looks}
        if f"{name}.reach" not in looks:
            return [{}]
        reach = looks[f"{name}.reach"]
        coarse, h, _ = columns_of(reach.table)
        known = []
        for s, t in zip(*columns_of(looks[f"{name}.coarse"].table), strict=True):
            largest = int(np.abs(h[coarse == t]).max())
            values = {"power": 1 << s, "half": 1 << s >> 1, "rest": (1 << s) - 1}
            known.append({f"{name}.{part}": int(value) for part, value in values.items()})
            known[-1][reach.operands[1].matrix.name] = largest  # type: ignore[union-attr]
        return known

    def total(self, name: str, i: int) -> int:
        equation = self.relations.equation[name]
        total = sum(self.linear(term, equation.frame.inner, i) for term in equation.linear)
        return total + sum(self.product(product, name, i) for product in self.relations.products)

    def linear(self, term: terms.Linear, inner: int, i: int) -> int:
        factor = abs(by_inner(getattr(term, "factor", 1), inner)[i])
        match term:
            case terms.Cells(matrix, _, select) | terms.Beside(matrix, _, select):
                return factor * self.of(matrix, i, select)
            case terms.Along(matrix) | terms.At(matrix):
                return factor * self.of(matrix, i)
            case terms.Stored() | terms.StoredAt():
                return factor * WEIGHT
            case terms.Public(values):
                return abs(by_inner(values, inner)[i])
            case terms.PublicTokens(values):
                return max(abs(value) for value in values)
            case terms.Sparse(entries):
                return max((abs(value) for at, _, value in entries if at == i), default=0)
            case terms.Total(matrix):
                return factor * matrix.frame.rows * self.of(matrix, i)
            case terms.RowSum(matrix) if matrix.name in ("head.odds1", "head.odds0"):
                return factor << 30  # by the choice of their digits
            case terms.RowSum(matrix):
                return factor * matrix.frame.cols * self.of(matrix, i)
            case terms.Rotated(matrix, bits, back):
                return self.rotated(matrix, bits, i, back=back)
            case terms.Mapped(matrix, maps):
                return factor * int(np.abs(maps).sum(axis=2).max()) * self.of(matrix, i)

    def product(self, product: products.Product, name: str, i: int) -> int:
        if isinstance(product, products.Squares):
            pairs = {
                product.equation: (product.high, product.high),
                product.equation_mixed: (product.high, product.low),
                product.equation_low: (product.low, product.low),
            }
            if name not in pairs:
                return 0
            a, b = pairs[name]
            return a.frame.cols * self.of(a, i) * self.of(b, i)
        if product.equation != name:
            return 0
        inner = self.relations.equation[name].frame.inner
        factor = abs(by_inner(product.factor, inner)[i])
        match product:
            case products.Projection(matrix=matrix):
                if matrix.name == "read":
                    return factor * WEIGHT * matrix.frame.cols * self.of(matrix, i)
                assert matrix.name == "norm"
                return factor * WEIGHT * 514 * matrix.frame.cols
            case products.Transposed(matrix=matrix, outliers=outliers):
                columns = matrix.frame.cols + sum(extra for at, _, extra in outliers if at == i)
                return factor * WEIGHT * columns * self.of(matrix, i)
            case products.ColumnScale(matrices=matrices, scale=scale):
                # the reach of a quotient does not depend on its shift
                return factor * sum(abs(by) * self.of(m, i) for m, by in matrices) * self.of(scale, i)
            case products.RowScale(matrices=matrices, scale=scale) if scale.name.endswith("norm.power"):
                return self.shifted(scale.name.removesuffix(".power"))
            case products.RowScale(scale=scale) if scale.name.endswith("_norm.scale"):
                return self.headed(scale.name)
            case products.StoredScale(matrix=matrix, numbers=numbers):
                return factor * WEIGHT * sum(abs(by) for by in numbers) * self.of(matrix, i)
            case products.HeadSquares(matrix=matrix, size=size) if not matrix.name.endswith(".high"):
                return factor * self.squares(matrix.name, size, i)
            case products.HeadSquares(matrix=matrix, size=size):
                return factor * size * self.of(matrix, i) ** 2
            case products.RowScale(matrices=matrices, scale=scale):
                return factor * sum(abs(by) * self.of(m, i) for m, by in matrices) * self.of(scale, i)
            case products.Gathered(scale=scale):
                return factor * WEIGHT * self.of(scale, i)
            case products.Hadamard(left=a, right=b) | products.FlatProduct(left=a, right=b):
                return factor * self.of(a, i) * self.of(b, i)
            case products.Outer(side=a, top=b):
                return factor * self.of(a, i) * self.of(b, i)
            case products.CausalScores(query=a, key=b, size=size):
                return factor * size * self.of(a, i) * self.of(b, i)
            case products.CausalMix(value=value):
                return factor * ((2 << 16) - 1) * self.of(value, i)
            case _:
                raise AssertionError(product)

    def headed(self, name: str) -> int:
        """Entry times F of a head whose square is below (m + 1)·4^e, for the pairs that the table has."""
        table = next(look.table for look in self.relations.looks if look.label == name)
        e, m, scale = (column.astype(np.int64) for column in table.columns())
        return int((np.sqrt((m + 1.0) * 4.0**e) * scale).max()) + 1

    def squares(self, name: str, size: int, i: int) -> int:
        """Squares of a head whose high limbs have few: their norm, and that of the low ones, together."""
        few, low = (self.of(self.relations.matrix[f"{name}{part}"], i) for part in ("_norm.few", ".low"))
        return math.ceil((2**RAW_LIMB * math.sqrt(few) + low * math.sqrt(size)) ** 2)

    def rotated(self, matrix: Matrix, bits: int, i: int, *, back: bool) -> int:
        """Row norms of the integer matrix times the norm of what it turns; behind a norm that is at most 514·√d."""
        d, turn = matrix.frame.cols, rotation(matrix.frame.cols, bits).astype(float)
        row = float(np.sqrt((turn**2).sum(axis=1 if back else 0)).max())
        length = 514.0 if matrix.name == "branch.norm" else float(self.of(matrix, i))
        return math.ceil(row * length * math.sqrt(d))

    def shifted(self, name: str) -> int:
        """h·2^s of a norm, for the pairs that the table has."""
        table = next(look.table for look in self.relations.looks if look.label == f"{name}.clamp")
        s, h, _ = table.columns()
        return int((np.abs(h.astype(np.int64)) << s).max())


CASES = {
    **{name: partial(of_layout, name) for name in LAYOUTS},
    "heads of 128 with norms": lambda: smol(5, 576, head_dim=128, rotary_dim=128, qk_norm=True),
    "biases at the largest size": lambda: smol(3, 960, biases=("q", "k", "o", "gate", "up", "down", "head")),
    "uneven": lambda: make_run(UNEVEN, 3, (2,)).relations,
    "SmolLM2's sizes": lambda: smol(40),
    "the widest of the next size": lambda: smol(3, 960),
    # where p / 2 is hardly above what a norm multiplies
    **{f"hidden {d}": partial(smol, 3, d) for d in (208, 896, 3200, 3584)},
    # where Σ r1·r0 needs a bit more
    **{f"hidden {d}": partial(smol, 3, d) for d in (5120, 8192, 12288, 14304)},
}


@cache
def bounds_of(case: str) -> Bounds:
    return Bounds(CASES[case]())


def one_sides(name: str) -> bool:
    name = name.removeprefix("branch.")
    named = ("norm.low", "norm.high", "q_norm", "k_norm", "q_norm.few", "k_norm.few", "odds.low", "odds.high")
    return name in named or name.startswith("norm.digit")


@pytest.mark.parametrize("case", CASES)
def test_every_equation_is_one_of_integers(case: str) -> None:
    bounds = bounds_of(case)
    relations = bounds.relations
    assert set(bounds.largest) == set(relations.matrix)
    for name, matrix in relations.matrix.items():
        assert max(bounds.largest[name]) <= matrix.largest, name
    tight = {}
    for equation in relations.equations:
        one_sided = one_sides(equation.name) or equation.name.endswith("norm.mixed")
        for i in range(equation.frame.inner):
            bound = bounds.equation(equation.name, i)
            tight[equation.name] = max(tight.get(equation.name, 0), bound)
            if not one_sided:
                assert bound < P, (equation.name, bound / P)
    assert tight["q"] > 1 << 20 and tight["head"] > 1 << 20  # nothing is empty


@pytest.mark.parametrize("case", CASES)
def test_sums_of_digits_stay_below_p_on_each_side(case: str) -> None:
    """Their terms have fixed signs: the difference of two numbers in [0, p) vanishes mod p only if they are equal."""
    bounds = bounds_of(case)
    relations = bounds.relations
    for equation in relations.equations:
        if not one_sides(equation.name):
            continue
        plus = minus = 0
        for product in relations.products:
            if getattr(product, "factor", 1) == -1:
                minus += bounds.product(product, equation.name, 0)
            else:
                plus += bounds.product(product, equation.name, 0)
        for term in equation.linear:
            factors = by_inner(
                term.values if isinstance(term, terms.Public) else term.factor, equation.frame.inner
            )  # type: ignore[union-attr]
            assert len({factor < 0 for factor in factors if factor}) <= 1
            if factors[0] < 0:
                minus += bounds.linear(term, equation.frame.inner, 0)
            else:
                plus += bounds.linear(term, equation.frame.inner, 0)
        assert max(plus, minus) < P, (equation.name, plus, minus)


@pytest.mark.parametrize("case", CASES)
def test_the_sum_with_an_offset_carry_is_one_of_integers(case: str) -> None:
    """norm.mixed: of what is linear, numbers with fixed signs and an offset, only the two ends count."""
    bounds = bounds_of(case)
    relations, equation = bounds.relations, bounds.relations.equation["norm.mixed"]
    squares = next(p for p in relations.products if isinstance(p, products.Squares))
    for i in range(equation.frame.inner):
        low = high = 0
        for term in equation.linear:
            size = bounds.linear(term, equation.frame.inner, i)
            if isinstance(term, terms.Public):
                low, high = low + size, high + size
            elif term.factor > 0:  # type: ignore[union-attr]
                high += size
            else:
                low -= size
        assert bounds.product(squares, "norm.mixed", i) + max(-low, high) < P


def test_wider_models_than_a_sum_has_room_for_are_refused() -> None:
    with pytest.raises(Unsupported, match=r"norm\.mixed"):
        smol(3, 14336)


@pytest.mark.parametrize("vocabulary", [2, 70, 49152, 1 << 18, (1 << 18) + 1, 1 << 22])
def test_sums_over_a_vocabulary_stay_below_p(vocabulary: int) -> None:
    bits = odds_digit(vocabulary)
    assert 8 <= bits <= 12 and vocabulary << bits <= 1 << 30
    with pytest.raises(Unsupported, match="too large"):
        odds_digit((1 << 22) + 1)


def test_the_norms_length_by_hand() -> None:
    """‖n‖ ≤ 514·√d from m, e, c and rounding, for the least c that a table begins with."""
    for d in (32, 576, 4096, 15200):
        from huref.circuits.inference.compile import norm_scale
        from huref.circuits.program.functions import inverse_roots

        scale = norm_scale(d)
        table = inverse_roots(d, scale)
        for m in range(1 << 12, 1 << 14, 97):
            root = int(table[m - (1 << 12)])
            # ‖r‖² < (m + 1)·4^e and n ≤ ‖r‖·c/2^(scale − 9 + e) + ½ per entry
            length = (isqrt((m + 1) << 40) + 1) * root / 2 ** (20 + scale - 9)
            assert length + d**0.5 / 2 <= 514 * d**0.5, (d, m)
