"""Attacks by a prover that knows its challenges in advance; they show what the triple and root checks stop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np

import huref.prover.argument.opening
import huref.prover.argument.prove
from huref.circuits.argument.security import SecurityReport
from huref.circuits.program.evaluate import Trace
from huref.common.algebra.field import P, fsub
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import PadSpace
from huref.common.argument.transcript import Transcript
from huref.prover.argument.channel import ProverChannel
from huref.prover.commitment.randomness import SecretSeed
from tests.proof.attacks import Attack, forge, off_by_one, setup_for
from tests.proof.cheating import edited_products, lenient, rerun
from tests.proof.programs import Case, secret


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
        make, check = huref.prover.argument.prove.make_pads, huref.prover.argument.prove.prove_triples
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
                mock.patch.object(huref.prover.argument.prove, "make_pads", pads),
                mock.patch.object(
                    huref.prover.argument.prove, "prove_triples", other_list if honest_check else check
                ),
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
    table = next(block.table for block in setup.layout.spaces[0].tables if block.table.kind == "remainder")
    beta = KS((3, 1, 4, 1, 5))
    alpha = beta * honest.shift + beta * beta * int(remainder[first]) + setup.layout.spaces[0].tag(table)
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
