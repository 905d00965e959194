"""The persistent commitment to the quantized weights (protocol §4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.placed import place_weights
from huref.circuits.argument.proof import weights_geometry
from huref.circuits.program.program import Program
from huref.common.argument.merkle import Digests
from huref.common.params import Knobs, WeightGeometry
from huref.prover.commitment.committed import Committed, commit, restore, with_random_rows
from huref.prover.commitment.randomness import SecretSeed
from huref.prover.commitment.stacked import stack_weights
from huref.prover.devices.compiled import COMPILED
from huref.prover.devices.interface import Device
from huref.prover.devices.matrix import StackedMatrix


@dataclass(frozen=True)
class WeightsCommitment:
    """The stacked weights (data rows, w), their random rows, the tree, and the geometry."""

    data: NDArray[Any]
    random: NDArray[np.uint32]
    committed: Committed
    geometry: WeightGeometry

    @property
    def root(self) -> bytes:
        """The commitment."""
        return self.committed.root


def commit_weights(
    program: Program,
    weights: Mapping[str, NDArray[Any]],
    knobs: Knobs,
    seed: SecretSeed,
    device: Device = COMPILED,
    leaves: Digests | None = None,
) -> WeightsCommitment:
    """Commit to the program's weights; the same seed and weights give the same root on every device.

    `leaves`, where given, are the leaf digests that an earlier commitment to the same weights made.
    """
    geometry = weights_geometry(program.committed, knobs)
    placed, rows = place_weights(program.committed, geometry.w)
    data = stack_weights(placed, rows, weights, geometry.w)
    matrix = with_random_rows(StackedMatrix([data]), geometry.code.random, seed, "weights.random")
    domain, salts = geometry.code.domain, seed.derive("weights.salts").value
    if leaves is None:
        committed = commit(matrix, domain, salts, device)
    else:
        committed = restore(matrix, domain, salts, leaves, device)
    return WeightsCommitment(data, matrix.segments[-1], committed, geometry)
