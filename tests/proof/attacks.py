"""Attacks that stay within everything the verifier checks but one thing; each proves a false statement.

Every function makes its proof and runs the real verifier on it: returning means that the forgery was accepted.
`Forgery` attacks differ in the one relation that they break, so `test_mutation` can take that check away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.prover.argument.opening
import huref.prover.argument.prove
from huref.circuits.argument.proof import PublicInputs, Setup
from huref.circuits.argument.security import SecurityReport
from huref.circuits.program.evaluate import Trace
from huref.circuits.program.program import Site
from huref.common.algebra.kscalar import KS
from huref.common.errors import Rejected
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.inner import ProductOracle
from huref.prover.argument.lookup_leaves import Leaves
from huref.prover.argument.lookup_tree import mont, scalar
from huref.prover.argument.witness import lookup_inputs, multiplicities
from huref.prover.kernels.field.limbs import from_blocks
from tests.proof.cheating import change_sides, edited_products, lenient, lookup_switch, other_values, rerun
from tests.proof.programs import Case, public_inputs

Attack = Callable[[Case], SecurityReport]


def setup_for(case: Case, trace: Trace, **changed: Any) -> Setup:
    """The setup of a false run's public values."""
    return case.setup(**{**vars(public_inputs(trace)), **changed})


def forge(case: Case, setup: Setup, **changed: Any) -> SecurityReport:
    """Prove under the active cheats and verify."""
    return case.verify(case.prove(setup, **changed), setup)


def rejected(case: Case, setup: Any = None, path: str = "opening.final", **changed: Any) -> None:
    with pytest.raises(Rejected) as caught:
        forge(case, setup or case.setup(), **changed)
    assert caught.value.path == path


def below_calibration(site: Site, used: np.ndarray) -> tuple[int, int]:
    """A cell under the calibration rows that counts in the output."""
    rows, cols = np.nonzero(used)
    at = np.flatnonzero(rows >= site.calibration_rows)[0]
    return int(rows[at]), int(cols[at])


def off_by_one(case: Case) -> Trace:
    """The last product's result off by one in a cell that moves v; its remainder makes up for it."""
    site = case.program.site["m"]
    cell = below_calibration(site, case.program.output.sign[0])
    honest = case.trace.sites["m"]
    out, quotient, remainder = honest.out.copy(), honest.quotient.copy(), honest.remainder.copy()
    out[cell] += 1
    quotient[cell] += 1
    remainder[cell] -= 1 << honest.shift
    trace = rerun(case, {"m": out})
    forged = dataclasses.replace(trace.sites["m"], quotient=quotient, remainder=remainder)
    return dataclasses.replace(trace, sites={**trace.sites, "m": forged})


def wrong_output(case: Case) -> SecurityReport:
    """v off by one, everything else honest."""
    v = list(case.public.v)
    v[3] += 1
    return forge(case, case.setup(v=v))


def other_model(case: Case) -> tuple[dict[str, np.ndarray], Trace]:
    """Weights b with one entry changed, and the honest run on them."""
    weights = {name: x.copy() for name, x in case.weights.items()}
    weights["b"][0, 0] = -weights["b"][0, 0] - 1
    return weights, rerun(case, weights)


def wrong_weights(case: Case) -> SecurityReport:
    """The run of other weights on this commitment; the inner product's right value is the other weights'."""
    weights, trace = other_model(case)
    return forge(case, setup_for(case, trace), trace=trace, weights=weights)


def wrong_activation(case: Case) -> SecurityReport:
    """One product reads other activations than the ones committed."""
    seen = case.trace.sites["ys"].out.copy()
    seen[-1, 0] += 3
    trace = rerun(case, seen={"qa": {"ys": seen}})
    with other_values("inner_vectors", ys=seen):
        return forge(case, setup_for(case, trace), trace=trace)


def wrong_tensor(name: str) -> Attack:
    """As `wrong_weights`, with one entry of another tensor changed, the last one."""

    def attack(case: Case) -> SecurityReport:
        weights = {key: x.copy() for key, x in case.weights.items()}
        weights[name][-1, -1] = -weights[name][-1, -1] - 1
        trace = rerun(case, weights)
        return forge(case, setup_for(case, trace), trace=trace, weights=weights)

    return attack


def wrong_inner_product(case: Case) -> SecurityReport:
    """The sumcheck of other weights' inner product, ending in the committed weights' values."""
    weights, trace = other_model(case)
    make, prove = huref.prover.argument.prove.inner_vectors, huref.prover.argument.prove.prove_inner
    true: list[Any] = []

    def vectors(layout: Any, requests: Any, values: Mapping[str, np.ndarray]) -> Any:
        true[:] = make(layout, requests, {**values, **case.weights})
        return make(layout, requests, values)

    def cheat(channel: ProverChannel, log_inner: int, oracle: ProductOracle) -> None:
        change_sides(
            channel,
            "inner.final",
            lambda c: prove(c, log_inner, oracle),
            lambda c: prove(c, log_inner, ProductOracle(*true)),
        )

    with (
        mock.patch.object(huref.prover.argument.prove, "inner_vectors", vectors),
        mock.patch.object(huref.prover.argument.prove, "prove_inner", cheat),
    ):
        return forge(case, setup_for(case, trace), trace=trace, weights=weights)


def wrong_gated_weight(name: str) -> Attack:
    """The gated product of another gate or up, whose values at the end of the sumcheck are sent."""

    def attack(case: Case) -> SecurityReport:
        weights, trace = gated_model(case, name)
        return forge(case, setup_for(case, trace), trace=trace, weights=weights)

    return attack


def gated_model(case: Case, name: str) -> tuple[dict[str, np.ndarray], Trace]:
    """Other gated weights and their run."""
    weights = {key: x.copy() for key, x in case.weights.items()}
    weights[name][0, 0] = -weights[name][0, 0] - 1
    return weights, rerun(case, weights)


def wrong_gated_activation(case: Case) -> SecurityReport:
    """The gated product reads other activations than the ones committed."""
    seen = case.trace.sites["ys"].out.copy()
    seen[-1, 0] += 3
    trace = rerun(case, seen={"ga": {"ys": seen}})
    with other_values("gated_oracles", ys=seen):
        return forge(case, setup_for(case, trace), trace=trace)


def wrong_gated_product(keep_first: bool) -> Attack:
    """The sumcheck of another gate, ending in the committed values; `keep_first` lies in the operand copy."""

    def attack(case: Case) -> SecurityReport:
        weights, trace = gated_model(case, "gate")
        make, prove = huref.prover.argument.prove.gated_oracles, huref.prover.argument.prove.prove_gated
        true: list[Any] = []

        def oracles(layout: Any, requests: Any, values: Mapping[str, np.ndarray]) -> Any:
            true[:] = make(layout, requests, {**values, **case.weights})
            return make(layout, requests, values)

        def cheat(channel: ProverChannel, layout: Any, fake: Any) -> None:
            def copy(x: KS, y: KS) -> tuple[KS, KS]:
                wrong = scalar(fake[0].gate[:, 0]) * scalar(fake[0].up[:, 0])
                return (wrong if keep_first else x), y

            with edited_products({"gated.ga.final": copy}):
                change_sides(
                    channel,
                    "gated.ga.weights",
                    lambda c: prove(c, layout, fake),
                    lambda c: prove(c, layout, true),
                )

        with (
            mock.patch.object(huref.prover.argument.prove, "gated_oracles", oracles),
            mock.patch.object(huref.prover.argument.prove, "prove_gated", cheat),
        ):
            return forge(case, setup_for(case, trace), trace=trace, weights=weights)

    return attack


def honest_leaves(case: Case, setup: Setup) -> Callable[[KS, KS], Leaves]:
    """The fractions of the honest run."""
    inputs = lookup_inputs(setup.layout, case.commit().data, case.trace)
    space = inputs.layout.spaces[0]
    return lambda alpha, beta: Leaves(inputs, space, multiplicities(inputs, space), alpha, beta)


def wrong_layer(layer: int) -> Attack:
    """An out-of-table remainder; the fraction tree is the honest run's above one layer."""

    def attack(case: Case) -> SecurityReport:
        trace = off_by_one(case)
        setup = setup_for(case, trace)
        with lenient(), lookup_switch(f"lookup.layer{layer}.outer", honest_leaves(case, setup)):
            return forge(case, setup, trace=trace)

    return attack


def wrong_numerators(case: Case) -> SecurityReport:
    """The out-of-table entry gets numerator zero."""
    trace = off_by_one(case)
    setup = setup_for(case, trace)
    shift, remainder = trace.sites["m"].shift, int(trace.sites["m"].remainder.min())
    table = next(block.table for block in setup.layout.spaces[0].tables if block.table.kind == "remainder")

    class Skipping:
        def __init__(self, inputs: Any, space: Any, counts: Any, alpha: KS, beta: KS) -> None:
            self.leaves = Leaves(inputs, space, counts, alpha, beta)
            self.tiles = self.leaves.tiles
            self.bad = mont(
                alpha - setup.layout.spaces[0].tag(table) - beta * shift - beta * beta * remainder
            )

        def batch(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
            p, q = self.leaves.batch(first, count)
            p[(from_blocks(q) == self.bad[:, None]).all(axis=0)] = 0
            return p, q

    assert remainder < 0
    with lenient(), mock.patch.object(huref.prover.argument.prove, "Leaves", Skipping):
        return forge(case, setup, trace=trace)


def wrong_denominators(case: Case) -> SecurityReport:
    """Fractions and multiplicities of the honest run over a false commitment."""
    trace = off_by_one(case)
    setup = setup_for(case, trace)
    honest = honest_leaves(case, setup)
    inputs = lookup_inputs(setup.layout, case.commit().data, case.trace)
    with (
        mock.patch.object(
            huref.prover.argument.prove, "multiplicities", lambda _, space: multiplicities(inputs, space)
        ),
        mock.patch.object(
            huref.prover.argument.prove, "Leaves", lambda _, __, ___, alpha, beta: honest(alpha, beta)
        ),
    ):
        return forge(case, setup, trace=trace)


def other_shift(
    case: Case, by: int, sums: Callable[[int, int, int], tuple[int, int | None]]
) -> tuple[Trace, PublicInputs]:
    """A run whose m has `by` shifts more, and its public inputs with `sums(limit, coarse, fine)` for m."""
    trace = rerun(case, shifts={**case.trace.shifts, "m": case.trace.shifts["m"] + by})
    site = case.program.site["m"]
    limit = site.target * site.calibration_rows * site.cols
    published = {**trace.sums, "m": sums(limit, *trace.sums["m"])}
    return trace, dataclasses.replace(public_inputs(trace), sums=published)


def wrong_calibration(by: int, sums: Callable[[int, int, int], tuple[int, int | None]]) -> Attack:
    """A shift that is not canonical, with published sums that would make it so."""

    def attack(case: Case) -> SecurityReport:
        trace, public = other_shift(case, by, sums)
        return forge(case, case.setup(**vars(public)), trace=trace)

    return attack
