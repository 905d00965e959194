"""Builds that draw a challenge before the message that it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

import huref.prover.argument.opening
import huref.prover.argument.prove
import huref.prover.argument.witness
import huref.prover.commitment.weights
import huref.verifier.argument.channel
import huref.verifier.argument.opening
import huref.verifier.argument.reduce
from huref.circuits.argument.functional import Columns
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.opening import mask_claim
from huref.common.algebra.field import kdot
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_table, log2_ceil
from huref.common.argument.transcript import Transcript
from huref.common.errors import Malformed, Rejected
from huref.prover.argument.channel import ProverChannel
from huref.verifier.argument.channel import VerifierChannel
from tests.proof.attacks import forge, rejected
from tests.proof.programs import STATEMENT, Case, chain, small_build


def test_gamma_before_sigma_would_be_a_total_break(tall: Case) -> None:
    """If γ came first, σ could absorb any error; in the real order the same prover fails."""
    v = list(tall.public.v)
    v[3] += 1
    setup = tall.setup(v=v)
    early: dict[int, KS] = {}
    draw = Transcript.challenge

    def challenge(self: Transcript, label: str) -> KS:
        return (
            early.pop(id(self), None) or draw(self, label) if label == "opening.gamma" else draw(self, label)
        )

    def masks(
        channel: Any, layout: Layout, columns: Columns, gamma_first: bool, sums: Callable[..., Any]
    ) -> Any:
        points = [channel.point(f"opening.z{i}", log2_ceil(layout.w)) for i in range(2)]
        if gamma_first:
            early[id(channel.transcript)] = draw(channel.transcript, "opening.gamma")
        values = sums(points, early.get(id(channel.transcript)))
        return [mask_claim(layout, columns, i, points[i], values[i]) for i in range(2)]

    claims: list[Any] = []
    opening = huref.prover.argument.opening.prove_opening

    def note(channel: Any, layout: Any, geometry: Any, found: Any, *rest: Any) -> None:
        claims[:] = found
        opening(channel, layout, geometry, found, *rest)

    for gamma_first in (True, False):

        def cheat(
            channel: ProverChannel, layout: Layout, columns: Columns, proof: Any, first: bool = gamma_first
        ) -> Any:
            def sums(points: list[list[KS]], gamma: KS | None) -> list[KS]:
                rows = proof.rows(layout.mask_start, 10).reshape(2, 5, layout.w)
                found = [KS.from_array(kdot(rows[i].T, eq_table(points[i]))) for i in range(2)]
                at = next(i for i, c in enumerate(claims) if c.label == "output")
                point = output_point(channel, setup, tall)
                error = KS.from_array(eq_table(point)[3])  # v~ is too large by eq(point, 3)
                factor = gamma if gamma is not None else KS(2)
                found[0] -= factor**at * error / factor ** len(claims)
                channel.public("opening.sigma", found)
                return found

            return masks(channel, layout, columns, first, sums)

        def check(
            channel: VerifierChannel, layout: Layout, columns: Columns, first: bool = gamma_first
        ) -> Any:
            return masks(channel, layout, columns, first, lambda *_: channel.public("opening.sigma", 2))

        with (
            mock.patch.object(Transcript, "challenge", challenge),
            mock.patch.object(huref.prover.argument.prove, "prove_opening", note),
            mock.patch.object(huref.prover.argument.opening, "_mask_claims", cheat),
            mock.patch.object(huref.verifier.argument.opening, "_mask_claims", check),
        ):
            if gamma_first:
                forge(tall, setup)
            else:
                rejected(tall, setup)


def output_point(channel: ProverChannel, setup: Any, case: Case) -> list[KS]:
    """Replays the messages so far to learn the output claim's point."""
    points: list[list[KS]] = []
    original = VerifierChannel.point

    def note(self: VerifierChannel, label: str, count: int) -> list[KS]:
        found = original(self, label, count)
        if label == "output.point":
            points.append(found)
        return found

    with mock.patch.object(VerifierChannel, "point", note):
        replay = VerifierChannel(Transcript(), channel.so_far(), setup.layout.pads)
        huref.verifier.argument.reduce.reduce_to_claims(replay, setup, STATEMENT, case.commit().root)
    return points[0]


LATE = [
    "config", "statement", "root.weights", "root.proof", "lookup.root", "lookup.layer3.round",
    "lookup.layer3.outer", "lookup.layer3.inner", "products.totals", "inner.round", "inner.final", "triples.round",
    "triples.final", "opening.sigma", "opening.reduction.round", "opening.level2.root",
    "opening.level1.grind.nonce", "opening.weights.leaves", "opening.weights.salts", "opening.proof.path",
    "opening.level2.sigma", "opening.level2.round", "opening.level3.root", "opening.level2.leaves",
    "opening.level4.root", "opening.level3.grind.nonce", "opening.level4.round", "opening.mask_sum", "opening.y",
    "opening.level4.grind.nonce",
]  # fmt: skip


@pytest.mark.parametrize("label", LATE)
def test_a_challenge_computed_before_its_message(label: str) -> None:
    """A build that draws the challenge first agrees with itself, and not with the real verifier."""
    absorb, squeeze = Transcript.absorb, Transcript._squeeze
    late: dict[int, tuple[str, bytes]] = {}

    def delayed(self: Transcript, name: str, data: bytes) -> None:
        if name == label and id(self) not in late:
            late[id(self)] = (name, data)
        else:
            absorb(self, name, data)

    def first(self: Transcript, name: str) -> Any:
        found = squeeze(self, name)
        if late.get(id(self), ("", b""))[0]:
            absorb(self, *late[id(self)])
            late[id(self)] = ("", b"")
        return found

    with small_build(levels=3):
        case = chain(d=8, k=16, f=4)
        with (
            mock.patch.object(Transcript, "absorb", delayed),
            mock.patch.object(Transcript, "_squeeze", first),
        ):
            transcripts: list[Transcript] = []
            create = Transcript.__init__

            def keep(self: Transcript, *given: Any) -> None:
                transcripts.append(self)  # so that no id is used twice
                create(self, *given)

            with mock.patch.object(Transcript, "__init__", keep):
                proof = case.prove()
                case.verify(proof)
        assert late
        with pytest.raises((Rejected, Malformed)):
            case.verify(proof)
