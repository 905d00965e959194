"""The range of a whole commitment, in several shards, and statements that rely on it (protocol §6.8)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest

import huref.circuits.argument.spaces
import huref.prover.argument.prove
from huref.circuits.argument.proof import Setup, prepare
from huref.circuits.argument.spaces import LookupSpace
from huref.circuits.program.evaluate import Trace
from huref.circuits.program.program import Weight
from huref.circuits.range import NOTHING, range_program
from huref.common.errors import Rejected
from huref.common.params import Knobs
from huref.prover.argument.prove import prove
from huref.prover.commitment.weights import WeightsCommitment, commit_weights
from huref.verifier.argument.verify import verify_program
from tests.proof.attacks import wrong_tensor
from tests.proof.programs import SMALL, STATEMENT, Case, chain, secret, wide

TENSORS = (Weight("a", 90, 40), Weight("b", 33, 100), Weight("c", 257, 64), Weight("d", 5, 7))
FINAL = "opening[.]final"  # all hidden messages are checked there
EMPTY = Trace({}, np.zeros(0, np.int64))


@pytest.fixture
def shards() -> Iterator[None]:
    """Three spaces or more for these tensors."""
    with mock.patch.object(huref.circuits.argument.spaces, "SHARD_ENTRIES", 9000):
        yield


def values(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {t.name: rng.integers(-128, 128, (t.rows, t.cols)).astype(np.int16) for t in TENSORS}


def committed(weights: dict[str, np.ndarray], knobs: Knobs = SMALL) -> WeightsCommitment:
    return commit_weights(range_program(TENSORS), weights, knobs, secret(1))


def setup_of(knobs: Knobs = SMALL) -> Setup:
    return prepare(range_program(TENSORS), NOTHING, knobs)


def range_proof(commitment: WeightsCommitment, setup: Setup | None = None) -> bytes:
    return prove(setup or setup_of(), STATEMENT, {}, EMPTY, commitment, secret(2))


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_all_entries_are_bytes(shards: None, dtype: Any) -> None:
    commitment = committed({name: x.astype(dtype) for name, x in values().items()})
    setup = setup_of()
    labels = [space.label for space in setup.layout.spaces]
    assert len(labels) >= 3 and labels == [f"shard{i}" for i in range(len(labels))]
    report = verify_program(setup, STATEMENT, commitment.root, range_proof(commitment), SMALL.security)
    assert report.bits >= SMALL.security
    assert not {"inner.round", "output"} & {term.label for term in report.terms}


def test_shards_cover_every_committed_row_once(shards: None) -> None:
    layout = setup_of().layout
    covered = np.zeros(layout.weight_rows, int)
    for space in layout.spaces:
        for block in space.weight_blocks:
            covered[block.start : block.start + block.count] += 1
            assert block.count * layout.w <= 9000
    assert (covered == 1).all()


def lenient(inputs: Any, space: LookupSpace) -> dict[Any, np.ndarray]:
    """Counts what is in the tables and leaves out the rest."""
    (weights,), (table,) = space.weight_blocks, space.tables
    tuples = inputs.weight_rows(weights, 0, weights.rows).astype(np.int64)
    inside = (np.abs(tuples + 0.5) < 128).all(axis=0)
    counts = np.zeros(table.table.size, np.int32)
    np.add.at(counts, table.table.index(tuple(tuples[:, inside])), 1)
    return {table.table: counts}


@pytest.mark.parametrize("value", [128, -129, 4000])
@pytest.mark.parametrize(("name", "cell"), [("a", (0, 0)), ("b", (32, 99)), ("c", (256, 63)), ("d", (4, 6))])
def test_an_entry_out_of_range_in_any_shard(
    shards: None, name: str, cell: tuple[int, int], value: int
) -> None:
    weights = values()
    weights[name][cell] = value
    commitment = committed(weights)
    with mock.patch.object(huref.prover.argument.prove, "multiplicities", lenient):
        proof = range_proof(commitment)
    with pytest.raises(Rejected, match=FINAL):
        verify_program(setup_of(), STATEMENT, commitment.root, proof, SMALL.security)


def test_an_entry_out_of_range_in_the_padding(shards: None) -> None:
    """Other statements' functionals do not read padding, but a byte is promised for every entry."""
    commitment = committed(values())
    place = setup_of().layout.weights["d"]
    data = commitment.data.copy()
    data[place.start, -1] = 200
    with mock.patch("huref.prover.commitment.weights.stack_weights", lambda *_: data):
        forged = committed(values())
    with mock.patch.object(huref.prover.argument.prove, "multiplicities", lenient):
        proof = range_proof(forged)
    with pytest.raises(Rejected, match=FINAL):
        verify_program(setup_of(), STATEMENT, forged.root, proof, SMALL.security)


@pytest.mark.parametrize("number", [0, 1, -1])
def test_a_shard_left_out_and_another_doubled(shards: None, number: int) -> None:
    """The prover looks up other rows in the place of a shard with an entry out of range; all counts fit."""
    setup = setup_of()
    spaces = list(setup.layout.spaces)
    (left_out,) = spaces[number].weight_blocks
    (doubled,) = spaces[1 if number == 0 else 0].weight_blocks
    weights = values()
    place = next(p for p in setup.layout.weights.values() if 0 <= left_out.start - p.start < p.count)
    name = next(name for name, p in setup.layout.weights.items() if p == place)
    weights[name][(left_out.start - place.start) // place.blocks, 0] = 300
    commitment = committed(weights)
    other = dataclasses.replace(left_out, start=doubled.start)
    spaces[number] = dataclasses.replace(spaces[number], weight_blocks=(other,))
    layout = dataclasses.replace(setup.layout, spaces=tuple(spaces))
    false = dataclasses.replace(setup, layout=layout)
    honest = setup.digest
    with mock.patch.object(Setup, "digest", honest):  # the verifier's transcript
        proof = range_proof(commitment, false)
    with pytest.raises(Rejected, match=FINAL):
        verify_program(setup, STATEMENT, commitment.root, proof, SMALL.security)


def test_a_range_proof_of_another_root(shards: None) -> None:
    one, two = committed(values(0)), committed(values(1))
    proof = range_proof(one)
    with pytest.raises(Rejected):
        verify_program(setup_of(), STATEMENT, two.root, proof, SMALL.security)
    with pytest.raises(Rejected):
        verify_program(setup_of(), STATEMENT + b" ", one.root, proof, SMALL.security)


@pytest.mark.parametrize("split", [0, 5])
@pytest.mark.parametrize("name", ["q", "k", "x"])
def test_another_models_run(name: str, split: int) -> None:
    """The last row of a joined, a transposed or a summed tensor is the committed one."""
    with pytest.raises(Rejected, match=FINAL):
        wrong_tensor(name)(wide(split=split))


def part_of_a_whole(case: Case) -> Case:
    """The case's program on a commitment that has more tensors, its range proven apart."""
    extra = (Weight("before", 7, 30, 4), Weight("after", 50, 33, 8))
    program = dataclasses.replace(
        case.program, stack=(extra[0], *case.program.weights, extra[1]), ranged=True
    )
    rng = np.random.default_rng(3)
    more = {t.name: rng.integers(-8, 8, (t.rows, t.cols)).astype(np.int8) for t in extra}
    return Case(program, {**case.weights, **more}, case.knobs)


def test_a_program_on_part_of_a_commitment() -> None:
    case = part_of_a_whole(chain())
    (space,) = case.setup().layout.spaces
    assert not space.weight_blocks and all(block.table.kind != "digits" for block in space.tables)
    assert case.verify(case.prove()).bits >= case.knobs.security
    whole = range_program(case.program.committed)
    setup = prepare(whole, NOTHING, case.knobs)
    proof = prove(setup, STATEMENT, {}, EMPTY, case.commit(), secret(5))
    verify_program(setup, STATEMENT, case.commit().root, proof, case.knobs.security)


def test_a_program_reads_only_what_is_committed() -> None:
    case = chain()
    with pytest.raises(ValueError, match="not in the stack"):
        dataclasses.replace(case.program, stack=(Weight("other", 3, 3),))
