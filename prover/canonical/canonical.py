"""The canonical form of a model's tensors before rounding (fingerprint §3; docs/fingerprint.md per family).

Function-preserving rewrites leave the terms of §1 unchanged once gains are folded and means removed, but an
ill-conditioned rewrite could still steer the rounding. So the factors of every term are brought to a balanced
form that depends on the term as little as possible on how it was factored: up against down per neuron,
q against k per rotary plane, and v against o (and q against k without rotary) per kv head by the singular
value decomposition of their product. All arithmetic is pinned (prover/kernels/pinned.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from huref.circuits.fingerprint.profiles import Profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.prover.canonical.factors import (
    Layer,
    Scaled,
    all_ones,
    attention_scores,
    attention_values,
    balance,
    folded,
    inverse,
    reading,
    writing,
)
from huref.prover.checkpoint.formats.base import Float32
from huref.prover.kernels import pinned


def canonical_embedding(rows: Float32, shape: ModelShape, profile: Profile) -> Float32:
    """X in canonical form, (K × d): centred where the norms subtract the mean, then mixed; raw in `paper`.

    Uses up `rows`.
    """
    if not profile.canonical:
        return rows
    return folded(rows, None, all_ones(shape)).mixed()


def canonical_layer(tensors: Layer, shape: ModelShape, profile: Profile) -> Iterator[tuple[str, Float32]]:
    """Names and canonical rows of q, k, v, o, up, down in that order (gate before up in `paper`), if it has them.

    Tensors are taken and come one pair at a time, so that a layer that is read from a file is never held as a whole.
    Those of `LayerTensors` are used up.
    """
    if not profile.canonical:
        yield from _raw(tensors)
        return
    there = (tensors.attends, tensors.attends, any(True for _ in tensors.feeds()))
    pairs = (attention_scores, attention_values, _feed_forward)
    for names, pair, found in zip((("q", "k"), ("v", "o"), ("up", "down")), pairs, there, strict=True):
        if not found:
            continue
        left, right = pair(tensors, shape)
        yield names[0], left.mixed()
        del left
        yield names[1], right.mixed()


def _raw(tensors: Layer) -> Iterator[tuple[str, Float32]]:
    """Raw weights; only gate∘up and down are balanced per neuron, which leaves the gated term as it is.

    A few neurons carry most of that term in real models, and would be clamped away otherwise.
    """
    for name in ("q", "k", "v", "o"):
        yield name, getattr(tensors, name)
    gate = tensors.gate
    up, down = tensors.up, tensors.down
    if gate is not None:
        factor = balance(pinned.fold(gate * up, None, None), pinned.fold(down, None, None))
        up, down = (
            rows * f.astype(np.float32)[:, None] for rows, f in ((up, factor), (down, inverse(factor)))
        )
        yield "gate", gate
    yield "up", up
    yield "down", down


def _feed_forward(tensors: Layer, shape: ModelShape) -> tuple[Scaled, Scaled]:
    up = reading(tensors.up, tensors.ffn_gain, tensors.ffn_stream_gain, shape)
    down = writing(tensors.down, tensors.ffn_output_gain, shape)
    factor = balance(up.norms(), down.norms())
    up.scale(factor)
    down.scale(inverse(factor))
    return up, down
