"""A whole model as the committed integers, tensor after tensor in the order of circuits/model/tensors.py.

The canonical form of the fingerprint (prover/canonical/canonical.py) brings the factors of a term to a balance. Here
the integers must also compute what the model computes, so only what leaves the function alone is done: the stream is
rotated, the gains of the norms before attention, FFN and head are folded into what reads them, planes of q and k and
heads of v and o are balanced, and up is scaled against down where the FFN is gated (an activation in between lets no
scale through). Where the scale of a row is free (k per rotary plane, v, gated up), it is chosen such that the row fills
the range of int8. Gains on q and k stay tensors of their own, and so do biases (biases.py). Of attention through
latents the products are committed, without the norms of the latents.

Two tensors of floats are held at a time, of a mixture those of one expert, and blocks of the embedding and the head.
Every bit is pinned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.model.rotary import rotary_planes
from huref.prover.canonical.biases import BLOCK, attended_bias, head_bias, round_read, round_written
from huref.prover.canonical.factors import (
    Feed,
    Layer,
    Scaled,
    all_ones,
    attention_scores,
    attention_values,
    balance,
    balance_planes,
    folded,
    grouped,
    inverse,
    own,
    reading,
    shifted,
    writing,
)
from huref.prover.canonical.steps import Rounded, round_blocks, round_full, round_gain, round_tensor
from huref.prover.checkpoint.families import Model
from huref.prover.checkpoint.formats.base import Float32
from huref.prover.kernels.pinned import Float64

Ids = NDArray[np.int64]


def whole_model(model: Model) -> Iterator[Rounded]:
    """The committed tensors of `model` in order; the checkpoint is read as they are asked for.

    Raises:
        Malformed: a tensor is missing, or holds NaN or infinity; names it. Unsupported: as `Model.shape`.
    """
    shape = model.shape
    yield _rows("embed", shape, shape.vocab, model.embedding_rows)
    if shape.positions:
        positions = model.positions()
        yield _rows("positions", shape, shape.positions, lambda ids: positions[ids])
        del positions
    for n in range(shape.layers):
        yield from whole_layer(f"l{n}.", model.layer_reader(n), model.layer_shape(n))
    if shape.head:
        head = model.head()
        rounded = _rows("head", shape, shape.vocab, head.rows, head.gain(), stepped=True)
        yield rounded
        if "head" in shape.biases:
            yield round_read("head", head_bias(head, shape), rounded.steps)


def whole_layer(prefix: str, tensors: Layer, shape: ModelShape) -> Iterator[Rounded]:
    """The committed tensors of one layer; those of `LayerTensors` are used up."""
    if tensors.attends:
        yield from _scores(prefix, tensors, shape)
        v, o = attention_values(tensors, shape)
        yield from _against(prefix, ("v", v), ("o", o), lambda factor: grouped(factor, shape))
        del v, o
        if "o" in shape.biases:
            yield round_written(f"{prefix}o", attended_bias(tensors, shape), shape)
        if shape.qk_norm:
            yield from _gains(prefix, tensors, shape)
    router = tensors.router
    if router is None:
        for feed in tensors.feeds():
            yield from _gate(prefix, tensors, feed, shape)
            yield from _neurons(prefix, tensors, feed, shape)
        return
    parts = (_gate(prefix, tensors, feed, shape) for feed in tensors.feeds())
    yield from _joined(parts)
    parts = (_neurons(prefix, tensors, feed, shape) for feed in tensors.feeds())
    yield from _joined(parts)
    yield round_tensor(
        f"{prefix}router", reading(router, tensors.ffn_gain, tensors.ffn_stream_gain, shape).mixed()
    )


def _gate(prefix: str, tensors: Layer, feed: Feed, shape: ModelShape) -> Iterator[Rounded]:
    if not shape.gated:
        return
    gate = feed.gate
    assert gate is not None
    yield from _rounded(f"{prefix}gate", _fed(gate, "gate", tensors, shape))


def _fed(rows: Float32, name: str, tensors: Layer, shape: ModelShape) -> Scaled:
    """Rows of the FFN that read the stream, with what is added to them."""
    bias = None
    if name in shape.biases:
        bias = shifted(rows, getattr(tensors, f"{name}_bias"), tensors.ffn_shift)
    return reading(rows, tensors.ffn_gain, tensors.ffn_stream_gain, shape, bias)


def _rounded(name: str, side: Scaled) -> Iterator[Rounded]:
    """Rows that keep their scale, and their bias if they have one."""
    rounded = round_tensor(name, side.mixed())
    yield rounded
    if side.bias is not None:
        yield round_read(name, side.bias * side.factor, rounded.steps)


def _neurons(prefix: str, tensors: Layer, feed: Feed, shape: ModelShape) -> Iterator[Rounded]:
    up = _fed(feed.up, "up", tensors, shape)
    down = writing(feed.down, tensors.ffn_output_gain, shape)
    if not (shape.gated and feed.scales):
        yield from _rounded(f"{prefix}up", up)
        yield round_tensor(f"{prefix}down", down.mixed())
    else:
        factor = balance(up.norms(), down.norms())
        up.scale(factor)
        down.scale(inverse(factor))
        yield from _against(prefix, ("up", up), ("down", down), lambda factor: factor)
    if "down" in shape.biases:
        yield round_written(f"{prefix}down", own(tensors.down_bias, shape.hidden), shape)


def _joined(experts: Iterable[Iterator[Rounded]]) -> Iterator[Rounded]:
    """The tensors of one expert after another, each rounded on its own: floats of one are held at a time."""
    found: dict[str, list[Rounded]] = {}
    for expert in experts:
        for part in expert:
            found.setdefault(part.name, []).append(part)
    for name in list(found):
        parts = found.pop(name)
        yield Rounded(
            name,
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.steps for part in parts]),
        )


def _rows(
    name: str,
    shape: ModelShape,
    count: int,
    read: Callable[[Ids], Float32],
    gain: Float32 | None = None,
    *,
    stepped: bool = False,
) -> Rounded:
    def mixed(ids: Ids) -> Float32:
        return folded(read(ids), gain, all_ones(shape)).mixed()

    blocks = (np.arange(i, min(i + BLOCK, count)) for i in range(0, count, BLOCK))
    sizes, parts = (count, shape.hidden), (mixed(ids) for ids in blocks)
    return round_blocks(name, sizes, parts, mixed, stepped=stepped)


def _against(
    prefix: str,
    free: tuple[str, Scaled],
    other: tuple[str, Scaled],
    spread: Callable[[Float64], Float64],
) -> Iterator[Rounded]:
    """A side whose rows fill the range, and the other one, which takes their scale."""
    rounded, factor = round_full(prefix + free[0], free[1].mixed())
    steps = rounded.steps
    yield rounded
    del rounded
    if free[1].bias is not None:
        yield round_read(prefix + free[0], free[1].bias * free[1].factor * inverse(factor), steps)
    other[1].scale(spread(factor))
    yield round_tensor(prefix + other[0], other[1].mixed())


def _scores(prefix: str, tensors: Layer, shape: ModelShape) -> Iterator[Rounded]:
    q, k = attention_scores(tensors, shape, gains=False)
    if shape.qk_norm:
        yield from _rounded(f"{prefix}q", q)
        yield from _rounded(f"{prefix}k", k)
        return
    keys, factor = round_full(f"{prefix}k", k.mixed(), lambda size: _per_plane(size, shape))
    q.scale(grouped(factor, shape))
    yield from _rounded(f"{prefix}q", q)
    yield keys
    if k.bias is not None:
        yield round_read(f"{prefix}k", k.bias * k.factor * inverse(factor), keys.steps)


def _per_plane(size: Float64, shape: ModelShape) -> Float64:
    """The larger size of the two rows of every rotary plane, for both; rows that are not turned keep theirs."""
    planes, _ = rotary_planes(shape)
    heads = size.reshape(shape.kv_heads, shape.head_dim).copy()
    heads[:, planes] = heads[:, planes].max(axis=2, keepdims=True)
    return heads.reshape(-1)


def _gains(prefix: str, tensors: Layer, shape: ModelShape) -> Iterator[Rounded]:
    """The gains on q and k, per rotary plane of equal norm."""
    q, k = (
        _vector(gain, rows)
        for gain, rows in ((tensors.q_gain, shape.q_rows), (tensors.k_gain, shape.kv_rows))
    )
    planes, rest = rotary_planes(shape)
    balance_planes(q, k, shape, planes)
    balance_planes(q, k, shape, rest[:, None])
    for name, side in (("q_gain", q), ("k_gain", k)):
        yield round_gain(prefix + name, side.rows[:, 0] * side.factor.astype(np.float32))


def _vector(gain: Float32 | None, rows: int) -> Scaled:
    return folded(np.ones((rows, 1), np.float32) if gain is None else gain[:, None].copy(), None, None)
