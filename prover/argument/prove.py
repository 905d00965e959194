"""The proof of a program's run: commit to all intermediates, then one argument after the other (protocol §5–§7).

The order of messages is that of `reduce` and `opening` in `huref.verifier.argument`; docs/protocol.md lists it in full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.functional import Columns
from huref.circuits.argument.inner import ratio_thetas
from huref.circuits.argument.layout import MASK_ROWS, Layout
from huref.circuits.argument.lookup import SiteRequest, leaf_claims
from huref.circuits.argument.outputs import output_variables
from huref.circuits.argument.proof import Setup
from huref.circuits.argument.security import lookup_grinding
from huref.circuits.program.evaluate import Trace
from huref.circuits.program.tables import Table
from huref.common.algebra.field import KArray, kmul
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import PadSpace
from huref.common.argument.transcript import Transcript
from huref.common.params import CodeGeometry
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.gated import gated_oracles, prove_gated
from huref.prover.argument.inner import ProductOracle, add_ratios, inner_vectors, prove_inner
from huref.prover.argument.lookup import prove_lookup
from huref.prover.argument.lookup_leaves import Leaves
from huref.prover.argument.lookup_tree import scalar
from huref.prover.argument.opening import OpenedMatrix, prove_opening
from huref.prover.argument.triples import prove_triples
from huref.prover.argument.witness import LookupInputs, lookup_inputs, multiplicities, proof_segments
from huref.prover.commitment.committed import commit, with_random_rows
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.weights import WeightsCommitment
from huref.prover.devices.interface import Device
from huref.prover.devices.matrix import StackedMatrix
from huref.prover.kernels.field import vectors
from huref.prover.kernels.hashing.grind import grind
from huref.verifier.argument.channel import VerifierChannel
from huref.verifier.argument.reduce import absorb_statement, reduce_to_claims

Progress = Callable[[str], None]
Ints = NDArray[Any]


def begin(channel: ProverChannel, root: bytes, grinding: int) -> tuple[KS, KS]:
    """Send the root of the per-proof tree; draws the challenges α and β of all lookups."""
    channel.send("root.proof", root)
    if grinding:
        channel.grind("lookup.grind", grinding)
    return channel.challenge("lookup.alpha"), channel.challenge("lookup.beta")


def make_pads(space: PadSpace, seed: SecretSeed) -> KArray:
    """Uniform pads and triples (space.total, 5); T_i = A_i·B_i."""
    pads = seed.k_elements("pads", space.singles + 2 * space.triples)
    a = pads[space.singles : space.singles + space.triples]
    b = pads[space.singles + space.triples :]
    return np.concatenate([pads, kmul(a, b)])


def prove(
    setup: Setup,
    statement: bytes,
    weights: Mapping[str, NDArray[Any]],
    trace: Trace,
    commitment: WeightsCommitment,
    seed: SecretSeed,
    progress: Progress | None = None,
) -> bytes:
    """Prove that `setup.program` on the committed weights gives `setup.public`; returns the proof's bytes.

    `seed` must be fresh for every proof (`huref.prover.commitment.randomness.fresh_proof_seed`); `statement` is the
    canonical encoding of the whole public statement, weights' root included. All commitments are made on the
    device of the weights', and the proof is the same on every device.
    """
    step = progress or (lambda _: None)
    layout, geometry = setup.layout, setup.geometry
    inputs = lookup_inputs(layout, commitment.data, trace)
    counts = [multiplicities(inputs, space) for space in layout.spaces]
    pads = make_pads(layout.pads, seed)
    step("commit intermediates")
    proof = _commit_proof(setup, inputs, counts, pads, seed, commitment.committed.device)
    opened_weights = OpenedMatrix((commitment.data, commitment.random), commitment.committed)

    transcript = Transcript()
    absorb_statement(transcript, setup, statement, commitment.root)
    channel = ProverChannel(transcript, layout.pads, pads, grind)
    grinding = lookup_grinding(layout.spaces, layout.entries, setup.knobs)
    alpha, beta = begin(channel, proof.committed.root, grinding)

    values = {**weights, **{name: site.out for name, site in trace.sites.items()}}
    values |= trace.rows
    for number, space in enumerate(layout.spaces):
        step("look up" if len(layout.spaces) == 1 else f"look up {number + 1} of {len(layout.spaces)}")
        leaves = Leaves(inputs, space, counts[number], alpha, beta)
        if space is layout.spaces[-1]:
            del inputs, counts  # the leaves hold what they need of them, and memory is scarce now
        point = prove_lookup(channel, space, leaves)
        del leaves
        leaf = leaf_claims(layout, space, point, alpha, beta, Columns(layout.w))
        if leaf.requests:
            step("products")
            _prove_products(channel, layout, leaf.requests, values)
    if layout.program.length:
        channel.point("output.point", output_variables(layout.program))
    prove_triples(channel, layout.pads, pads)
    step("open")
    replay = VerifierChannel(Transcript(), channel.so_far(), layout.pads)
    reduced = reduce_to_claims(replay, setup, statement, commitment.root)
    prove_opening(
        channel, layout, geometry, reduced.claims, reduced.columns, opened_weights, proof,
        seed.derive("opening"), setup.knobs,
    )  # fmt: skip
    return channel.finish()


def _prove_products(
    channel: ProverChannel,
    layout: Layout,
    requests: Mapping[str, SiteRequest],
    values: Mapping[str, NDArray[Any]],
) -> None:
    """The sums that a space's leaf claims ask of the accumulators, and their sumchecks."""
    gated = gated_oracles(layout, requests, values)
    totals = [oracle.total() for oracle in gated]
    if not layout.program.has_products:
        channel.hidden("products.totals", totals)
    else:
        left, right = inner_vectors(layout, requests, values)
        channel.hidden("products.totals", [scalar(vectors.dot(left, right)), *totals])
        if layout.program.ratios:
            thetas = ratio_thetas(layout.program, channel.challenge("ratios.theta"))
            add_ratios(layout, thetas, values, left, right)
        prove_inner(channel, layout.log_inner, ProductOracle(left, right))
    prove_gated(channel, layout, gated)


def _commit_proof(
    setup: Setup,
    inputs: LookupInputs,
    counts: Sequence[Mapping[Table, NDArray[np.int32]]],
    pads: KArray,
    seed: SecretSeed,
    device: Device,
) -> OpenedMatrix:
    """Commit to A: activations, multiplicities, pads, mask rows R and R', random rows."""
    masks = reduction_masks(seed, setup.layout.w)
    rows = proof_segments(setup.layout, inputs, counts, pads, masks)
    return commit_rows(rows, setup.geometry.proof, seed, device, setup.knobs.digest_bytes)


def reduction_masks(seed: SecretSeed, w: int) -> Ints:
    """The mask rows R and R' of a proof (10, w)."""
    return seed.field_elements("reduction masks", MASK_ROWS * w).reshape(MASK_ROWS, w)


def commit_rows(
    rows: Sequence[Ints], code: CodeGeometry, seed: SecretSeed, device: Device, digest_bytes: int
) -> OpenedMatrix:
    """Commit to the data rows of A, with the proof's random rows."""
    stacked = StackedMatrix(list(rows))
    stacked = with_random_rows(stacked, code.random, seed, "proof.random")
    salts = seed.derive("proof salts").value
    committed = commit(stacked, code.domain, salts, device, digest_bytes)
    return OpenedMatrix(stacked.segments, committed)
