"""Malicious provers and mutated builds.

A cheat patches pieces of the prover only: the verifier is the real one. A mutation takes one check out of the
build, on both sides, because the prover replays the verifier to learn its claims.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

import huref.circuits.argument.inner
import huref.prover.argument.opening
import huref.prover.argument.prove
import huref.verifier.argument.opening
import huref.verifier.argument.reduce
import huref.verifier.argument.verify
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.spaces import Constant, LookupSpace
from huref.circuits.program.evaluate import (
    SiteTrace,
    Trace,
    accumulate,
    canonical_shift,
    read_output,
    requantize,
)
from huref.circuits.program.program import Deflation
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form
from huref.common.argument.merkle import MerkleTree, leaf_digests
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.witness import LookupInputs
from huref.prover.commitment.committed import Opening
from huref.verifier.argument.channel import VerifierChannel
from tests.proof.false_numbers import false_numbers, false_site
from tests.proof.programs import Case

# mutations of the build


@contextmanager
def without_constraint(*labels: str) -> Iterator[None]:
    """No constraint with one of these labels is recorded."""
    original = VerifierChannel.assert_zero

    def skip(self: VerifierChannel, label: str, form: Form) -> None:
        if label not in labels:
            original(self, label, form)

    with mock.patch.object(VerifierChannel, "assert_zero", skip):
        yield


@contextmanager
def without_claim(*labels: str) -> Iterator[None]:
    """No claim with one of these labels reaches the opening."""
    original = huref.verifier.argument.reduce.reduce_to_claims

    def skip(*given: Any) -> huref.verifier.argument.reduce.Reduced:
        reduced = original(*given)
        kept = [claim for claim in reduced.claims if claim.label not in labels]
        assert len(kept) < len(reduced.claims)
        return dataclasses.replace(reduced, claims=kept)

    with (
        mock.patch.object(huref.verifier.argument.verify, "reduce_to_claims", skip),
        mock.patch.object(huref.prover.argument.prove, "reduce_to_claims", skip),
    ):
        yield


@contextmanager
def without_root_check(label: str) -> Iterator[None]:
    """The leaves of one tree are not compared with its root."""
    original = huref.verifier.argument.opening.verify_multiproof

    def skip(*given: Any, path: str, **rest: Any) -> None:
        if path != label:
            original(*given, path=path, **rest)

    with mock.patch.object(huref.verifier.argument.opening, "verify_multiproof", skip):
        yield


@contextmanager
def without_final_check() -> Iterator[None]:
    """The opening's last equation is not checked."""
    with mock.patch.object(huref.verifier.argument.opening, "_require_equal", lambda *_: None):
        yield


@contextmanager
def without_last_code() -> Iterator[None]:
    """The last level's leaves are read but not compared with the sent vector."""
    with mock.patch.object(huref.verifier.argument.opening, "_require_code", lambda *_: None):
        yield


@contextmanager
def without_evaluations(label: str) -> Iterator[None]:
    """A level does not ask that its vector has the values that the queries of the level before give."""
    check, prove = huref.verifier.argument.opening._level, huref.prover.argument.opening._level

    def checked(channel: Any, name: str, level: Any, functional: Any, target: KS, evaluations: Any) -> Any:
        return check(channel, name, level, functional, target, [] if name == label else evaluations)

    def proved(
        channel: Any, name: str, level: Any, rows: Any, functional: Any, trees: Any, points: Any
    ) -> Any:
        if name == label:
            trees = points = []
        return prove(channel, name, level, rows, functional, trees, points)

    with (
        mock.patch.object(huref.verifier.argument.opening, "_level", checked),
        mock.patch.object(huref.prover.argument.opening, "_level", proved),
    ):
        yield


@contextmanager
def without_ratios() -> Iterator[None]:
    """No sum of a ratio is in the inner product, on either side."""
    with (
        mock.patch.object(huref.verifier.argument.reduce, "ratio_total", lambda *_: KS(0)),
        mock.patch.object(huref.circuits.argument.inner, "_add_ratio", lambda *_: None),
        mock.patch.object(huref.prover.argument.prove, "add_ratios", lambda *_: None),
    ):
        yield


# false witnesses


def rerun(
    case: Case,
    replaced: Mapping[str, np.ndarray] | None = None,
    seen: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    shifts: Mapping[str, int] | None = None,
    **false: Mapping[str, Any],
) -> Trace:
    """The trace of a run with `replaced` weights or results, and sites that see other inputs.

    A replaced result keeps its quotient and remainder. `seen[site]` are the values that only this site reads
    instead of the committed ones. Shifts are canonical unless given. `false` numbers are those of `false_numbers`.
    """
    replaced, seen = replaced or {}, seen or {}
    values = {**case.weights, **{name: x for name, x in replaced.items() if name in case.weights}}
    sites: dict[str, SiteTrace] = {}
    measured = false_numbers(case, values, **false)
    for site in case.program.sites:
        inputs = {**values, **seen.get(site.name, {})}
        if isinstance(site.acc, Deflation) and site.acc.ratio not in measured.ratios:
            measured.measure_ratio(site.acc.ratio, inputs)
        if site.multipliers in case.program.share and site.multipliers not in measured.shares:
            measured.measure_share(site.multipliers, inputs)
        numbers = false_site(measured.of(site), site, **false)
        acc = accumulate(site, inputs, numbers)
        shift = canonical_shift(site, acc[: site.calibration_rows], numbers)
        found = requantize(site, acc, shift if shifts is None else shifts[site.name], numbers)
        if site.name in replaced:
            found = with_out(found, replaced[site.name], site.calibration_rows)
        sites[site.name], values[site.name] = found, found.out
    for factor in case.program.output.factors:
        if isinstance(factor, str) and factor not in measured.ratios:
            measured.measure_ratio(factor, values)
    v = read_output(case.program.output, values, measured.weights)
    return Trace(sites, v, measured.influences, measured.ratios, measured.shares)


def with_out(trace: SiteTrace, out: np.ndarray, calibration_rows: int) -> SiteTrace:
    """Another result for the same quotient and remainder, with the sum that belongs to it."""
    total = int(np.abs(out[:calibration_rows].astype(np.int64)).sum())
    return dataclasses.replace(trace, out=out, total=total)


def lenient_multiplicities(inputs: LookupInputs, space: LookupSpace) -> dict[Any, np.ndarray]:
    """The prover's `multiplicities` for false witnesses: tuples that are in no table are not counted."""
    counts = {block.table: np.zeros(block.table.size, np.int64) for block in space.tables}

    def count(table: Any, values: list[Any]) -> None:
        shape = np.broadcast_shapes(*(np.shape(value) for value in values))
        index = np.broadcast_to(table.index(tuple(values)), shape).reshape(-1)
        inside = np.clip(index, 0, table.size - 1)
        good = index == inside
        for column, value in zip(table.columns(), values, strict=True):
            good &= column[inside] == np.broadcast_to(value, shape).reshape(-1)
        np.add.at(counts[table], inside[good], 1)

    for block in space.blocks:
        operands = [o.value if isinstance(o, Constant) else inputs.operand(block, o) for o in block.operands]
        count(block.table, operands)
    for weights in space.weight_blocks:
        count(weights.table, list(inputs.weight_rows(weights, 0, weights.rows)))
    return counts


@contextmanager
def lenient() -> Iterator[None]:
    """The prover counts what it can instead of failing on a false witness."""
    with mock.patch.object(huref.prover.argument.prove, "multiplicities", lenient_multiplicities):
        yield


# provers that change their mind


class _Stop(Exception):
    pass


class _Until:
    """Passes a prover's messages on until a product's label, and notes the challenges."""

    def __init__(self, channel: ProverChannel, stop: str) -> None:
        self.channel, self.stop, self.seen = channel, stop, list[KS]()

    def hidden(self, label: str, values: Any) -> None:
        self.channel.hidden(label, values)

    def hidden_product(self, label: str, x: KS, y: KS) -> None:
        if label == self.stop:
            raise _Stop
        self.channel.hidden_product(label, x, y)

    def challenge(self, label: str) -> KS:
        self.seen.append(self.channel.challenge(label))
        return self.seen[-1]


class _From:
    """Swallows a prover's messages, answering with noted challenges, until a product's label; then passes on."""

    def __init__(self, channel: ProverChannel, start: str, seen: list[KS]) -> None:
        self.channel, self.start, self.seen, self.active = channel, start, iter(seen), False

    def hidden(self, label: str, values: Any) -> None:
        if self.active:
            self.channel.hidden(label, values)

    def hidden_product(self, label: str, x: KS, y: KS) -> None:
        self.active = self.active or label == self.start
        if self.active:
            self.channel.hidden_product(label, x, y)

    def challenge(self, label: str) -> KS:
        return self.channel.challenge(label) if self.active else next(self.seen)


def change_sides(channel: Any, label: str, first: Callable[[Any], Any], then: Callable[[Any], Any]) -> Any:
    """Prove with `first` up to the product called `label`, and with `then` from there on."""
    start = _Until(channel, label)
    try:
        first(start)
    except _Stop:
        return then(_From(channel, label, start.seen))
    raise AssertionError(f"{label} was never sent")


@contextmanager
def lookup_switch(label: str, fake: Callable[[Any, Any], Any]) -> Iterator[None]:
    """Fractions of `fake(α, β)` above the product called `label`, the committed ones below."""
    original, make = huref.prover.argument.prove.prove_lookup, huref.prover.argument.prove.Leaves
    drawn: list[Any] = []

    def leaves(inputs: LookupInputs, space: LookupSpace, counts: Any, alpha: KS, beta: KS) -> Any:
        drawn[:] = [alpha, beta]
        return make(inputs, space, counts, alpha, beta)

    def cheat(channel: ProverChannel, space: LookupSpace, source: Any, *rest: Any) -> list[KS]:
        other = fake(*drawn)
        return change_sides(
            channel,
            label,
            lambda c: original(c, space, other, *rest),
            lambda c: original(c, space, source, *rest),
        )

    with (
        mock.patch.object(huref.prover.argument.prove, "prove_lookup", cheat),
        mock.patch.object(huref.prover.argument.prove, "Leaves", leaves),
    ):
        yield


@contextmanager
def edited_products(edit: Mapping[str, Callable[[KS, KS], tuple[KS, KS]]]) -> Iterator[None]:
    """The two factors of the products with these labels are edited before they are sent."""
    original = ProverChannel.hidden_product

    def cheat(self: ProverChannel, label: str, x: KS, y: KS) -> None:
        original(self, label, *(edit[label](x, y) if label in edit else (x, y)))

    with mock.patch.object(ProverChannel, "hidden_product", cheat):
        yield


@contextmanager
def other_values(name: str, **replaced: np.ndarray) -> Iterator[None]:
    """`huref.prover.argument.prove.<name>` reads other weights or activations than the ones committed."""
    original = getattr(huref.prover.argument.prove, name)

    def cheat(layout: Layout, requests: Any, values: Mapping[str, np.ndarray]) -> Any:
        return original(layout, requests, {**values, **replaced})

    with mock.patch.object(huref.prover.argument.prove, name, cheat):
        yield


# openings


class Alias:
    """A committed matrix that shows another root."""

    def __init__(self, committed: Any, root: bytes) -> None:
        self.committed, self.root = committed, root

    def __getattr__(self, name: str) -> Any:
        return getattr(self.committed, name)


class Altered:
    """A tree over leaves that are not a code's: `alter` edits the whole codeword matrix (n, width) first."""

    def __init__(self, committed: Any, alter: Callable[[np.ndarray], None]) -> None:
        self.device = committed.device
        everything = committed.open(range(committed.n))
        self.values, self.salts = everything.values.copy(), everything.salts
        alter(self.values)
        digests = leaf_digests(range(committed.n), self.salts, self.values)
        leaves = np.frombuffer(bytearray().join(digests), np.uint8).reshape(-1, 32)
        self.tree = MerkleTree(leaves, digest_bytes=committed.tree.digest_bytes)
        self.root = self.tree.root

    def open(self, at: list[int]) -> Opening:
        return Opening(self.values[at], self.salts[at], self.tree.prove(at))


@contextmanager
def altered_code(label: str, alter: Callable[[np.ndarray], None]) -> Iterator[None]:
    """The tree of one proof called proof, level2, level3, … commits to altered leaves."""
    module = huref.prover.argument.prove if label == "proof" else huref.prover.argument.opening
    original, names = module.commit, iter(["proof"] if label == "proof" else ["level2", "level3", "level4"])

    def cheat(*given: Any) -> Any:
        committed = original(*given)
        return Altered(committed, alter) if next(names) == label else committed

    with mock.patch.object(module, "commit", cheat):
        yield


@contextmanager
def edited_leaves(label: str, edit: Callable[[list[int], np.ndarray], np.ndarray]) -> Iterator[None]:
    """Opened values of one tree are edited on the way out: edit(positions, values)."""
    original = huref.prover.argument.opening._open

    class Edited:
        def __init__(self, committed: Any) -> None:
            self.committed = committed

        def open(self, at: list[int]) -> Opening:
            opening = self.committed.open(at)
            return dataclasses.replace(opening, values=edit(at, opening.values))

    def cheat(channel: ProverChannel, name: str, committed: Any, at: np.ndarray) -> None:
        original(channel, name, Edited(committed) if name == label else committed, at)

    with mock.patch.object(huref.prover.argument.opening, "_open", cheat):
        yield


@contextmanager
def edited_array(label: str, edit: Callable[[np.ndarray], np.ndarray]) -> Iterator[None]:
    """Public elements of K with this label are edited before they are sent."""
    original = ProverChannel.array

    def cheat(self: ProverChannel, name: str, values: np.ndarray) -> None:
        original(self, name, edit(values) if name == label else values)

    with mock.patch.object(ProverChannel, "array", cheat):
        yield


@contextmanager
def together(*contexts: Any) -> Iterator[None]:
    """Several cheats at once."""
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield
