"""Integers that reach any fingerprint under tables that are known beforehand, written down without a model.

The embedding is solved such that the pooled rows of both sketches are orthogonal and known: then a term is any matrix
that the right factors spell out. This is what a challenge is for (docs/fingerprint.md, "Challenges").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.constants import TERMS
from huref.circuits.fingerprint.hardened.tables import output_map, pool_count, sketches
from huref.circuits.fingerprint.profiles import HARDENED
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.model.tensors import STEP, whole_model
from huref.common.files.commitment_file import TokenChoice
from huref.common.params import Knobs
from huref.prover.commitment import folder as commitment_folder
from huref.prover.commitment.folder import OpenedCommitment, Source
from huref.prover.progress import Progress
from huref.prover.ranges import ensure_range

Int8 = NDArray[np.int8]


def made_up(
    e: Sequence[int], pieces: Sequence[bytes], challenge: bytes = b""
) -> tuple[ModelShape, dict[str, Int8]]:
    """Shape and tensors whose fingerprint under this challenge's tables is close to `e`."""
    pools = pool_count(len(pieces))
    left, right = sketches(pieces, pools, challenge)
    k, d = len(pieces), 2 * pools
    table = np.zeros((2 * pools, k))
    for half, sketch in enumerate((left, right)):
        table[half * pools + sketch.pool, np.arange(k)] = sketch.sign
    table -= table.mean(axis=1, keepdims=True)  # the program takes the mean row off
    signs = hadamard(pools)
    rows = np.linalg.pinv(table) @ np.kron(np.eye(2), signs)  # K × 2P: pooled, they are those of `signs`
    shape = ModelShape(
        family="llama", hidden=d, heads=pools // 16, kv_heads=pools // 16, head_dim=16, ffn=pools, vocab=k, layers=2,
        gated=True, norm="rms", norm_position="pre", head=False,
    )  # fmt: skip
    tensors = {tensor.name: np.zeros((tensor.rows, tensor.cols), np.int8) for tensor in whole_model(shape)}
    tensors["embed"] = np.rint(rows / np.abs(rows).max() * 127).astype(np.int8)
    for term, (reads, writes) in enumerate((("q", "k"), ("o", "v"), ("up", "down"))):
        place, sign = output_map(term, pools, challenge)
        wanted = sign * np.asarray(e, np.float64)[place]
        wanted = signs @ wanted @ signs
        wanted *= 127 / np.abs(wanted).max()
        tensors[f"l0.{reads}"][np.arange(pools), np.arange(pools)] = 127
        tensors[f"l0.{writes}"][:, pools:] = np.rint(wanted).astype(np.int8)
        for name in (reads, writes):
            tensors[f"l1.{name}{STEP}"][:] = -100
    tensors["l0.gate"][:, 0] = 1
    tensors[f"l1.gate{STEP}"][:] = -100
    assert len(TERMS) == 3
    return shape, tensors


def hadamard(size: int) -> NDArray[np.float64]:
    """Signs with orthogonal rows; `size` is a power of two."""
    found = np.ones((1, 1))
    while len(found) < size:
        found = np.block([[found, found], [found, -found]])
    return found


def commit_made_up(
    folder: Path, shape: ModelShape, tensors: Mapping[str, Int8], tokens: TokenChoice
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
