"""Trees over leaves that are no code, or other leaves than the ones asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.prover.argument.opening
import huref.prover.argument.prove
import huref.prover.argument.witness
import huref.prover.commitment.weights
from huref.common.algebra.field import P, fadd
from huref.common.algebra.kscalar import KS
from huref.common.argument.transcript import Transcript
from huref.common.errors import Malformed, Rejected
from huref.prover.argument.channel import ProverChannel
from huref.prover.commitment.committed import Opening
from huref.prover.commitment.weights import WeightsCommitment
from huref.verifier.argument.verify import verify_program
from tests.proof.attacks import forge
from tests.proof.cheating import Altered, altered_code
from tests.proof.programs import STATEMENT, Case, chain, small_build

Alter = Callable[[np.ndarray], None]


@contextmanager
def opened(label: str, edit: Callable[[Opening], Opening]) -> Iterator[None]:
    """What one tree's queries open is edited on the way out."""
    original = huref.prover.argument.opening._open

    class Edited:
        def __init__(self, committed: Any) -> None:
            self.committed = committed

        def open(self, at: list[int]) -> Opening:
            return edit(self.committed.open(at))

    def cheat(channel: Any, name: str, committed: Any, at: np.ndarray) -> None:
        original(channel, name, Edited(committed) if name == label else committed, at)

    with mock.patch.object(huref.prover.argument.opening, "_open", cheat):
        yield


def column(rows: slice | list[int]) -> Alter:
    """Noise on column 1 at the given positions."""

    def alter(values: np.ndarray) -> None:
        noise = np.random.default_rng(5).integers(1, P, len(values)).astype(np.uint64)
        values[rows, 1] = fadd(values[rows, 1], noise[rows])

    return alter


def with_weights(case: Case, alter: Alter) -> WeightsCommitment:
    honest = case.commit()
    return dataclasses.replace(honest, committed=Altered(honest.committed, alter))  # type: ignore[arg-type]


def try_code(case: Case, tree: str, alter: Alter) -> None:
    if tree == "weights":
        commitment = with_weights(case, alter)
        case.verify(case.prove(commitment=commitment), root=commitment.root)
    else:
        with altered_code(tree, alter):
            forge(case, case.setup())


TREES = [(tree, "opening.final") for tree in ("weights", "proof", "level2", "level3")]
TREES.append(("level4", "opening.level4.code"))


@pytest.mark.parametrize(("tree", "path"), TREES)
def test_column_that_is_no_codeword(tree: str, path: str) -> None:
    with small_build(levels=3):
        case = chain(d=8, k=16, f=4)
        for rows in (slice(None), slice(0, None, 3)):
            with pytest.raises(Rejected) as caught:
                try_code(case, tree, column(rows))
            assert caught.value.path == path


@pytest.mark.parametrize(("tree", "path"), TREES)
def test_few_wrong_leaves_matter_only_when_opened(tree: str, path: str) -> None:
    """One wrong leaf is within the decoding radius: the proof stands unless a query hits it."""
    with small_build(levels=3):
        case = chain(d=8, k=16, f=4)
        opened: list[int] = []
        label = f"opening.{tree}"
        original = Transcript.challenge_positions

        def note(self: Transcript, name: str, count: int, bound: int) -> np.ndarray:
            found = original(self, name, count, bound)
            if name == label:
                opened[:] = found.tolist()
            return found

        outcomes = set()
        with mock.patch.object(Transcript, "challenge_positions", note):
            for position in range(4):
                try:
                    try_code(case, tree, column([position]))
                    assert position not in opened
                    outcomes.add("accepted")
                except Rejected as error:
                    assert position in opened and error.path == path
                    outcomes.add("rejected")
        assert "accepted" in outcomes


LABELS = ["opening.weights", "opening.proof", "opening.level2", "opening.level3", "opening.level4"]


@pytest.fixture
def case(_small: None) -> Iterator[Case]:
    """A proof of four levels."""
    with small_build(levels=3):
        yield chain(d=8, k=16, f=4)


@pytest.mark.parametrize("label", LABELS)
def test_leaves_of_other_positions(label: str, case: Case) -> None:
    original = huref.prover.argument.opening._open

    def shifted(channel: Any, name: str, committed: Any, at: np.ndarray) -> None:
        if name == label:
            at = (at + 1) % committed.n
            at.sort()
        original(channel, name, committed, at)

    with (
        mock.patch.object(huref.prover.argument.opening, "_open", shifted),
        pytest.raises((Rejected, Malformed)) as caught,
    ):
        forge(case, case.setup())
    assert isinstance(caught.value, Malformed) or caught.value.path == f"{label}.root"


@pytest.mark.parametrize("label", LABELS)
def test_two_leaves_swapped(label: str, case: Case) -> None:
    """Values, or salts, of two opened positions change places."""

    def swap(opening: Opening, field: str) -> Opening:
        changed = getattr(opening, field).copy()
        changed[[0, 1]] = changed[[1, 0]]
        return dataclasses.replace(opening, **{field: changed})

    for field in ("values", "salts"):
        with opened(label, partial(swap, field=field)), pytest.raises(Rejected) as caught:
            forge(case, case.setup())
        assert caught.value.path == f"{label}.root"


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_salts_of_another_length(label: str, size: int, case: Case) -> None:
    """The salts' length is no prover's choice: neither longer ones nor none."""

    def cut(opening: Opening) -> Opening:
        salts = np.zeros((len(opening.salts), size), np.uint8)
        salts[:, : min(16, size)] = opening.salts[:, :size]
        return dataclasses.replace(opening, salts=salts)

    with opened(label, cut), pytest.raises((Rejected, Malformed)):
        forge(case, case.setup())


@pytest.mark.parametrize("level", [2, 3, 4])
def test_a_level_that_holds_another_vector(level: int, case: Case) -> None:
    """The vector of the level before is folded with another ρ, or changed in one entry, before it is committed."""
    module = huref.prover.argument.opening
    original = module._level_rows

    def other(geometry: Any, y: np.ndarray, seed: Any, label: str, at: int) -> np.ndarray:
        if label == f"opening.level{level}":
            y = y.copy()
            y[at] = np.roll(y[at], 1)
        return original(geometry, y, seed, label)

    for at in (0, -1):
        with (
            mock.patch.object(module, "_level_rows", partial(other, at=at)),
            pytest.raises(Rejected) as caught,
        ):
            forge(case, case.setup())
        assert caught.value.path == "opening.final"


@pytest.mark.parametrize("level", [2, 3])
def test_a_vector_folded_at_another_point(level: int, case: Case) -> None:
    """A prover that binds the columns of one level to other values than the challenges."""
    module = huref.prover.argument.opening
    original = module.PairsOracle.bind
    rounds = module.public_rounds
    active = [False]

    def bind(self: Any, value: KS) -> None:
        original(self, value + 1 if active[0] else value)

    def note(channel: Any, label: str, *rest: Any) -> Any:
        active[0] = label == f"opening.level{level}"
        return rounds(channel, label, *rest)

    with (
        mock.patch.object(module.PairsOracle, "bind", bind),
        mock.patch.object(module, "public_rounds", note),
        pytest.raises(Rejected) as caught,
    ):
        forge(case, case.setup())
    assert caught.value.path == "opening.final"


@pytest.mark.parametrize("pair", [(2, 3), (3, 4), (2, 4)], ids=str)
def test_roots_of_two_levels_swapped(pair: tuple[int, int], case: Case) -> None:
    """A tree of one level under the name of another; both roots are roots of honest trees."""
    first, second = (f"opening.level{n}.root" for n in pair)
    roots: dict[str, bytes] = {}
    verify_program(
        case.setup(), STATEMENT, case.commit().root, case.prove(), case.knobs.security,
        lambda kind, label, data: roots.update({label: data}) if kind == "absorb" else None,
    )  # fmt: skip
    original = ProverChannel.send

    def swapped(self: ProverChannel, label: str, data: bytes) -> None:
        original(
            self,
            label,
            roots[{first: second, second: first}.get(label, "")] if label in (first, second) else data,
        )

    with mock.patch.object(ProverChannel, "send", swapped), pytest.raises((Rejected, Malformed)) as caught:
        forge(case, case.setup())
    assert not isinstance(caught.value, Rejected) or caught.value.path == f"opening.level{pair[0]}.root"


@pytest.mark.parametrize("levels", [1, 2])
def test_a_level_left_out(levels: int, case: Case) -> None:
    """The prover stops after fewer levels, under the digest of the whole geometry."""
    setup = case.setup()
    with small_build(levels=levels):
        shorter = case.setup()
    assert len(shorter.geometry.levels) == levels < len(setup.geometry.levels)
    with mock.patch.object(type(setup), "digest", bytes(32)):
        assert setup.digest == shorter.digest
        case.verify(case.prove(shorter), shorter)
        proof = case.prove(shorter)
        with pytest.raises((Rejected, Malformed)):
            case.verify(proof, setup)
