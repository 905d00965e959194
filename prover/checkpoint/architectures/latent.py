"""Attention through latents, folded into plain q, k, v and o of the hidden size.

A latent passes a norm, so its scale has no effect: that of its rows, with the gain in front of the attention, is
brought to the size that it has behind the norm. The norm's gain goes to the matrix behind it, which makes the product
independent of any rotation of the latent. Every head has the rows with positions first, and the one key with positions
that all heads share in each; v and o get rows of zeros up to the size of a key. Every bit is pinned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.formats.base import Float32

if TYPE_CHECKING:
    from huref.prover.checkpoint.architectures.layer import LayerReader

Float64 = NDArray[np.float64]


def latent_rows(reader: LayerReader, name: Literal["q", "k", "v"]) -> Float32:
    """q, k or v of all heads, (heads · head_dim, d). Raises `Malformed` for a tensor of another shape."""
    heads = {"q": _queries, "k": _keys, "v": _values}[name](reader)
    return heads.reshape(-1, reader.shape.hidden).astype(np.float32)


def latent_output(reader: LayerReader) -> Float32:
    """o of all heads, (heads · head_dim, d)."""
    heads, hidden = reader.shape.heads, reader.shape.hidden
    value = value_dim(reader)
    full = f"{reader.layout.block(reader.index)}{reader.entry.o}.weight"
    got = reader.checkpoint.shape(full)
    if got != (hidden, heads * value):
        raise Malformed(
            f"{reader.checkpoint.path}: tensor {full} has shape {got}, expected {(hidden, heads * value)}"
        )
    rows = reader.checkpoint.read_transposed(full).reshape(heads, value, hidden)
    return _padded(rows, reader.shape.head_dim).reshape(-1, hidden)


def value_dim(reader: LayerReader) -> int:
    """Rows of a head's v. Raises `Unsupported` where they are more than those of a key."""
    value, size = reader.layout.config.required("v_head_dim"), reader.shape.head_dim
    if value > size:
        raise Unsupported(f"{reader.checkpoint.path}: values of {value} entries per head and keys of {size}")
    return value


def _queries(reader: LayerReader) -> Float64:
    latent, shape = reader.entry.latent, reader.shape
    assert latent is not None
    rows = shape.q_rows
    if latent.q_a is None or latent.q_a_norm is None or latent.q_b is None:
        q = _stored(reader, reader.entry.q or "", rows, shape.hidden).astype(np.float64)
    else:
        width = reader.layout.config.required("q_lora_rank")
        down = _stored(reader, latent.q_a, width, shape.hidden)
        q = _through(reader, down, latent.q_a_norm, _stored(reader, latent.q_b, rows, width))
    heads = q.reshape(shape.heads, shape.head_dim, shape.hidden)
    plain = shape.head_dim - shape.rotary_dim
    return np.concatenate([heads[:, plain:], heads[:, :plain]], axis=1)


def _keys(reader: LayerReader) -> Float64:
    shape = reader.shape
    plain = shape.head_dim - shape.rotary_dim
    both, rank = _compressed(reader)
    shared = np.broadcast_to(both[rank:], (shape.heads, shape.rotary_dim, shape.hidden))
    up = _expanding(reader, rank)[:, :plain].reshape(-1, rank)
    keys = _through(reader, both[:rank], _kv_norm(reader), up).reshape(shape.heads, plain, shape.hidden)
    return np.concatenate([shared, keys], axis=1)


def _values(reader: LayerReader) -> Float64:
    shape, value = reader.shape, value_dim(reader)
    both, rank = _compressed(reader)
    up = _expanding(reader, rank)[:, shape.head_dim - shape.rotary_dim :].reshape(-1, rank)
    values = _through(reader, both[:rank], _kv_norm(reader), up).reshape(shape.heads, value, shape.hidden)
    return _padded(values, shape.head_dim)


def _compressed(reader: LayerReader) -> tuple[Float32, int]:
    """The rows of the latent of keys and values with those of the shared key behind them, and the latent's size."""
    assert reader.entry.latent is not None
    rank = reader.layout.config.required("kv_lora_rank")
    return _stored(
        reader, reader.entry.latent.kv_a, rank + reader.shape.rotary_dim, reader.shape.hidden
    ), rank


def _expanding(reader: LayerReader, rank: int) -> Float32:
    """From that latent to every head's key without positions and value, (heads, rows, rank)."""
    latent, shape = reader.entry.latent, reader.shape
    assert latent is not None
    plain, value = shape.head_dim - shape.rotary_dim, value_dim(reader)
    if latent.kv_b is not None:
        up = _stored(reader, latent.kv_b, shape.heads * (plain + value), rank)
        return up.reshape(shape.heads, plain + value, rank)
    keys = _stored(reader, latent.k_b or "", shape.heads, rank, plain)
    values = _stored(reader, latent.v_b or "", shape.heads, value, rank)
    return np.concatenate([keys.swapaxes(1, 2), values], axis=1)


def _kv_norm(reader: LayerReader) -> str:
    assert reader.entry.latent is not None
    return reader.entry.latent.kv_a_norm


def _through(reader: LayerReader, down: Float32, norm: str, up: Float32) -> Float64:
    """up · norm(down), float64, its latent of the size √rank that the norm gives it."""
    from huref.prover.kernels import pinned  # compiled; not needed to open a model

    wide = down.astype(np.float64)
    gain = reader.attn_gain
    seen = wide if gain is None else wide * gain
    size = float(np.sqrt(pinned.tree_sum(pinned.tree_sum(seen * seen))))
    unit = wide * (np.sqrt(float(len(down))) / size if size > 0 else 1.0)
    return pinned.product(up.astype(np.float64) * _stored(reader, norm, len(down)), unit)


def _padded(heads: NDArray[Any], size: int) -> NDArray[Any]:
    """(heads, rows, d) with rows of zeros up to `size`."""
    return np.pad(heads, ((0, 0), (0, size - heads.shape[1]), (0, 0)))


def _stored(reader: LayerReader, name: str, *want: int) -> Float32:
    full = f"{reader.layout.block(reader.index)}{name}.weight"
    got = reader.checkpoint.shape(full)
    if got != want:
        raise Malformed(f"{reader.checkpoint.path}: tensor {full} has shape {got}, expected {want}")
    return reader.checkpoint.read(full)
