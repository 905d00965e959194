"""Integers that reach a published fingerprint without a model behind it: why a picture alone shows no model.

The tables of the public fingerprint are known, so the embedding can be solved such that the pooled rows of both
sketches are orthogonal and known: then a term is any matrix that the right factors spell out. A challenge
(docs/fingerprint.md, "Challenges") and a proof of inference are what such integers cannot answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.tables import output_map, pool_count, sketches
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.model.tensors import STEP, whole_model

Int8 = NDArray[np.int8]

_LARGEST = 30
"""Largest entry of the solved embedding: pools of all tokens stay below what the program's sums may reach."""
_HEAD_DIM = 16


def made_up(
    e: Sequence[int],
    pieces: Sequence[bytes],
    challenge: bytes = b"",
    ids: Sequence[int] | None = None,
    vocab: int | None = None,
) -> tuple[ModelShape, dict[str, Int8]]:
    """Shape and tensors of a small model whose fingerprint under this challenge's tables is close to `e`.

    `pieces` are the bytes of the tokens that the fingerprint reads, `ids` their ids (default: 0, 1, …) among `vocab`;
    rows of other tokens are random. Its head is its embedding.
    """
    rows = np.arange(len(pieces)) if ids is None else np.asarray(ids)
    pools = pool_count(len(pieces))
    shape = ModelShape(
        family="llama", hidden=2 * pools, heads=pools // _HEAD_DIM, kv_heads=pools // _HEAD_DIM, head_dim=_HEAD_DIM,
        ffn=pools, vocab=vocab or len(pieces), layers=2, gated=True, norm="rms", norm_position="pre",
        rotary="half", rotary_dim=_HEAD_DIM, head=True,
    )  # fmt: skip
    signs = hadamard(pools)
    tensors = {tensor.name: np.zeros((tensor.rows, tensor.cols), np.int8) for tensor in whole_model(shape)}
    random = np.random.default_rng(0).integers(-_LARGEST, _LARGEST + 1, tensors["embed"].shape)
    random[rows] = _embedding(pieces, challenge, pools, signs)
    tensors["embed"] = tensors["head"] = random.astype(np.int8)
    for term, (reads, writes) in enumerate((("q", "k"), ("o", "v"), ("up", "down"))):
        place, sign = output_map(term, pools, challenge)
        wanted = signs @ (sign * np.asarray(e, np.float64)[place]) @ signs
        for layer in ("l0", "l1"):
            tensors[f"{layer}.{reads}"][np.arange(pools), np.arange(pools)] = 127
            tensors[f"{layer}.{writes}"][:, pools:] = np.rint(wanted * (127 / np.abs(wanted).max()))
    for layer in ("l0", "l1"):
        tensors[f"{layer}.gate"][:, 0] = 1
    for name, values in tensors.items():
        if name.endswith(STEP) and name != "embed" + STEP:
            values[:] = -7  # ordinary sizes, so that it runs as a language model does
    return shape, tensors


def _embedding(
    pieces: Sequence[bytes], challenge: bytes, pools: int, signs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Integer rows (K × 2P) that, pooled by both sketches and less their mean, are those of `signs`."""
    table = np.zeros((2 * pools, len(pieces)))
    for half, sketch in enumerate(sketches(pieces, pools, challenge)):
        table[half * pools + sketch.pool, np.arange(len(pieces))] = sketch.sign
    table -= table.mean(axis=1, keepdims=True)  # the program takes the mean row off
    rows = table.T @ np.linalg.pinv(table @ table.T, rcond=1e-10, hermitian=True) @ np.kron(np.eye(2), signs)
    return np.rint(rows * (_LARGEST / np.abs(rows).max()))


def hadamard(size: int) -> NDArray[np.float64]:
    """Signs with orthogonal rows; `size` is a power of two."""
    found = np.ones((1, 1))
    while len(found) < size:
        found = np.block([[found, found], [found, -found]])
    return found
