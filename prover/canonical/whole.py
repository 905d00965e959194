"""A whole model as the committed integers, tensor after tensor in the order of circuits/model/tensors.py.

The canonical form of the fingerprint (prover/canonical/canonical.py) brings the factors of a term to a balance. Here
the integers must also compute what the model computes, so only what leaves the function alone is done: the stream is
rotated, the gains of the norms before attention, FFN and head are folded into what reads them, planes of q and k and
heads of v and o are balanced, and up is scaled against down where the FFN is gated (an activation in between lets no
scale through). Where the scale of a row is free (k per rotary plane, v, gated up), it is chosen such that the row fills
the range of int8. Gains on q and k stay tensors of their own, and so do biases (biases.py), and all gains where norms
stand behind attention and FFN (columns.py). Of attention through latents the products are committed, without the norms
of the latents.

Two tensors of floats are held at a time, of a mixture those of one expert, and blocks of the embedding and the head.
Every bit is pinned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.model.rotary import rotary_planes
from huref.common.errors import Unsupported
from huref.prover.canonical.biases import BLOCK, attended_bias, head_bias, round_read, round_written
from huref.prover.canonical.columns import (
    column_gain,
    divide,
    one_size,
    output_gain,
    side_columns,
    sum_columns,
    without,
)
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
        head, gain = model.head(), model.head().gain()
        if shape.output_norm:
            folded_rows = _blocks(shape.vocab, lambda ids: folded(head.rows(ids), gain, None).rows)
            columns = column_gain("head", sum_columns(folded_rows))
            yield columns
            gain = without(columns) if gain is None else gain * without(columns)
        rounded = _rows("head", shape, shape.vocab, head.rows, gain, alike=True)
        yield rounded
        if "head" in shape.biases:
            yield round_read("head", head_bias(head, shape), rounded.steps)


def whole_layer(prefix: str, tensors: Layer, shape: ModelShape) -> Iterator[Rounded]:
    """The committed tensors of one layer; those of `LayerTensors` are used up."""
    if tensors.attends:
        q, k = attention_scores(tensors, shape, gains=False)
        columns = column_gain(f"{prefix}attn", side_columns((q, k))) if shape.output_norm else None
        if columns is not None:
            yield columns
            divide(q, columns)
            divide(k, columns)
        yield from _scores(prefix, q, k, shape)
        del q, k
        v, o = attention_values(tensors, shape, gains=False)
        if columns is not None:
            o.scale(one_size(o, shape.kv_rows))
            divide(v, columns)
        yield from _against(prefix, ("v", v), ("o", o), lambda factor: grouped(factor, shape))
        del v, o
        if "o" in shape.biases:
            yield round_written(f"{prefix}o", attended_bias(tensors, shape), shape)
        if shape.output_norm:
            yield output_gain(f"{prefix}o", tensors.attn_output_gain, shape)
        if shape.qk_norm:
            yield from _gains(prefix, tensors, shape)
    router = tensors.router
    if router is None:
        for feed in tensors.feeds():
            yield from _feed_forward(prefix, tensors, feed, shape)
        return
    if shape.output_norm:
        raise Unsupported(f"{prefix.rstrip('.')}: a norm behind a mixture of experts is not supported")
    parts = (_gate(prefix, tensors, feed, shape) for feed in tensors.feeds())
    yield from _joined(parts)
    parts = (
        _neurons(prefix, tensors, feed, _fed(feed, "up", tensors, shape), shape) for feed in tensors.feeds()
    )
    yield from _joined(parts)
    yield round_tensor(
        f"{prefix}router", reading(router, tensors.ffn_gain, tensors.ffn_stream_gain, shape).mixed()
    )


def _feed_forward(prefix: str, tensors: Layer, feed: Feed, shape: ModelShape) -> Iterator[Rounded]:
    """The FFN of a layer that is no mixture."""
    columns = None
    for name in ("gate", "up") if shape.gated else ("up",):
        side = _fed(feed, name, tensors, shape)
        if shape.output_norm:
            if columns is None:
                columns = column_gain(f"{prefix}ffn", side_columns((side,)))
                yield columns
            divide(side, columns)
        if name == "gate":
            yield from _rounded(prefix + name, side)
        else:
            yield from _neurons(prefix, tensors, feed, side, shape)
    if shape.output_norm:
        yield output_gain(f"{prefix}down", tensors.ffn_output_gain, shape)


def _gate(prefix: str, tensors: Layer, feed: Feed, shape: ModelShape) -> Iterator[Rounded]:
    if shape.gated:
        yield from _rounded(f"{prefix}gate", _fed(feed, "gate", tensors, shape))


def _fed(feed: Feed, name: str, tensors: Layer, shape: ModelShape) -> Scaled:
    """Rows of the FFN that read the stream, with what is added to them."""
    rows, bias = getattr(feed, name), None
    if name in shape.biases:
        bias = shifted(rows, getattr(tensors, f"{name}_bias"), tensors.ffn_shift)
    return reading(rows, tensors.ffn_gain, tensors.ffn_stream_gain, shape, bias)


def _rounded(name: str, side: Scaled) -> Iterator[Rounded]:
    """Rows that keep their scale, and their bias if they have one."""
    rounded = round_tensor(name, side.mixed())
    yield rounded
    if side.bias is not None:
        yield round_read(name, side.bias * side.factor, rounded.steps)


def _neurons(prefix: str, tensors: Layer, feed: Feed, up: Scaled, shape: ModelShape) -> Iterator[Rounded]:
    down = writing(feed.down, None, shape)
    if not (shape.gated and feed.scales):
        if shape.output_norm:
            down.scale(np.sqrt(one_size(down, len(down.rows))))
        yield from _rounded(f"{prefix}up", up)
        yield round_tensor(f"{prefix}down", down.mixed())
    else:
        factor = balance(up.norms(), down.norms())
        up.scale(factor)
        down.scale(inverse(factor))
        if shape.output_norm:
            down.scale(one_size(down, len(down.rows)))
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
    alike: bool = False,
) -> Rounded:
    def mixed(ids: Ids) -> Float32:
        return folded(read(ids), gain, all_ones(shape)).mixed()

    return round_blocks(name, (count, shape.hidden), _blocks(count, mixed), mixed, alike=alike)


def _blocks(count: int, read: Callable[[Ids], Float32]) -> Iterator[Float32]:
    """All rows, a block at a time."""
    return (read(np.arange(i, min(i + BLOCK, count))) for i in range(0, count, BLOCK))


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


def _scores(prefix: str, q: Scaled, k: Scaled, shape: ModelShape) -> Iterator[Rounded]:
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
