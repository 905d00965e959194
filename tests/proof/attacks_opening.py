"""Attacks on the opening: leaves and vectors that no tree or claim binds once a check is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.prover.argument.opening
import huref.prover.argument.prove
from huref.circuits.argument.proof import Setup
from huref.circuits.argument.security import SecurityReport
from huref.common.algebra.field import DEGREE, P, decode_k, fadd, fmul, fpow, fsub, kmul
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table
from huref.common.errors import Rejected
from huref.prover.commitment.weights import commit_weights
from huref.prover.kernels.field.field import k_from_mont, k_to_mont
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


@dataclass
class Seen:
    """What a run shows of its levels: the functional and ρ that each leaves, and the challenges of its rounds."""

    functional: dict[int, np.ndarray] = field(default_factory=dict)
    rho: dict[int, list[KS]] = field(default_factory=dict)

    def gap(self, level: int, failed: Rejected, beta: KS) -> KS:
        """By how much the claim on the vector that `level` leaves is off: every later round scales the gap."""
        gap = (failed.expected - failed.got) / beta
        for later, challenges in self.rho.items():
            if later > level:
                for x in challenges:
                    gap = gap / x
        return gap


def number_of(label: str) -> int:
    """1 for W's and A's trees, n for opening.level{n}."""
    return int(label.removeprefix("opening.level")) if "level" in label else 1


@contextmanager
def _watched(seen: Seen) -> Iterator[None]:
    """Fill in `seen` while proofs are made."""
    module = huref.prover.argument.opening
    functional, level, rounds = module.row_functional, module._level, module.public_rounds

    def first(*given: Any) -> np.ndarray:
        found = functional(*given)
        seen.functional[1] = k_from_mont(found)
        return found

    def later(channel: Any, label: str, *given: Any) -> Any:
        y, found = level(channel, label, *given)
        seen.functional[number_of(label)] = k_from_mont(found)
        return y, found

    def note(channel: Any, label: str, *given: Any) -> list[KS]:
        point = rounds(channel, label, *given)
        seen.rho[number_of(label)] = point
        return point

    with (
        mock.patch.object(module, "row_functional", first),
        mock.patch.object(module, "_level", later),
        mock.patch.object(module, "public_rounds", note),
    ):
        yield


def _failure(case: Case, setup: Setup, seen: Seen) -> tuple[Rejected, KS]:
    """The failing last equation of an otherwise honest run, and its β."""
    beta = [KS(1)]

    def record(kind: str, label: str, data: bytes) -> None:
        if kind == "challenge" and label == "opening.beta":
            beta[0] = KS.from_array(decode_k(data, 1)[0])

    with _watched(seen):
        proof = case.prove(setup)
    with pytest.raises(Rejected) as caught:
        verify_program(setup, STATEMENT, case.commit().root, proof, case.knobs.security, record)
    assert caught.value.path == "opening.final"
    return caught.value, beta[0]


@contextmanager
def moved_vector(level: int, move: Callable[[np.ndarray], np.ndarray]) -> Iterator[None]:
    """The vector that `level` leaves, canonical (n, 5), is moved before it is committed or, if the last, sent."""
    module = huref.prover.argument.opening
    rows, last = module._level_rows, module._last

    def commit_moved(geometry: Any, y: np.ndarray, seed: Any, label: str) -> np.ndarray:
        y = move(y.astype(np.uint64)).astype(np.uint32) if number_of(label) == level + 1 else y
        return rows(geometry, y, seed, label)

    def send_moved(channel: Any, tree: Any, y: np.ndarray, *given: Any) -> None:
        y = k_to_mont(move(k_from_mont(y))) if number_of(tree.label) == level else y
        last(channel, tree, y, *given)

    with (
        mock.patch.object(module, "_level_rows", commit_moved),
        mock.patch.object(module, "_last", send_moved),
    ):
        yield


def solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """x of the square system matrix·x = right over F, for every column of `right`; the matrix is invertible."""
    work = np.concatenate([matrix, right], axis=1).astype(np.uint64)
    for column in range(len(matrix)):
        pivot = column + int(np.flatnonzero(work[column:, column])[0])
        work[[column, pivot]] = work[[pivot, column]]
        work[column] = fmul(work[column], np.uint64(pow(int(work[column, column]), -1, P)))
        for row in range(len(matrix)):
            if row != column:
                work[row] = fsub(work[row], fmul(work[column], work[row, column]))
    return work[:, len(matrix) :]


def unbound(label: str, leaves: bool = True) -> Attack:
    """v off by one; the vector that a level leaves is moved to satisfy the claim, and its leaves follow it or not."""
    level = number_of(label)

    def attack(case: Case) -> SecurityReport:
        setup, seen = _false_output(case), Seen()
        geometry = setup.geometry
        gap = seen.gap(level, *_failure(case, setup, seen))
        start = geometry.weights.k_prime if label == "opening.proof" else 0
        codes = {"opening.weights": geometry.weights, "opening.proof": geometry.proof}
        codes |= {f"opening.level{n}": found.code for n, found in enumerate(geometry.levels, 2)}
        power = int(np.flatnonzero(seen.functional[level][start:].any(axis=1))[0])
        assert power < codes[label].k_prime
        change = (gap / KS.from_array(seen.functional[level][start + power])).array()

        def move(y: np.ndarray) -> np.ndarray:
            y = y.copy()
            y[start + power] = fadd(y[start + power], change)
            return y

        def follow(positions: list[int], values: np.ndarray) -> np.ndarray:
            """Five columns of F, or one of K, of which the leaf's fold moves by x^power·change."""
            values, factors = values.copy(), fpow(codes[label].domain.points(np.array(positions)), power)
            wanted, across = fmul(factors[:, None], change[None]), eq_table(seen.rho[level])
            if level > 1:
                wanted = kmul(wanted, (KS(1) / KS.from_array(across[0])).array())
            else:
                wanted = solve(np.ascontiguousarray(across[:5].T), np.ascontiguousarray(wanted.T)).T
            values[:, :DEGREE] = fadd(values[:, :DEGREE], wanted)
            return values

        opened = edited_leaves(label, follow) if leaves else nullcontext()
        with _watched(seen), moved_vector(level, move), opened:
            return forge(case, setup)

    return attack


def wrong_last_row(case: Case) -> SecurityReport:
    """v off by one; the masked vector sent in the clear is moved so that the last equation holds."""
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
