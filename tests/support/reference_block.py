"""One transformer block in plain float64 numpy, driven only by a `ModelShape` and extracted `LayerTensors`.

If it reproduces the real class's block output, then q, k, v, o, up, gate, down, all gains, the norm kind and
position, the head grouping and the rotary planes are all right. Linear and norm biases are taken as zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.prover.checkpoint.families import LayerTensors

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Extras:
    """What the shape does not say: activation, norm epsilon, score scale, ALiBi factor, masking, ..."""

    activation: str
    eps: float
    scale: float | None
    alibi: float
    causal: bool
    residual: float = 1.0  # factor on the residual of ChatGLM-6B
    theta: float = 10000.0
    whole_norm: bool = False
    norm_after: bool = False
    turn: float = 1.0
    raw: bool = False  # attention, and without a gain the FFN, read the stream as it is


def block(x: Array, layer: LayerTensors, following: Array | None, shape: ModelShape, extras: Extras) -> Array:
    """Output of the block for input x (tokens, d). `following`: gain after the FFN sum ("post" models)."""
    attn_gain = layer.attn_gain if shape.norm_position == "pre" else layer.attn_stream_gain
    ffn_gain = layer.ffn_gain if shape.norm_position == "pre" else layer.ffn_stream_gain
    if shape.norm_position == "post":
        y = _norm(x + _attention(x, layer, shape, extras), ffn_gain, shape, extras)
        return _norm(y + _ffn(y, layer, extras), following, shape, extras)
    read = x if extras.raw else _norm(x, attn_gain, shape, extras)
    attended = _attention(read, layer, shape, extras)
    if shape.output_norm:
        attended = _norm(attended, layer.attn_output_gain, shape, extras)
    if shape.parallel:
        return x + attended + _ffn(_norm(x, ffn_gain, shape, extras), layer, extras)
    y = x + attended
    read = y if extras.raw and ffn_gain is None else _norm(y, ffn_gain, shape, extras)
    written = _ffn(read, layer, extras)
    if shape.output_norm:
        written = _norm(written, layer.ffn_output_gain, shape, extras)
    return y + written


def kept_block(x: Array, layer: LayerTensors, shape: ModelShape, extras: Extras) -> Array:
    """The same for blocks whose residual sum takes the normed input (ChatGLM-6B)."""
    read = _norm(x, layer.attn_stream_gain, shape, extras)
    y = extras.residual * read + _attention(read, layer, shape, extras)
    read = _norm(y, layer.ffn_stream_gain, shape, extras)
    return extras.residual * read + _ffn(read, layer, extras)


def _norm(x: Array, gain: NDArray[np.float32] | Array | None, shape: ModelShape, extras: Extras) -> Array:
    if shape.subtracts_mean:
        x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + extras.eps)
    return x if gain is None else x * gain


def _attention(x: Array, layer: LayerTensors, shape: ModelShape, extras: Extras) -> Array:
    tokens, size = len(x), shape.head_dim
    q = (x @ layer.q.T.astype(np.float64)).reshape(tokens, shape.heads, size).swapaxes(0, 1)
    k = (x @ layer.k.T.astype(np.float64)).reshape(tokens, shape.kv_heads, size).swapaxes(0, 1)
    v = (x @ layer.v.T.astype(np.float64)).reshape(tokens, shape.kv_heads, size).swapaxes(0, 1)
    if extras.norm_after:
        q, k = _rotate(q, shape, extras), _rotate(k, shape, extras)
    if shape.qk_norm:
        q, k = _head_norm(q, layer.q_gain, shape, extras), _head_norm(k, layer.k_gain, shape, extras)
    if not extras.norm_after:
        q, k = _rotate(q, shape, extras), _rotate(k, shape, extras)
    k, v = np.repeat(k, shape.group, 0), np.repeat(v, shape.group, 0)
    scores = q @ k.swapaxes(1, 2) * (size**-0.5 if extras.scale is None else extras.scale)
    slopes = 2.0 ** (-8.0 * np.arange(1, shape.heads + 1) / shape.heads)
    scores = scores + extras.alibi * slopes[:, None, None] * np.arange(tokens)
    if extras.causal:
        scores = np.where(np.tri(tokens, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ v
    return mixed.swapaxes(0, 1).reshape(tokens, shape.q_rows) @ layer.o


def _head_norm(x: Array, gain: NDArray[np.float32] | None, shape: ModelShape, extras: Extras) -> Array:
    """x: (heads, tokens, head size), normed per head or over all heads."""
    heads, tokens, size = x.shape
    per_head = 1.0 if gain is None else gain.astype(np.float64).reshape(heads, 1, size)
    if not extras.whole_norm:
        return _norm(x, None, shape, extras) * per_head
    together = _norm(x.swapaxes(0, 1).reshape(tokens, -1), None, shape, extras)
    return together.reshape(tokens, heads, size).swapaxes(0, 1) * per_head


def _rotate(x: Array, shape: ModelShape, extras: Extras) -> Array:
    """Turn the planes that the shape names by position · theta^(-2i/r)."""
    if shape.rotary is None:
        return x
    x, r = x.copy(), shape.rotary_dim
    for section in range(shape.rotary_sections):
        part = x[..., section * r : (section + 1) * r]
        first, second = (
            (np.arange(r // 2), np.arange(r // 2, r))
            if shape.rotary == "half"
            else (np.arange(0, r, 2), np.arange(1, r, 2))
        )
        # ChatGLM-6B's second section counts positions inside the answer: all zero for a prompt
        positions = np.arange(x.shape[1]) * (section == 0)
        angle = extras.turn * positions[:, None] * extras.theta ** (-np.arange(0, r, 2) / r)
        a, b = part[..., first].copy(), part[..., second].copy()
        part[..., first] = a * np.cos(angle) - b * np.sin(angle)
        part[..., second] = b * np.cos(angle) + a * np.sin(angle)
    return x


def _ffn(x: Array, layer: LayerTensors, extras: Extras) -> Array:
    up = x @ layer.up.T.astype(np.float64)
    if layer.gate is None:
        return _activate(up, extras.activation) @ layer.down
    return _activate(x @ layer.gate.T.astype(np.float64), extras.activation) * up @ layer.down


def _activate(x: Array, name: str) -> Array:
    if name == "relu":
        return np.maximum(x, 0)
    if name == "relu2":
        return np.maximum(x, 0) ** 2
    if name == "xielu":  # with its initial parameters
        return np.where(x > 0, 0.8 * x**2, 0.8 * (np.expm1(np.minimum(x, -1e-6)) - x)) + 0.5 * x
    if name == "silu":
        return x / (1 + np.exp(-x))
    if name == "gelu_tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    import math

    return 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))
