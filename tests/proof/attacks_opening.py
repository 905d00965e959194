"""Attacks on the opening: leaves, masks and rows that no tree or claim binds once a check is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.prover.argument.opening
import huref.prover.argument.prove
from huref.circuits.argument.opening import vandermonde
from huref.circuits.argument.proof import Setup
from huref.circuits.argument.security import SecurityReport
from huref.common.algebra.field import DEGREE, decode_k, fadd, fdot, fmul, fpow, fsub, kdot, kmul
from huref.common.algebra.kscalar import KS
from huref.common.errors import Rejected
from huref.prover.commitment.weights import commit_weights
from huref.prover.kernels.field.field import k_from_mont
from huref.verifier.argument.verify import verify_program
from tests.proof.attacks import Attack, forge, other_model, setup_for
from tests.proof.cheating import Alias, edited_array, edited_leaves
from tests.proof.programs import STATEMENT, Case, secret


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
    original = huref.prover.argument.opening._functional

    def note(*given: Any) -> np.ndarray:
        functional = original(*given)
        seen[:] = [k_from_mont(functional)]
        return functional

    return mock.patch.object(huref.prover.argument.opening, "_functional", note)


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
    original = huref.prover.argument.opening._second

    def second(geometry_: Any, a: np.ndarray, y: np.ndarray, points: list[int], deltas: np.ndarray) -> Any:
        vanishing = np.ones(1, np.uint64)
        for x in points[: geometry.weights.queries]:
            longer = np.concatenate([np.zeros(1, np.uint64), vanishing])
            longer[:-1] = fsub(longer[:-1], fmul(vanishing, np.uint64(x)))
            vanishing = longer
        padded = np.zeros((len(y), DEGREE), np.uint64)
        padded[: len(vanishing), 0] = vanishing
        scale = gap / KS.from_array(kdot(padded, k_from_mont(a)))
        changed[:] = [fadd(y, kmul(padded, scale.array()))]
        return original(geometry_, a, changed[0], points, deltas)

    def leaves(positions: list[int], _: np.ndarray) -> np.ndarray:
        rows = changed[0].reshape(-1, DEGREE * geometry.w2)
        return fdot(vandermonde(domain.points(np.array(positions)), len(rows)), rows)

    with (
        mock.patch.object(huref.prover.argument.opening, "_second", second),
        edited_leaves("opening.second", leaves),
    ):
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
