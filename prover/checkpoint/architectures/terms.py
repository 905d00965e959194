"""The terms of any layer as pairs of factors, for every kind of attention and FFN (design: fingerprint §4).

A term is X Lᵀ R Xᵀ, with rows of L and R of the hidden size: gains are folded in, the mean is taken out where norms
subtract it, and what a norm makes meaningless (the scale of a head or of a latent) is brought to one. Rows are float64
arithmetic rounded once to float32. Terms do not change when experts, heads or neurons are reordered, when the hidden
space or a latent is rotated, or when a scale moves from one factor to the other.

| kind | L | R |
|---|---|---|
| scores | q of all heads | k |
| scores_rotary | the part of q that meets the shared key with positions (latent attention) | that key, one head |
| values | v | o of all heads |
| ffn, shared_expert | up | down |
| experts | up of one expert after another | down |
| router | the router's rows, less their mean before a softmax | the same |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.common.errors import Malformed
from huref.prover.checkpoint.architectures.latent import value_dim
from huref.prover.checkpoint.architectures.layer import LayerReader
from huref.prover.checkpoint.architectures.layout import Layout
from huref.prover.checkpoint.architectures.mixture import Expert, Mixture
from huref.prover.checkpoint.formats.base import Float32

Kind = Literal["scores", "scores_rotary", "values", "ffn", "experts", "shared_expert", "router"]
Float64 = NDArray[np.float64]
Pairs = Iterator[tuple[Float32, Float32]]


@dataclass(frozen=True)
class Term:
    """One term of a layer. `pairs()` reads its factors (L, R) anew, one expert at a time; the term is their sum.

    L and R consist of `left_heads` and `right_heads` groups of equally many rows. Where one side has fewer groups, each
    of them meets as many successive groups of the other, row by row. FFNs and routers have one group.
    """

    kind: Kind
    left_heads: int
    right_heads: int
    pairs: Callable[[], Pairs]


def layer_terms(layout: Layout, shape: ModelShape, index: int) -> tuple[Term, ...]:
    """The terms of layer `index`, whose shape is `shape`, in the order of the table. Nothing is read yet."""
    reader = LayerReader(layout, shape, index)
    terms: list[Term] = []
    if layout.entry.latent is not None:
        terms += _latent(reader)
    elif layout.attends(index):
        terms += [
            Term("scores", shape.heads, shape.kv_heads, lambda: _one(_scores(reader))),
            Term("values", shape.kv_heads, shape.heads, lambda: _one(_values(reader))),
        ]
    if not layout.feeds(index):
        return tuple(terms)
    mixture = reader.mixture
    if mixture is None:
        return (*terms, Term("ffn", 1, 1, lambda: _one(_neurons(reader, reader))))
    terms.append(Term("experts", 1, 1, lambda: (_neurons(reader, expert) for expert in mixture.routed())))
    if mixture.has_shared:
        terms.append(Term("shared_expert", 1, 1, lambda: _one(_neurons(reader, mixture.shared()))))
    terms.append(Term("router", 1, 1, lambda: _one(_router(reader, mixture))))
    return tuple(terms)


def _one(pair: tuple[Float32, Float32]) -> Pairs:
    yield pair


def _scores(reader: LayerReader) -> tuple[Float32, Float32]:
    q = _reading(reader.q, reader.attn_gain, reader.attn_stream_gain, reader.shape)
    k = _reading(reader.k, reader.attn_gain, reader.attn_stream_gain, reader.shape)
    if reader.shape.qk_norm:
        whole = reader.entry.whole_norm
        q, k = (_unit(rows, len(rows) if whole else reader.shape.head_dim) for rows in (q, k))
    for rows, gain in ((q, reader.q_gain), (k, reader.k_gain)):
        if gain is not None:
            rows *= gain.astype(np.float64)[:, None]
    return _rounded(reader, q, k)


def _values(reader: LayerReader) -> tuple[Float32, Float32]:
    v = _reading(reader.v, reader.attn_gain, reader.attn_stream_gain, reader.shape)
    return _rounded(reader, v, _writing(reader.o, reader.attn_output_gain, reader.shape))


def _neurons(reader: LayerReader, source: LayerReader | Expert) -> tuple[Float32, Float32]:
    read = _reading(source.up, reader.ffn_gain, reader.ffn_stream_gain, reader.shape)
    return _rounded(reader, read, _writing(source.down, reader.ffn_output_gain, reader.shape))


def _router(reader: LayerReader, mixture: Mixture) -> tuple[Float32, Float32]:
    rows = _reading(mixture.router(), reader.ffn_gain, reader.ffn_stream_gain, reader.shape)
    if mixture.experts.softmax:
        rows -= rows.mean(axis=0)
    return _rounded(reader, rows, rows)


def _latent(reader: LayerReader) -> list[Term]:
    """Terms through the latents of queries and of keys and values."""
    shape = reader.shape
    heads, turned = shape.heads, shape.rotary_dim

    def part(rows: Float32, rows_of_head: slice) -> Float32:
        return rows.reshape(heads, shape.head_dim, shape.hidden)[:, rows_of_head].reshape(-1, shape.hidden)

    def scores(rows_of_head: slice, *, shared: bool) -> tuple[Float32, Float32]:
        q, k = (
            _reading(part(rows, rows_of_head), reader.attn_gain, None, shape) for rows in (reader.q, reader.k)
        )
        return _rounded(reader, q, k[:turned] if shared else k)

    def values() -> tuple[Float32, Float32]:
        own = slice(value_dim(reader))
        v = _reading(part(reader.v, own), reader.attn_gain, None, shape)
        return _rounded(reader, v, _writing(part(reader.o, own), reader.attn_output_gain, shape))

    return [
        Term("scores", heads, heads, lambda: _one(scores(slice(turned, None), shared=False))),
        Term("scores_rotary", heads, 1, lambda: _one(scores(slice(turned), shared=True))),
        Term("values", heads, heads, lambda: _one(values())),
    ]


def _reading(rows: Float32, gain: Float32 | None, stream_gain: Float32 | None, shape: ModelShape) -> Float64:
    """A weight behind a norm: its gain folded in, without the direction in which the norm's output is constant."""
    wide = rows.astype(np.float64)
    if gain is not None:
        wide *= gain
    if not shape.subtracts_mean:
        return wide
    if stream_gain is None:
        return wide - wide.mean(axis=1, keepdims=True)
    dead = stream_gain == 0
    if dead.any():
        return np.where(dead, 0.0, wide)
    direction = 1.0 / stream_gain.astype(np.float64)
    direction /= np.linalg.norm(direction)
    return wide - (wide @ direction)[:, None] * direction


def _writing(rows: Float32 | Float64, gain: Float32 | None, shape: ModelShape) -> Float64:
    """A weight that writes the stream, whose mean no later reader sees if norms subtract it."""
    wide = rows.astype(np.float64)
    if gain is not None:
        wide *= gain
    return wide - wide.mean(axis=1, keepdims=True) if shape.subtracts_mean else wide


def _unit(rows: Float64, size: int) -> Float64:
    """Groups of `size` rows brought to norm one; zero groups stay zero."""
    groups = rows.reshape(-1, size * rows.shape[1])
    norms = np.linalg.norm(groups, axis=1, keepdims=True)
    return (groups / np.where(norms > 0, norms, 1.0)).reshape(rows.shape)


def _rounded(reader: LayerReader, left: Float64, right: Float64) -> tuple[Float32, Float32]:
    """float32 factors. Raises `Malformed` where a gain that was folded in makes one overflow."""
    with np.errstate(over="ignore"):
        pair = left.astype(np.float32), right.astype(np.float32)
    if not all(np.isfinite(rows).all() for rows in pair):
        raise Malformed(f"{reader.checkpoint.path}: layer {reader.index} overflows when norms are folded in")
    return pair
