"""Relations of the logits and of what is claimed of them (docs/inference.md §4, protocol §13.7).

D[t, u] = L[t, y_t] + g_t − L[t, u] is what is committed and looked up: that it is not negative is the claim. Where all
logits are alike that says nothing, so the sum over u of e^−D is claimed as well: how likely the claimed tokens are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref.circuits.inference.builder import Builder
from huref.circuits.inference.claim import ODDS_BITS, ODDS_LIMIT, odds_digit
from huref.circuits.inference.limits import LOGIT_HEIGHT
from huref.circuits.inference.sites import Cap, InferenceProgram, Linear
from huref.circuits.program.tables import Table
from huref.circuits.program.wide_tables import DISTANCE_BITS
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.products import Outer, Projection
from huref.circuits.relations.program import Own
from huref.circuits.relations.terms import At, Beside, Cells, PublicTokens, RowSum, Total
from huref.common.algebra.field import P
from huref.common.errors import UsageError

LOGIT_BITS = 17
"""L[t, y_t] + g_t is in ±2^16."""


@dataclass(frozen=True)
class Claims:
    """Token `tokens[i]` follows place `positions[i]` of all sequences' tokens, one sequence behind the other, within
    `gaps[i]` of the largest logit, in its unit.

    `odds` has, for every sequence, the sum of `huref.circuits.inference.claim.odds_of` over its claims.
    """

    positions: tuple[int, ...]
    tokens: tuple[int, ...]
    gaps: tuple[int, ...]
    odds: tuple[int, ...]

    def counts(self, lengths: Sequence[int]) -> tuple[int, ...]:
        """How many claims each of the sequences of these lengths has."""
        ends = np.cumsum(lengths)
        return tuple(np.diff(np.searchsorted(self.positions, ends), prepend=0).tolist())

    def check(self, lengths: Sequence[int], vocabulary: int) -> None:
        """Raise `UsageError` unless these are claims about positions and tokens that there are, some in every sequence.

        An entry behind the last one is a cell that nothing constrains, and a gap is read mod p.
        """
        tokens = sum(lengths)
        if not len(self.positions) == len(self.tokens) == len(self.gaps) > 0:
            raise UsageError("claims need a position, a token and a gap each, and there must be one")
        if list(self.positions) != sorted(set(self.positions)):
            raise UsageError("claimed positions must ascend")
        if self.positions[0] < 0 or self.positions[-1] >= tokens:
            raise UsageError(f"a claimed position is none of {tokens}")
        if any(not 0 <= token < vocabulary for token in self.tokens):
            raise UsageError(f"a claimed token is none of {vocabulary}")
        if any(not 0 <= gap < 1 << DISTANCE_BITS for gap in self.gaps):
            raise UsageError(f"a claimed gap is not between 0 and {(1 << DISTANCE_BITS) - 1}")
        counts = self.counts(lengths)
        if len(self.odds) != len(counts) or min(counts) < 1:
            raise UsageError("every sequence needs a claim, and its odds")
        if any(not 0 < odds < ODDS_LIMIT * n < P for odds, n in zip(self.odds, counts, strict=True)):
            raise UsageError("the odds are more than so many tokens can have")


def relate_head(builder: Builder, program: InferenceProgram, normed: Matrix, claims: Claims) -> None:
    """The logits at the claimed positions, none of which is more than its gap above the claimed one's."""
    site = program.sites[-1]
    cap = site if isinstance(site, Cap) else None
    if cap is not None:
        site = program.sites[-2]
    if not isinstance(site, Linear):
        raise TypeError("an inference program ends in its logits")
    count, vocabulary = len(claims.positions), site.cols
    reach = LOGIT_HEIGHT if cap is not None else (1 << (LOGIT_BITS - 1)) + (1 << DISTANCE_BITS)
    steps = builder.steps(
        "head", ("head",), vocabulary, [site.base], [site.extra], reach, site.bound, uneven=False
    )
    frame, rows = Frame(count, 1, 1, vocabulary), Frame(count, 1)
    distance = builder.matrix("head.distance", frame, 1 << DISTANCE_BITS)
    bits = odds_digit(vocabulary)
    digits = (
        builder.matrix("head.odds1", frame, 1 << bits),
        builder.matrix("head.odds0", frame, (1 << bits) - 1),
    )
    table = Table("odds", (program.facts.logits, bits))
    builder.look("head.odds", table, Own(distance), *(Own(digit) for digit in digits))
    claimed = builder.matrix("head.claimed", rows, 1 << (LOGIT_BITS - 1), flat=True)
    builder.bits("head.claimed", claimed, LOGIT_BITS, 1 << (LOGIT_BITS - 1))
    raw = distance if cap is None else _capped(builder, cap, distance, claimed)
    # acc + half − ℓ − 2^s·(claimed − D) = 0, or the logit before its cap in place of claimed − D
    quotient = ((raw, -1 if cap is None else 1),)
    equation = builder.rounded("head", frame, steps, quotient, *builder.bias(("head",), site.bias))
    if cap is None:
        builder.product(Outer(equation, claimed, steps.power, -1))
    last = normed.frame.inner - 1
    builder.product(Projection(equation, normed, ("head",), 1, (last,), claims.positions))
    builder.equation(
        "head.gap",
        rows,
        1 << (DISTANCE_BITS + 1),
        At(distance, claims.tokens),
        PublicTokens(tuple(-gap for gap in claims.gaps)),
    )
    _relate_odds(builder, digits, bits, rows, claims)


def _capped(builder: Builder, cap: Cap, distance: Matrix, claimed: Matrix) -> Matrix:
    """D = claimed − capped logit; returns the logits before the cap."""
    raw = builder.matrix("head.raw", distance.frame, cap.height)
    capped = builder.matrix("head.capped", distance.frame, cap.clamp)
    builder.look(
        "head.cap", Table("logit_caps", (cap.height, cap.clamp, cap.cap, cap.unit)), Own(raw), Own(capped)
    )
    bound = (1 << LOGIT_BITS) + (1 << DISTANCE_BITS)
    builder.equation(
        "head.distance", distance.frame, bound, Beside(claimed), Cells(capped, -1), Cells(distance, -1)
    )
    return raw


def _relate_odds(
    builder: Builder, digits: tuple[Matrix, Matrix], bits: int, rows: Frame, claims: Claims
) -> None:
    """Every claim's sum over the vocabulary, rounded up to quarters, and their sum in every sequence.

    Both sides of either equation are numbers from 0 to below p.
    """

    limit = ODDS_LIMIT.bit_length() - 1
    carry, low = builder.number("odds.carry", rows, limit), builder.number("odds.low", rows, bits)
    found, high = builder.number("odds", rows, limit), builder.number("odds.high", rows, bits - ODDS_BITS)
    bound = (1 << 30) + (1 << 20)
    builder.equation("odds.low", rows, bound, RowSum(digits[1]), Beside(low), Beside(carry, -(1 << bits)))
    unit = Beside(found, -(1 << bits - ODDS_BITS))
    builder.equation("odds.high", rows, bound, RowSum(digits[0]), Beside(carry), Beside(high), unit)
    total = Total(found, claims.counts(builder.lengths))
    claimed = PublicTokens(tuple(-odds for odds in claims.odds))
    builder.equation("odds.total", Frame(len(claims.odds), 1), bound, total, claimed)
