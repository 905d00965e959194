"""The canonical form of a model's tensors before rounding (fingerprint §3; docs/fingerprint.md per family).

Function-preserving rewrites leave the terms of §1 unchanged once gains are folded and means removed, but an
ill-conditioned rewrite could still steer the rounding. So the factors of every term are brought to a balanced
form that depends on the term as little as possible on how it was factored: up against down per neuron,
q against k per rotary plane, and v against o (and q against k without rotary) per kv head by the singular
value decomposition of their product. All arithmetic is pinned (prover/canonical/pinned.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.profiles import Profile
from huref.circuits.fingerprint.shape import ModelShape
from huref.prover.canonical import pinned
from huref.prover.canonical.pinned import Float64
from huref.prover.checkpoint.families import LayerReader, LayerTensors
from huref.prover.checkpoint.formats.base import Float32

Layer = LayerTensors | LayerReader


@dataclass
class _Scaled:
    """Rows (m, d) that are still to be multiplied by `factor` (m,); `squares` (m,) are their norms without it."""

    rows: Float32
    squares: Float64
    factor: Float64

    def scale(self, factor: Float64) -> None:
        """Multiply every row by its factor."""
        self.factor = self.factor * factor

    def norms(self) -> Float64:
        """Squared norms with the factors, (m,)."""
        return self.squares * self.factor * self.factor

    def mixed(self) -> Float32:
        """The rows with their factors, mixed over the hidden dimension; uses up `rows`."""
        return pinned.mix(self.rows, "hidden", self.factor)


def canonical_embedding(rows: Float32, shape: ModelShape, profile: Profile) -> Float32:
    """X in canonical form, (K × d): centred where the norms subtract the mean, then mixed; raw in `paper`.

    Uses up `rows`.
    """
    if not profile.canonical:
        return rows
    return _folded(rows, None, _ones(shape)).mixed()


def canonical_layer(tensors: Layer, shape: ModelShape, profile: Profile) -> Iterator[tuple[str, Float32]]:
    """Names and canonical rows of q, k, v, o, up, down in that order (gate before up in `paper`).

    Tensors are taken and come one pair at a time, so that a layer that is read from a file is never held as a whole.
    Those of `LayerTensors` are used up.
    """
    if not profile.canonical:
        yield from _raw(tensors, shape, profile)
        return
    pairs = (_attention_scores, _attention_values, _feed_forward)
    for names, pair in zip((("q", "k"), ("v", "o"), ("up", "down")), pairs, strict=True):
        left, right = pair(tensors, shape)
        yield names[0], left.mixed()
        del left
        yield names[1], right.mixed()


def _raw(tensors: Layer, shape: ModelShape, profile: Profile) -> Iterator[tuple[str, Float32]]:
    """Raw weights; only gate∘up and down are balanced per neuron, which leaves the gated term as it is.

    A few neurons carry most of that term in real models, and would be clamped away otherwise.
    """
    for name in ("q", "k", "v", "o"):
        yield name, getattr(tensors, name)
    gate = tensors.gate if profile.gated_term else None
    up, down = tensors.up, tensors.down
    if gate is not None:
        factor = _balance(pinned.fold(gate * up, None, None), pinned.fold(down, None, None))
        up, down = (
            rows * f.astype(np.float32)[:, None] for rows, f in ((up, factor), (down, _inverse(factor)))
        )
        yield "gate", gate
    yield "up", up
    yield "down", down


def _attention_scores(tensors: Layer, shape: ModelShape) -> tuple[_Scaled, _Scaled]:
    attn = (tensors.attn_gain, tensors.attn_stream_gain)
    q, k = (_reading(rows, *attn, shape) for rows in (tensors.q, tensors.k))
    for side, gain in ((q, tensors.q_gain), (k, tensors.k_gain)):
        if shape.qk_norm:  # the norm makes a head's scale meaningless
            side.scale(_unit_heads(side.norms(), shape.head_dim))
        if gain is not None:
            side.scale(gain.astype(np.float64))
    planes, rest = rotary_planes(shape)
    if shape.qk_norm:  # no map but signs passes the norm
        _balance_planes(q, k, shape, planes)
        _balance_planes(q, k, shape, rest[:, None])
        return q, k
    if len(rest):
        _balance_rest(q, k, shape, rest)
    _balance_planes(q, k, shape, planes)
    return q, k


def _attention_values(tensors: Layer, shape: ModelShape) -> tuple[_Scaled, _Scaled]:
    v = _reading(tensors.v, tensors.attn_gain, tensors.attn_stream_gain, shape)
    o = _writing(tensors.o, tensors.attn_output_gain, shape)
    stored = v.rows.reshape(shape.kv_heads, shape.head_dim, shape.hidden)
    grouped = o.rows.reshape(shape.kv_heads, shape.group, shape.head_dim, shape.hidden)
    pinned.balance_factors(stored, grouped, "vo")
    return v, o


def _feed_forward(tensors: Layer, shape: ModelShape) -> tuple[_Scaled, _Scaled]:
    up = _reading(tensors.up, tensors.ffn_gain, tensors.ffn_stream_gain, shape)
    down = _writing(tensors.down, tensors.ffn_output_gain, shape)
    factor = _balance(up.norms(), down.norms())
    up.scale(factor)
    down.scale(_inverse(factor))
    return up, down


def _folded(rows: Float32, gain: Float32 | None, direction: Float32 | None) -> _Scaled:
    squares = pinned.fold(rows, gain, direction)
    return _Scaled(rows, squares, np.ones(len(rows)))


def _ones(shape: ModelShape) -> Float32 | None:
    """The direction that a norm which subtracts the mean does not see."""
    return np.ones(shape.hidden, np.float32) if shape.subtracts_mean else None


def _reading(rows: Float32, gain: Float32 | None, stream_gain: Float32 | None, shape: ModelShape) -> _Scaled:
    """A weight that reads the stream: the norm's gain folded in, and what the norm makes constant taken out.

    A norm that subtracts the mean has outputs x̂ with Σx̂ = 0. Behind a pre-norm the all-ones direction of
    the folded rows is therefore without effect. A post-norm's output γ∘x̂+β is the stream itself, so γ
    stays where it is and the direction without effect (but for a bias) is 1/γ; where gains are zero, those
    columns are without effect.
    """
    if not shape.subtracts_mean or stream_gain is None:
        return _folded(rows, gain, _ones(shape))
    dead = stream_gain == 0
    if dead.any():
        return _folded(rows, np.where(dead, 0, 1).astype(np.float32), None)
    return _folded(rows, gain, (np.abs(stream_gain).min() / stream_gain).astype(np.float32))


def _writing(rows: Float32, gain: Float32 | None, shape: ModelShape) -> _Scaled:
    """A weight that writes the stream; every later reader, in a post-norm model too, drops its mean."""
    return _folded(rows, gain, _ones(shape))


def _unit_heads(squares: Float64, head_dim: int) -> Float64:
    """Factors per row that bring every head to norm one."""
    norms = np.sqrt(pinned.tree_sum(squares.reshape(-1, head_dim)))
    return np.repeat(_inverse(norms), head_dim)


def rotary_planes(shape: ModelShape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row pairs of a head that rotary embeddings turn together, (planes, 2), and the unturned rows."""
    if shape.rotary is None:
        return np.zeros((0, 2), dtype=np.int64), np.arange(shape.head_dim)
    half = shape.rotary_dim // 2
    first = np.arange(half) if shape.rotary == "half" else 2 * np.arange(half)
    pair = np.stack([first, first + (half if shape.rotary == "half" else 1)], axis=1)
    planes = np.concatenate([pair + section * shape.rotary_dim for section in range(shape.rotary_sections)])
    return planes, np.arange(shape.rotary_dim * shape.rotary_sections, shape.head_dim)


def _balance_planes(q: _Scaled, k: _Scaled, shape: ModelShape, planes: NDArray[np.int64]) -> None:
    """Equal norms of the query and key rows of every plane (planes, rows per plane)."""
    per_head = (shape.kv_heads, shape.group, shape.head_dim)
    squares = q.norms().reshape(per_head)[:, :, planes]  # kv heads, group, planes, rows
    query = pinned.tree_sum(pinned.tree_sum(np.moveaxis(squares, 1, -1)))
    key = pinned.tree_sum(k.norms().reshape(shape.kv_heads, shape.head_dim)[:, planes])
    factor = _balance(query, key)
    to_query, to_key = np.ones(per_head), np.ones((shape.kv_heads, shape.head_dim))
    for row in planes.T:
        to_query[:, :, row] = factor[:, None, :]
        to_key[:, row] = _inverse(factor)
    q.scale(to_query.reshape(-1))
    k.scale(to_key.reshape(-1))


def _balance_rest(q: _Scaled, k: _Scaled, shape: ModelShape, rest: NDArray[np.int64]) -> None:
    """Balanced factors of the rows of every head that rotary embeddings leave alone, in place."""
    grouped = q.rows.reshape(shape.kv_heads, shape.group, shape.head_dim, shape.hidden)
    stored = k.rows.reshape(shape.kv_heads, shape.head_dim, shape.hidden)
    few, many = (np.ascontiguousarray(rows) for rows in (stored[:, rest], grouped[:, :, rest]))
    pinned.balance_factors(few, many, "qk")
    stored[:, rest], grouped[:, :, rest] = few, many


def _balance(left: Float64, right: Float64) -> Float64:
    """Factor c with c·‖left‖ = ‖right‖/c from squared norms; 0 where either vanishes, so that both do."""
    alive = (left > 0) & (right > 0)
    return np.sqrt(np.sqrt(np.where(alive, right, 0.0) / np.where(alive, left, 1.0)))


def _inverse(x: Float64) -> Float64:
    return np.where(x > 0, 1.0, 0.0) / np.where(x > 0, x, 1.0)
