"""The steps that canonical forms are made of: folded gains, removed means, and factors brought to a balance.

All arithmetic is pinned (prover/kernels/pinned.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.model.rotary import rotary_planes
from huref.prover.checkpoint.architectures.mixture import Expert
from huref.prover.checkpoint.families import LayerReader, LayerTensors
from huref.prover.checkpoint.formats.base import Float32
from huref.prover.kernels import pinned
from huref.prover.kernels.pinned import Float64

Layer = LayerTensors | LayerReader
Feed = LayerTensors | LayerReader | Expert
"""What has gate, up and down."""


@dataclass
class Scaled:
    """Rows (m, d) that are still to be multiplied by `factor` (m,); `squares` (m,) are their norms without it.

    `bias` (m,) is what is added to each row's product, still to be multiplied as well.
    """

    rows: Float32
    squares: Float64
    factor: Float64
    bias: Float64 | None = None

    def scale(self, factor: Float64) -> None:
        """Multiply every row by its factor."""
        self.factor = self.factor * factor

    def norms(self) -> Float64:
        """Squared norms with the factors, (m,)."""
        return self.squares * self.factor * self.factor

    def mixed(self) -> Float32:
        """The rows with their factors, mixed over the hidden dimension; uses up `rows`."""
        return pinned.mix(self.rows, "hidden", self.factor)


def folded(rows: Float32, gain: Float32 | None, direction: Float32 | None) -> Scaled:
    """Rows times the gain, less their part along the direction; uses up `rows`."""
    squares = pinned.fold(rows, gain, direction)
    return Scaled(rows, squares, np.ones(len(rows)))


def all_ones(shape: ModelShape) -> Float32 | None:
    """The direction that a norm which subtracts the mean does not see."""
    return np.ones(shape.hidden, np.float32) if shape.subtracts_mean else None


def own(bias: Float32 | None, size: int) -> Float64:
    """A bias (size,), zeros where there is none."""
    return np.zeros(size) if bias is None else bias.astype(np.float64)


def grouped(factor: Float64, shape: ModelShape) -> Float64:
    """Per kv head and row → per head and row."""
    heads = factor.reshape(shape.kv_heads, 1, shape.head_dim)
    return np.repeat(heads, shape.group, axis=1).reshape(-1)


def shifted(rows: Float32, bias: Float32 | None, shift: Float32 | None) -> Float64:
    """What rows (m, d) give for a norm's shift (d,), plus their own bias (m,); zeros where there is neither."""
    found = own(bias, len(rows))
    if shift is None:
        return found
    column = shift.astype(np.float64)[:, None]
    return np.asarray(pinned.product(rows.astype(np.float64), column)[:, 0] + found)


def reading(
    rows: Float32,
    gain: Float32 | None,
    stream_gain: Float32 | None,
    shape: ModelShape,
    bias: Float64 | None = None,
) -> Scaled:
    """A weight that reads the stream: the norm's gain folded in, and what the norm makes constant taken out.

    A norm that subtracts the mean has outputs x̂ with Σx̂ = 0. Behind a pre-norm the all-ones direction of
    the folded rows is therefore without effect. A post-norm's output γ∘x̂+β is the stream itself, so γ
    stays where it is and the direction without effect (but for a bias) is 1/γ; where gains are zero, those
    columns are without effect.
    """
    if not shape.subtracts_mean or stream_gain is None:
        scaled = folded(rows, gain, all_ones(shape))
        scaled.bias = bias
        return scaled
    dead = stream_gain == 0
    if dead.any():
        return folded(rows, np.where(dead, 0, 1).astype(np.float32), None)
    return folded(rows, gain, (np.abs(stream_gain).min() / stream_gain).astype(np.float32))


def writing(rows: Float32, gain: Float32 | None, shape: ModelShape) -> Scaled:
    """A weight that writes the stream; every later reader, in a post-norm model too, drops its mean."""
    return folded(rows, gain, all_ones(shape))


def unit_heads(squares: Float64, head_dim: int) -> Float64:
    """Factors per row that bring every head to norm one."""
    norms = np.sqrt(pinned.tree_sum(squares.reshape(-1, head_dim)))
    return np.repeat(inverse(norms), head_dim)


def balance_planes(q: Scaled, k: Scaled, shape: ModelShape, planes: NDArray[np.int64]) -> None:
    """Equal norms of the query and key rows of every plane (planes, rows per plane)."""
    per_head = (shape.kv_heads, shape.group, shape.head_dim)
    squares = q.norms().reshape(per_head)[:, :, planes]  # kv heads, group, planes, rows
    query = pinned.tree_sum(pinned.tree_sum(np.moveaxis(squares, 1, -1)))
    key = pinned.tree_sum(k.norms().reshape(shape.kv_heads, shape.head_dim)[:, planes])
    factor = balance(query, key)
    to_query, to_key = np.ones(per_head), np.ones((shape.kv_heads, shape.head_dim))
    for row in planes.T:
        to_query[:, :, row] = factor[:, None, :]
        to_key[:, row] = inverse(factor)
    q.scale(to_query.reshape(-1))
    k.scale(to_key.reshape(-1))


def balance_rest(q: Scaled, k: Scaled, shape: ModelShape, rest: NDArray[np.int64]) -> None:
    """Balanced factors of the rows of every head that rotary embeddings leave alone, in place."""
    grouped = q.rows.reshape(shape.kv_heads, shape.group, shape.head_dim, shape.hidden)
    stored = k.rows.reshape(shape.kv_heads, shape.head_dim, shape.hidden)
    few, many = (np.ascontiguousarray(rows) for rows in (stored[:, rest], grouped[:, :, rest]))
    maps = pinned.balance_factors(few, many, "qk")
    stored[:, rest], grouped[:, :, rest] = few, many
    if q.bias is not None:
        bias = q.bias.reshape(shape.kv_heads, shape.group, shape.head_dim)
        for head, turn in enumerate(maps):
            bias[head][:, rest] = pinned.product(bias[head][:, rest], turn.T)


def attention_scores(tensors: Layer, shape: ModelShape, *, gains: bool = True) -> tuple[Scaled, Scaled]:
    """q and k, per rotary plane of equal norm. Where a norm acts on them every head has norm one instead.

    `gains`: that norm's gains are multiplied in, and planes are brought to equal norms after that.
    """
    attn = (tensors.attn_gain, tensors.attn_stream_gain)
    q, k = (_scored(tensors, name, attn, shape) for name in ("q", "k"))
    if shape.qk_norm:  # the norm makes a head's scale meaningless
        for side in (q, k):
            side.scale(unit_heads(side.norms(), shape.head_dim))
        if not gains:
            return q, k
    for side, gain in ((q, tensors.q_gain), (k, tensors.k_gain)):
        if gain is not None:
            side.scale(gain.astype(np.float64))
    planes, rest = rotary_planes(shape)
    if shape.qk_norm:  # no map but signs passes the norm
        balance_planes(q, k, shape, planes)
        balance_planes(q, k, shape, rest[:, None])
        return q, k
    if len(rest):
        balance_rest(q, k, shape, rest)
    balance_planes(q, k, shape, planes)
    return q, k


def _scored(
    tensors: Layer, name: str, attn: tuple[Float32 | None, Float32 | None], shape: ModelShape
) -> Scaled:
    rows: Float32 = getattr(tensors, name)
    bias = None
    if name in shape.biases:
        bias = shifted(rows, getattr(tensors, f"{name}_bias"), tensors.attn_shift)
    return reading(rows, *attn, shape, bias)


def attention_values(tensors: Layer, shape: ModelShape, *, gains: bool = True) -> tuple[Scaled, Scaled]:
    """v and o, per kv head the balanced factors of their product.

    `gains`: the gain of a norm behind attention is multiplied into o.
    """
    v = reading(tensors.v, tensors.attn_gain, tensors.attn_stream_gain, shape)
    o = writing(tensors.o, tensors.attn_output_gain if gains else None, shape)
    stored = v.rows.reshape(shape.kv_heads, shape.head_dim, shape.hidden)
    grouped = o.rows.reshape(shape.kv_heads, shape.group, shape.head_dim, shape.hidden)
    pinned.balance_factors(stored, grouped, "vo")
    return v, o


def balance(left: Float64, right: Float64) -> Float64:
    """Factor c with c·‖left‖ = ‖right‖/c from squared norms; 0 where either vanishes, so that both do."""
    alive = (left > 0) & (right > 0)
    return np.sqrt(np.sqrt(np.where(alive, right, 0.0) / np.where(alive, left, 1.0)))


def inverse(x: Float64) -> Float64:
    """1/x, and 0 where x is."""
    return np.where(x > 0, 1.0, 0.0) / np.where(x > 0, x, 1.0)
