"""The proof of relations: commit to all integers, look them up, one inner product, one opening (protocol §13.5).

The order of messages is that of `huref.verifier.relations.reduce`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Columns
from huref.circuits.argument.security import lookup_grinding
from huref.circuits.program.tables import Table
from huref.circuits.relations.setup import RelationSetup
from huref.circuits.relations.weights import EquationWeights, point_sizes
from huref.common.algebra.field import KArray
from huref.common.argument.transcript import Transcript
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.inner import prove_inner
from huref.prover.argument.lookup import prove_lookup
from huref.prover.argument.opening import OpenedMatrix, prove_opening
from huref.prover.argument.prove import begin, commit_rows, make_pads, reduction_masks
from huref.prover.argument.triples import prove_triples
from huref.prover.argument.witness import closing_segments
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights import WeightsCommitment
from huref.prover.devices.interface import Device
from huref.prover.kernels.hashing.grind import grind
from huref.prover.relations.leaves import RunLeaves, RunValues
from huref.prover.relations.prompts import prompt_values
from huref.prover.relations.sides import SidesOracle
from huref.prover.relations.values import Values
from huref.prover.relations.vectors import product_sides
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.reduce import absorb_statement
from huref.verifier.relations.reduce import reduce_relations

Ints = NDArray[Any]
Progress = Callable[[str], None]


def prove_relations(
    setup: RelationSetup,
    statement: bytes,
    tensors: Mapping[str, Ints],
    found: Mapping[str, Ints],
    commitment: WeightsCommitment,
    seed: SecretSeed,
    progress: Progress | None = None,
) -> bytes:
    """Prove that the matrices `found` satisfy all relations with the committed `tensors`; returns the proof's bytes.

    `seed` must be fresh for every proof; `statement` is the canonical encoding of the whole public statement.
    """
    step = progress or (lambda _: None)
    layout, geometry = setup.layout, setup.geometry
    step("commit intermediates")
    values = Values(layout, found)
    del found  # as large as its copy
    operands = RunValues(values)
    counts = [operands.count(space) for space in layout.spaces]
    pads = make_pads(layout.pads, seed)
    proof = _commit_proof(setup, values, counts, pads, seed, commitment.committed.device)
    opened_weights = OpenedMatrix((commitment.data, commitment.random), commitment.committed)

    transcript = Transcript()
    absorb_statement(transcript, setup, statement, commitment.root)
    channel = ProverChannel(transcript, layout.pads, pads, grind)
    grinding = lookup_grinding(layout.spaces, layout.entries, setup.knobs)
    alpha, beta = begin(channel, proof.committed.root, grinding)
    for number, space in enumerate(layout.spaces):
        step("look up" if len(layout.spaces) == 1 else f"look up {number + 1} of {len(layout.spaces)}")
        leaves = RunLeaves(operands, space, counts[number], alpha, beta)
        prove_lookup(channel, space, leaves)
        del leaves
    step("products")
    prompts = setup.relations.prompts
    if prompts is not None:
        channel.public("prompt.values", prompt_values(values, prompts, channel.challenge("prompt.point")))
    eta = channel.challenge("equations.eta")
    point = channel.point("equations.point", sum(point_sizes(setup.relations, layout.w)))
    weights = EquationWeights(layout, point, eta, Columns(layout.w))
    oracle = SidesOracle(product_sides(weights, values, tensors))
    channel.hidden("products.totals", [oracle.total()])
    prove_inner(channel, layout.log_inner, oracle)
    del oracle
    prove_triples(channel, layout.pads, pads)
    step("open")
    replay = VerifierChannel(Transcript(), channel.so_far(), layout.pads)
    reduced = reduce_relations(replay, setup, statement, commitment.root)
    prove_opening(
        channel, layout, geometry, reduced.claims, reduced.columns, opened_weights, proof,
        seed.derive("opening"), setup.knobs,
    )  # fmt: skip
    return channel.finish()


def _commit_proof(
    setup: RelationSetup,
    values: Values,
    counts: Sequence[Mapping[Table, NDArray[np.int32]]],
    pads: KArray,
    seed: SecretSeed,
    device: Device,
) -> OpenedMatrix:
    """Commit to A: all matrices, multiplicities, pads, mask rows R and R', random rows."""
    layout = setup.layout
    hidden = layout.mask_start - layout.pad_start
    closing = closing_segments(layout.spaces, layout.w, hidden, counts, pads)
    rows = [*values.segments(), *closing, reduction_masks(seed, layout.w)]
    return commit_rows(rows, setup.geometry.proof, seed, device, setup.knobs.digest_bytes)
