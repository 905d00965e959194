"""Attacks on what a program measures on the model: counts of influences, multipliers, ratios (protocol §3.6).

As in `attacks`, returning means that the forgery was accepted.
"""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest import mock

import numpy as np

from huref.circuits.argument.security import SecurityReport
from huref.circuits.argument.spaces import HeadSums
from huref.circuits.program.influence import shared
from huref.circuits.program.numbers import InfluenceTrace
from huref.prover.argument.witness import LookupInputs
from tests.proof.attacks import Attack, forge, setup_for
from tests.proof.cheating import lenient, other_values, rerun
from tests.proof.programs import Case


def wrong_count(row: str, kind: str) -> Attack:
    """One published count of a row's influences off by one, and the whole run as it follows from it."""

    def attack(case: Case) -> SecurityReport:
        cap = case.trace.influences[row].cap
        near = [dataclasses.replace(cap, **{kind: getattr(cap, kind) + by}) for by in (1, -1)]
        quarters = case.program.influence[row].quarters
        possible = [x for x in near if x.canonical(quarters) and x.above <= x.at <= x.alive]
        wrong = possible[0]
        trace = rerun(case, caps={row: wrong})
        return forge(case, setup_for(case, trace), trace=trace)

    return attack


def wrong_ratio(name: str, number: int) -> Attack:
    """One published sum of a ratio off by b, and the whole run as it follows from it."""

    def attack(case: Case) -> SecurityReport:
        sums = list(case.trace.ratios[name])
        sums[number] += sums[1]
        ratio = case.program.ratio[name]
        assert ratio.weight((sums[0], sums[1])) != ratio.weight(case.trace.ratios[name])
        trace = rerun(case, ratios={name: (sums[0], sums[1])})
        return forge(case, setup_for(case, trace), trace=trace)

    return attack


def wrong_multiplier(row: str) -> Attack:
    """One neuron or token counts as another one does."""

    def attack(case: Case) -> SecurityReport:
        honest = case.trace.influences[row]
        changed = honest.multipliers.copy()
        place = int(np.argmax(changed < changed.max()))
        changed[place] = changed.max()
        trace = rerun(case, multipliers={row: changed})
        with lenient():
            return forge(case, setup_for(case, trace), trace=trace)

    return attack


def wrong_steps(row: str) -> Attack:
    """Influences of other steps than the committed ones, with the counts and the run that follow."""

    def attack(case: Case) -> SecurityReport:
        influence, honest = case.program.influence[row], case.trace.influences[row]
        steps = honest.steps.copy()
        steps[int(np.argmin(steps))] = steps.max()
        rows = {name: found.multipliers for name, found in case.trace.influences.items()}
        cap, multipliers = influence.find(influence.gated(steps, rows))
        false = InfluenceTrace(steps, cap, multipliers)
        trace = rerun(case, influences={row: false})
        return forge(case, setup_for(case, trace), trace=trace)

    return attack


def ignored_gate(case: Case) -> SecurityReport:
    """Scores of heads that write nothing count."""
    honest = case.trace.influences["qk.mu"]
    cap, multipliers = case.program.influence["qk.mu"].find(honest.steps)
    assert not np.array_equal(multipliers, honest.multipliers)
    trace = rerun(case, influences={"qk.mu": InfluenceTrace(honest.steps, cap, multipliers)})
    with lenient():
        return forge(case, setup_for(case, trace), trace=trace)


def unweighted_sketch(case: Case) -> SecurityReport:
    """Sketches of rows that all count alike, though the committed multipliers differ."""
    seen = np.full_like(case.trace.influences["rows.mu"].multipliers, 8)
    trace = rerun(case, entries={"rows.mu": seen})
    with other_values("inner_vectors", **{"rows.mu": seen}):
        return forge(case, setup_for(case, trace), trace=trace)


def other_columns(case: Case) -> SecurityReport:
    """Factors whose columns were multiplied by other numbers than those of the committed row."""
    other = np.roll(case.trace.shares["qk.share"], 1)
    trace = rerun(case, columns={"qa": other})
    original = LookupInputs.operand

    def operand(self: LookupInputs, block: Any, read: Any) -> Any:
        if type(read).__name__ == "Repeated" and block.label.startswith("qa."):
            return np.broadcast_to(other.astype(np.int16), (block.rows, block.cols))
        return original(self, block, read)

    with mock.patch.object(LookupInputs, "operand", operand):
        return forge(case, setup_for(case, trace), trace=trace)


def unbounded_heads(case: Case) -> SecurityReport:
    """Heads count as their rows do, however large."""
    before = case.trace.influences["qk.mu"].multipliers
    assert not np.array_equal(before, case.trace.shares["qk.head"])
    trace = rerun(case, shares={"qk.head": before})
    with lenient():
        return forge(case, setup_for(case, trace), trace=trace)


def other_sums(case: Case) -> SecurityReport:
    """Heads bounded by other sums than those of their committed multipliers."""
    before, bound = case.trace.influences["qk.mu"].multipliers, case.program.share["qk.head"]
    influence = case.program.counting("qk.head")
    table = bound.table(np.unique(before).tolist(), influence.head_root(case.trace.caps["qk.mu"]))
    false = np.maximum(0, bound.counts(before, {}) // 4)
    heads = table.divided(before, false)
    assert not np.array_equal(heads, case.trace.shares["qk.head"])
    trace = rerun(case, shares={"qk.head": heads})
    original = LookupInputs.operand

    def operand(self: LookupInputs, block: Any, read: Any) -> Any:
        if isinstance(read, HeadSums) and read.share == "qk.head":
            return false[None]
        return original(self, block, read)

    with mock.patch.object(LookupInputs, "operand", operand):
        return forge(case, setup_for(case, trace), trace=trace)


def whole_share(case: Case) -> SecurityReport:
    """Heads that are alike count as if they were not."""
    before = case.trace.shares["qk.head"]
    assert not np.array_equal(before, case.trace.shares["qk.share"])
    trace = rerun(case, shares={"qk.share": before})
    with lenient():
        return forge(case, setup_for(case, trace), trace=trace)


def other_likeness(case: Case) -> SecurityReport:
    """Shares by other likenesses than those that are committed."""
    seen = case.trace.sites["alike"].out.copy()
    seen[1:] = 0
    before, counts = case.trace.shares["qk.head"], case.program.share["qk.share"].counts
    shares = shared(before, counts(before, {"alike": seen}))
    assert not np.array_equal(shares, case.trace.shares["qk.share"])
    trace = rerun(case, shares={"qk.share": shares})
    original = LookupInputs.operand

    def operand(self: LookupInputs, block: Any, read: Any) -> Any:
        if isinstance(read, HeadSums) and read.share == "qk.share":
            return counts(before, {"alike": seen})[None]
        return original(self, block, read)

    with mock.patch.object(LookupInputs, "operand", operand):
        return forge(case, setup_for(case, trace), trace=trace)


def other_scores(name: str, of: str) -> Attack:
    """How alike heads are, or their scores, from other activations than the ones committed."""

    def attack(case: Case) -> SecurityReport:
        seen = case.trace.sites[of].out.copy()
        seen[:, ::2] = -seen[:, ::2]
        trace = rerun(case, seen={name: {of: seen}})
        assert not np.array_equal(trace.sites[name].out, case.trace.sites[name].out)
        with other_values("inner_vectors", **{of: seen}):
            return forge(case, setup_for(case, trace), trace=trace)

    return attack


def other_deflation(case: Case) -> SecurityReport:
    """A deflation by another weight than that of the published sums."""
    trace = rerun(case, weights={"ys1": 0})
    return forge(case, setup_for(case, trace), trace=trace)
