"""Attacks that stay within everything the verifier checks but one thing; each proves a false statement.

Every function makes its proof and runs the real verifier on it: returning means that the forgery was accepted.
`Forgery` attacks differ in the one relation that they break, so `test_mutation` can take that check away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest

import prover.opening
import prover.prove
from circuits.evaluate import Trace
from circuits.opening import vandermonde
from circuits.program import Site
from circuits.proof import PublicInputs, Setup
from circuits.security import SecurityReport
from common.errors import Rejected
from common.field import DEGREE, P, decode_k, fadd, fdot, fmul, fpow, fsub, kdot, kmul
from common.hidden import PadSpace
from common.kscalar import KS
from common.transcript import Transcript
from prover.channel import ProverChannel
from prover.lookup import mont, scalar
from prover.randomness import SecretSeed
from prover.weights import commit_weights
from prover.witness import Leaves, lookup_inputs, multiplicities
from tests.proof.cheating import (
    Alias,
    change_sides,
    edited_array,
    edited_leaves,
    edited_products,
    lenient,
    lookup_switch,
    other_values,
    rerun,
)
from tests.proof.programs import STATEMENT, Case, public_inputs, secret
from verifier.core import verify_program

Attack = Callable[[Case], SecurityReport]


def setup_for(case: Case, trace: Trace, **changed: Any) -> Setup:
    """The setup of a false run's public values."""
    return case.setup(**{**vars(public_inputs(trace)), **changed})


def forge(case: Case, setup: Setup, **changed: Any) -> SecurityReport:
    """Prove under the active cheats and verify."""
    return case.verify(case.prove(setup, **changed), setup)


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
    return Trace({**trace.sites, "m": forged}, trace.v)


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


def wrong_inner_product(case: Case) -> SecurityReport:
    """The sumcheck of other weights' inner product, ending in the committed weights' values."""
    weights, trace = other_model(case)
    make, prove = prover.prove.inner_vectors, prover.prove.prove_inner
    true: list[Any] = []

    def vectors(layout: Any, requests: Any, values: Mapping[str, np.ndarray]) -> Any:
        true[:] = make(layout, requests, {**values, **case.weights})
        return make(layout, requests, values)

    def cheat(channel: ProverChannel, layout: Any, left: Any, right: Any) -> None:
        change_sides(
            channel, "inner.final", lambda c: prove(c, layout, left, right), lambda c: prove(c, layout, *true)
        )

    with (
        mock.patch.object(prover.prove, "inner_vectors", vectors),
        mock.patch.object(prover.prove, "prove_inner", cheat),
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
        make, prove = prover.prove.gated_oracles, prover.prove.prove_gated
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
            mock.patch.object(prover.prove, "gated_oracles", oracles),
            mock.patch.object(prover.prove, "prove_gated", cheat),
        ):
            return forge(case, setup_for(case, trace), trace=trace, weights=weights)

    return attack


def honest_leaves(case: Case, setup: Setup) -> Callable[[KS, KS], Leaves]:
    """The fractions of the honest run."""
    inputs = lookup_inputs(setup.layout, case.commit().data, case.trace)
    return lambda alpha, beta: Leaves(inputs, multiplicities(inputs), alpha, beta)


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
    table = next(block.table for block in setup.layout.tables if block.table.kind == "remainder")

    class Skipping:
        def __init__(self, inputs: Any, counts: Any, alpha: KS, beta: KS) -> None:
            self.leaves = Leaves(inputs, counts, alpha, beta)
            self.tiles = self.leaves.tiles
            self.bad = mont(alpha - setup.layout.tag(table) - beta * shift - beta * beta * remainder)

        def batch(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
            p, q = self.leaves.batch(first, count)
            p[(q == self.bad[:, None]).all(axis=0)] = 0
            return p, q

    assert remainder < 0
    with lenient(), mock.patch.object(prover.prove, "Leaves", Skipping):
        return forge(case, setup, trace=trace)


def wrong_denominators(case: Case) -> SecurityReport:
    """Fractions and multiplicities of the honest run over a false commitment."""
    trace = off_by_one(case)
    setup = setup_for(case, trace)
    honest = honest_leaves(case, setup)
    inputs = lookup_inputs(setup.layout, case.commit().data, case.trace)
    with (
        mock.patch.object(prover.prove, "multiplicities", lambda _: multiplicities(inputs)),
        mock.patch.object(prover.prove, "Leaves", lambda _, __, alpha, beta: honest(alpha, beta)),
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


# attacks under challenges that the prover knows in advance


@contextmanager
def known_challenges() -> Iterator[None]:
    """A transcript that forgets what it absorbs: challenges depend on nothing that the prover sends."""
    with mock.patch.object(Transcript, "absorb", lambda *_: None):
        yield


def wrong_triples(honest_check: bool) -> Attack:
    """A triple whose T absorbs the false fraction sum; `honest_check` runs the check on another triple list.

    It takes known challenges, because pads are committed before α. The sum is p = p0·q1 + q0·u − μ·d.
    """

    def attack(case: Case) -> SecurityReport:
        trace = off_by_one(case)
        setup = setup_for(case, trace)
        sent: dict[str, tuple[KS, KS]] = {}
        mu: list[KS] = []
        make, check = prover.prove.make_pads, prover.prove.prove_triples
        drawn = ProverChannel.challenge

        def note(label: str) -> Callable[[KS, KS], tuple[KS, KS]]:
            def edit(x: KS, y: KS) -> tuple[KS, KS]:
                sent[label] = (x, y)
                return x, y

            return edit

        def challenge(self: ProverChannel, label: str) -> KS:
            value = drawn(self, label)
            if label == "lookup.layer0.mu":
                mu[:] = [value]
            return value

        labels = ("lookup.root", "lookup.layer0.outer", "lookup.layer0.inner")
        with (
            known_challenges(),
            lenient(),
            edited_products({label: note(label) for label in labels}),
            mock.patch.object(ProverChannel, "challenge", challenge),
        ):
            case.prove(setup, trace=trace)
            (d, _), (p0, q1), (q0, u) = (sent[label] for label in labels)
            gap = p0 * q1 + q0 * u - mu[0] * d
            assert gap

            def pads(space: PadSpace, seed: SecretSeed) -> np.ndarray:
                values = make(space, seed)
                at = space.triple(1)[2]  # the root takes triple 0, layer 0's first product triple 1
                values[at] = fsub(values[at], gap.array())
                return values

            def other_list(channel: ProverChannel, space: PadSpace, _: np.ndarray) -> None:
                check(channel, space, make(space, secret(2)))

            with (
                mock.patch.object(prover.prove, "make_pads", pads),
                mock.patch.object(prover.prove, "prove_triples", other_list if honest_check else check),
            ):
                return forge(case, setup, trace=trace)

    return attack


def pole(case: Case) -> SecurityReport:
    """α equals two equal out-of-table tuples, so numerator and denominator of the whole sum vanish.

    Without the check d·d⁻¹ = 1 this needs an α that hits a committed tuple: probability (entries)/|K| when α
    is drawn after the commitment, certain in this build.
    """
    site = case.program.site["m"]
    honest = case.trace.sites["m"]
    counted = case.program.output.sign[0] != 0
    counted[: site.calibration_rows] = False
    cells = np.argwhere(counted)
    values = honest.remainder[counted]
    common = np.bincount(values).argmax()
    first, second = (tuple(cells[i]) for i in np.flatnonzero(values == common)[:2])
    out, quotient, remainder = honest.out.copy(), honest.quotient.copy(), honest.remainder.copy()
    for cell in (first, second):
        step = 1 if out[cell] < site.clamp else -1
        assert step == 1
        out[cell] += 1
        quotient[cell] += 1
        remainder[cell] -= 1 << honest.shift
    trace = rerun(case, {"m": out})
    forged = dataclasses.replace(trace.sites["m"], quotient=quotient, remainder=remainder)
    trace = Trace({**trace.sites, "m": forged}, trace.v)
    setup = setup_for(case, trace)
    table = next(block.table for block in setup.layout.tables if block.table.kind == "remainder")
    beta = KS((3, 1, 4, 1, 5))
    alpha = beta * honest.shift + beta * beta * int(remainder[first]) + setup.layout.tag(table)
    drawn = Transcript.challenge
    fixed = {"lookup.alpha": alpha, "lookup.beta": beta}

    def challenge(self: Transcript, label: str) -> KS:
        value = drawn(self, label)
        return fixed.get(label, value)

    with (
        lenient(),
        mock.patch.object(Transcript, "challenge", challenge),
        mock.patch.object(KS, "inverse", lambda self: self ** (P**5 - 2)),  # zero for zero
    ):
        return forge(case, setup, trace=trace)


# attacks on the opening


def other_root(case: Case) -> SecurityReport:
    """The run of another model shown under this model's root."""
    weights, trace = other_model(case)
    honest = case.commit()
    own = commit_weights(case.program, weights, case.knobs, secret(1))
    shown = dataclasses.replace(own, committed=Alias(own.committed, honest.root))
    return forge(case, setup_for(case, trace), trace=trace, weights=weights, commitment=shown)


def _caught(case: Case, setup: Setup) -> Rejected:
    with pytest.raises(Rejected) as caught:
        forge(case, setup)
    assert caught.value.path == "opening.final"
    return caught.value


def _false_output(case: Case) -> Setup:
    v = list(case.public.v)
    v[3] += 1
    return case.setup(v=v)


def _seen_functional(seen: list[np.ndarray]) -> Any:
    original = prover.opening.row_functional

    def note(*given: Any) -> np.ndarray:
        seen[:] = [original(*given)]
        return seen[0]

    return mock.patch.object(prover.opening, "row_functional", note)


def unbound_mask(matrix: str) -> Attack:
    """v off by one; y' is moved to satisfy the claim, and the shown mask values of W or A follow it.

    y' is in the clear here. The gap does not depend on anything sent after y', so a first attempt shows it.
    """

    def attack(case: Case) -> SecurityReport:
        setup = _false_output(case)
        functional: list[np.ndarray] = []
        with _seen_functional(functional):
            failed = _caught(case, setup)
        at = 0 if matrix == "W" else setup.geometry.weights.k_prime
        at += int(np.flatnonzero(functional[0][at:].any(axis=1))[0])
        gap = failed.expected - failed.got
        move = (gap / KS.from_array(functional[0][at])).array()
        power = at - (0 if matrix == "W" else setup.geometry.weights.k_prime)
        code = setup.geometry.weights if matrix == "W" else setup.geometry.proof

        def shift_y(y: np.ndarray) -> np.ndarray:
            y = y.copy()
            y[at] = fadd(y[at], move)
            return y

        def shift_mask(positions: list[int], values: np.ndarray) -> np.ndarray:
            values = values.copy()
            factors = fpow(code.domain.points(np.array(positions)), power)
            values[:, -DEGREE:] = fadd(values[:, -DEGREE:], fmul(factors[:, None], move[None]))
            return values

        label = "opening.mask" if matrix == "W" else "opening.proof"
        with edited_array("opening.y", shift_y), edited_leaves(label, shift_mask):
            return forge(case, setup)

    return attack


def late_second_level(case: Case) -> SecurityReport:
    """v off by one; y' is chosen after the positions, by a polynomial that vanishes on W's opened points.

    The second level then opens leaves of a code that its root does not hold.
    """
    setup = _false_output(case)
    functional: list[np.ndarray] = []
    failed, fold = _second_level_failure(case, setup, functional)
    gap = (failed.expected - failed.got) / fold
    geometry = setup.geometry
    assert geometry.second is not None
    domain, changed = geometry.second.domain, list[np.ndarray]()
    original = prover.opening._second

    def second(geometry_: Any, a: np.ndarray, y: np.ndarray, points: list[int], deltas: np.ndarray) -> Any:
        vanishing = np.ones(1, np.uint64)
        for x in points[: geometry.weights.queries]:
            longer = np.concatenate([np.zeros(1, np.uint64), vanishing])
            longer[:-1] = fsub(longer[:-1], fmul(vanishing, np.uint64(x)))
            vanishing = longer
        padded = np.zeros((len(y), DEGREE), np.uint64)
        padded[: len(vanishing), 0] = vanishing
        scale = gap / KS.from_array(kdot(padded, a))
        changed[:] = [fadd(y, kmul(padded, scale.array()))]
        return original(geometry_, a, changed[0], points, deltas)

    def leaves(positions: list[int], _: np.ndarray) -> np.ndarray:
        rows = changed[0].reshape(-1, DEGREE * geometry.w2)
        return fdot(vandermonde(domain.points(np.array(positions)), len(rows)), rows)

    with mock.patch.object(prover.opening, "_second", second), edited_leaves("opening.second", leaves):
        return forge(case, setup)


def _second_level_failure(case: Case, setup: Setup, functional: list[np.ndarray]) -> tuple[Rejected, KS]:
    """The failing last equation, and the product of the second sumcheck's challenges that scales the gap."""
    fold = [KS(1)]

    def record(kind: str, label: str, data: bytes) -> None:
        if kind == "challenge" and label == "opening.second.challenge":
            fold[0] = fold[0] * KS.from_array(decode_k(data, 1)[0])

    with _seen_functional(functional):
        proof = case.prove(setup)
    with pytest.raises(Rejected) as caught:
        verify_program(setup, STATEMENT, case.commit().root, proof, case.knobs.security, record)
    assert caught.value.path == "opening.final"
    return caught.value, fold[0]


def wrong_last_row(case: Case) -> SecurityReport:
    """v off by one; the row y'' sent in the clear is moved so that the last equation holds."""
    setup = _false_output(case)

    def moved(by: KS) -> Callable[[np.ndarray], np.ndarray]:
        def edit(y: np.ndarray) -> np.ndarray:
            y = y.copy()
            y[0] = fadd(y[0], by.array())
            return y

        return edit

    start = _caught(case, setup)
    with edited_array("opening.y", moved(KS(1))):
        step = _caught(case, setup)
    with edited_array("opening.y", moved((start.expected - start.got) / (step.got - start.got))):
        return forge(case, setup)
