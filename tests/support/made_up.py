"""Commitments to integers that were written down without a model (huref.prover.demo.made_up)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.tables import pool_count
from huref.circuits.fingerprint.profiles import HARDENED
from huref.circuits.fingerprint.shape import ModelShape
from huref.common.files.commitment_file import TokenChoice
from huref.common.params import Knobs
from huref.prover.commitment import folder as commitment_folder
from huref.prover.commitment.folder import OpenedCommitment, Source
from huref.prover.progress import Progress
from huref.prover.ranges import ensure_range


def commit_made_up(
    folder: Path, shape: ModelShape, tensors: Mapping[str, NDArray[np.int8]], tokens: TokenChoice
) -> OpenedCommitment:
    """A commitment to such integers, with its range proof, as its maker would write it."""
    choice = tokens.model_copy(update={"ids": list(range(len(tokens.ids)))})
    source = Source(HARDENED, shape, len(choice.ids), pool_count(len(choice.ids)), choice, {}, {}, ())
    with commitment_folder.create(folder, source, Knobs(proofs=16)) as draft:
        for name, values in tensors.items():
            draft.weights.fill(name, values)
        opened = draft.finish({}, (1,) * 6)
    ensure_range(opened, Progress())
    return opened
