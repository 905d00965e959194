"""The canonical form of a model's tensors before rounding (fingerprint §3; docs/fingerprint.md per family).

Function-preserving rewrites leave the terms of §1 unchanged once gains are folded and means removed, but an
ill-conditioned rewrite could still steer the rounding. So the factors of every term are brought to a balanced
form that depends on the term as little as possible on how it was factored: up against down per neuron,
q against k per rotary plane, and v against o (and q against k without rotary) per kv head by the singular
value decomposition of their product. All arithmetic is pinned (prover/pinned.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from circuits.profiles import Profile
from circuits.shape import ModelShape
from prover import pinned
from prover.families import LayerTensors
from prover.formats.base import Float32
from prover.pinned import Float64

_RANK_TOLERANCE = 1e-12
"""Eigenvalues of a Gram matrix below this share of the largest are rounding noise of float32 weights."""


def canonical_embedding(rows: Float32, shape: ModelShape, profile: Profile) -> Float64:
    """X in canonical form, (K × d): centred where the norms subtract the mean, then mixed; raw in `paper`."""
    x = rows.astype(np.float64)
    if not profile.canonical:
        return x
    return pinned.mix(_centre(x) if shape.subtracts_mean else x, "hidden")


def canonical_layer(
    tensors: LayerTensors, shape: ModelShape, profile: Profile
) -> Iterator[tuple[str, Float64]]:
    """Names and canonical float64 rows of q, k, v, o, up, down in that order (gate before up in `paper`).

    Tensors come one pair at a time, so that a large layer is never held in float64 as a whole.
    """
    if not profile.canonical:
        yield from _raw(tensors, shape, profile)
        return
    pairs = (_attention_scores, _attention_values, _feed_forward)
    for names, pair in zip((("q", "k"), ("v", "o"), ("up", "down")), pairs, strict=True):
        left, right = pair(tensors, shape)
        yield names[0], pinned.mix(left, "hidden")
        del left
        yield names[1], pinned.mix(right, "hidden")


def _raw(tensors: LayerTensors, shape: ModelShape, profile: Profile) -> Iterator[tuple[str, Float64]]:
    """Raw weights; only gate∘up and down are balanced per neuron, which leaves the gated term as it is.

    A few neurons carry most of that term in real models, and would be clamped away otherwise.
    """
    for name in ("q", "k", "v", "o"):
        yield name, getattr(tensors, name).astype(np.float64)
    up, down = tensors.up.astype(np.float64), tensors.down.astype(np.float64)
    if profile.gated_term and tensors.gate is not None:
        gate = tensors.gate.astype(np.float64)
        factor = _balance(pinned.norms_squared(gate * up), pinned.norms_squared(down))
        up *= factor[:, None]
        down *= _inverse(factor)[:, None]
        yield "gate", gate
    yield "up", up
    yield "down", down


def _attention_scores(tensors: LayerTensors, shape: ModelShape) -> tuple[Float64, Float64]:
    attn = (tensors.attn_gain, tensors.attn_stream_gain)
    q, k = (_reading(rows, *attn, shape) for rows in (tensors.q, tensors.k))
    if shape.qk_norm:  # the norm makes a head's scale meaningless
        q, k = _unit_heads(q, shape.head_dim), _unit_heads(k, shape.head_dim)
    q, k = _scaled_rows(q, tensors.q_gain), _scaled_rows(k, tensors.k_gain)
    grouped = q.reshape(shape.kv_heads, shape.group, shape.head_dim, shape.hidden)
    stored = k.reshape(shape.kv_heads, shape.head_dim, shape.hidden)
    planes, rest = rotary_planes(shape)
    if len(planes):
        _balance_planes(grouped, stored, planes)
    if shape.qk_norm and len(rest):  # no map but signs passes the norm
        _balance_planes(grouped, stored, rest[:, None])
    elif len(rest):
        grouped[:, :, rest], stored[:, rest] = _swap(
            balanced_factors(stored[:, rest], grouped[:, :, rest], "qk")
        )
    return grouped.reshape(q.shape), stored.reshape(k.shape)


def _attention_values(tensors: LayerTensors, shape: ModelShape) -> tuple[Float64, Float64]:
    v = _reading(tensors.v, tensors.attn_gain, tensors.attn_stream_gain, shape)
    o = _writing(tensors.o, tensors.attn_output_gain, shape)
    stored = v.reshape(shape.kv_heads, shape.head_dim, shape.hidden)
    grouped = o.reshape(shape.kv_heads, shape.group, shape.head_dim, shape.hidden)
    stored, grouped = balanced_factors(stored, grouped, "vo")
    return stored.reshape(v.shape), grouped.reshape(o.shape)


def _feed_forward(tensors: LayerTensors, shape: ModelShape) -> tuple[Float64, Float64]:
    up = _reading(tensors.up, tensors.ffn_gain, tensors.ffn_stream_gain, shape)
    down = _writing(tensors.down, tensors.ffn_output_gain, shape)
    factor = _balance(pinned.norms_squared(up), pinned.norms_squared(down))
    up *= factor[:, None]
    down *= _inverse(factor)[:, None]
    return up, down


def _reading(rows: Float32, gain: Float32 | None, stream_gain: Float32 | None, shape: ModelShape) -> Float64:
    """A weight that reads the stream: the norm's gain folded in, and what the norm makes constant taken out.

    A norm that subtracts the mean has outputs x̂ with Σx̂ = 0. Behind a pre-norm the all-ones direction of
    the folded rows is therefore without effect. A post-norm's output γ∘x̂+β is the stream itself, so γ
    stays where it is and the direction without effect (but for a bias) is 1/γ.
    """
    out = rows.astype(np.float64)
    if gain is not None:
        out *= gain.astype(np.float64)
    if not shape.subtracts_mean:
        return out
    return _centre(out) if stream_gain is None else _without(out, stream_gain.astype(np.float64))


def _without(rows: Float64, gain: Float64) -> Float64:
    """Rows without their component along 1/gain; where gains are zero, those columns are without effect."""
    dead = gain == 0
    if dead.any():
        return np.where(dead, 0.0, rows)
    direction = np.abs(gain).min() / gain
    share = pinned.tree_sum(rows * direction) / float(pinned.norms_squared(direction))
    return rows - share[:, None] * direction


def _writing(rows: Float32, gain: Float32 | None, shape: ModelShape) -> Float64:
    """A weight that writes the stream; every later reader, in a post-norm model too, drops its mean."""
    out = rows.astype(np.float64)
    if gain is not None:
        out *= gain.astype(np.float64)
    return _centre(out) if shape.subtracts_mean else out


def _centre(rows: Float64) -> Float64:
    return rows - (pinned.tree_sum(rows) / rows.shape[-1])[:, None]


def _scaled_rows(rows: Float64, gain: Float32 | None) -> Float64:
    return rows if gain is None else rows * gain.astype(np.float64)[:, None]


def _unit_heads(rows: Float64, head_dim: int) -> Float64:
    heads = rows.reshape(-1, head_dim, rows.shape[1])
    norm = np.sqrt(pinned.tree_sum(pinned.norms_squared(heads)))
    return (heads * _inverse(norm)[:, None, None]).reshape(rows.shape)


def rotary_planes(shape: ModelShape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row pairs of a head that rotary embeddings turn together, (planes, 2), and the unturned rows."""
    if shape.rotary is None:
        return np.zeros((0, 2), dtype=np.int64), np.arange(shape.head_dim)
    half = shape.rotary_dim // 2
    first = np.arange(half) if shape.rotary == "half" else 2 * np.arange(half)
    pair = np.stack([first, first + (half if shape.rotary == "half" else 1)], axis=1)
    planes = np.concatenate([pair + section * shape.rotary_dim for section in range(shape.rotary_sections)])
    return planes, np.arange(shape.rotary_dim * shape.rotary_sections, shape.head_dim)


def _balance_planes(grouped: Float64, stored: Float64, planes: NDArray[np.int64]) -> None:
    """Equal norms of the query and key rows of every plane (planes, rows per plane), in place."""
    squares = pinned.norms_squared(grouped)[:, :, planes]  # kv heads, group, planes, rows
    query = pinned.tree_sum(pinned.tree_sum(np.moveaxis(squares, 1, -1)))
    key = pinned.tree_sum(pinned.norms_squared(stored)[:, planes])
    factor = _balance(query, key)
    for row in planes.T:
        grouped[:, :, row] *= factor[:, None, :, None]
        stored[:, row] *= _inverse(factor)[:, :, None]


def _balance(left: Float64, right: Float64) -> Float64:
    """Factor c with c·‖left‖ = ‖right‖/c from squared norms; 0 where either vanishes, so that both do."""
    alive = (left > 0) & (right > 0)
    return np.sqrt(np.sqrt(np.where(alive, right, 0.0) / np.where(alive, left, 1.0)))


def _inverse(x: Float64) -> Float64:
    return np.where(x > 0, 1.0, 0.0) / np.where(x > 0, x, 1.0)


def _swap(pair: tuple[Float64, Float64]) -> tuple[Float64, Float64]:
    return pair[1], pair[0]


def balanced_factors(stored: Float64, grouped: Float64, name: str) -> tuple[Float64, Float64]:
    """Balanced factors of every head's product storedᵀ·[grouped_1 … grouped_g], which stays as it is.

    Args:
        stored: (heads, n, d), the side that a whole group shares.
        grouped: (heads, group, n, d).

    With the product's singular values σ both results are rotations of √σ times orthonormal rows, the larger
    σ first; each row of `stored` has its largest entry positive, and a fixed public rotation then spreads
    the σ over all n rows. Directions without a product become zero.
    """
    heads, n, _ = stored.shape
    flat = np.moveaxis(grouped, 1, 2).reshape(heads, n, -1)  # head, n, group·d
    values, vectors = pinned.symmetric_eigen(_gram(stored))
    root = np.sqrt(np.where(values > _RANK_TOLERANCE * values[:, :1], values, 0.0))
    transposed = np.swapaxes(vectors, 1, 2)
    to_right = root[:, :, None] * transposed  # √D·Uᵀ, and D^−½·Uᵀ for the stored side
    to_left = _inverse(root)[:, :, None] * transposed
    core = _gram(pinned.matmul(to_right, flat))
    squares, turn = pinned.symmetric_eigen(core)
    sigma = np.sqrt(np.where(squares > _RANK_TOLERANCE**2 * squares[:, :1], squares, 0.0))
    turned = np.swapaxes(turn, 1, 2)
    left_map = np.sqrt(sigma)[:, :, None] * pinned.matmul(turned, to_left)
    right_map = np.sqrt(_inverse(sigma))[:, :, None] * pinned.matmul(turned, to_right)
    left = pinned.matmul(left_map, stored)
    peak = np.take_along_axis(left, np.abs(left).argmax(axis=2)[:, :, None], axis=2)
    sign = np.where(peak < 0, -1.0, 1.0)
    left, right = left * sign, pinned.matmul(right_map, flat) * sign
    left, right = (np.swapaxes(pinned.mix(np.swapaxes(side, 1, 2), name), 1, 2) for side in (left, right))
    back = right.reshape(heads, n, grouped.shape[1], -1)
    return left, np.ascontiguousarray(np.moveaxis(back, 1, 2))


def _gram(rows: Float64) -> Float64:
    gram = pinned.matmul(rows, np.swapaxes(rows, 1, 2))
    return 0.5 * (gram + np.swapaxes(gram, 1, 2))
