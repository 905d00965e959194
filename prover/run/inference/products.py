"""Sizes of what attention and the FFN write, where norms behind them leave its scale free (docs/inference.md §1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.prover.checkpoint.families import Model

Floats = NDArray[Any]


def attention_product(v: Floats, o: Floats, shape: ModelShape) -> float:
    """The squared norm of v · o over all heads, from rows of both."""
    values = v.reshape(shape.kv_heads, shape.head_dim, -1).astype(np.float64)
    writers = o.reshape(shape.kv_heads, shape.group, shape.head_dim, -1).astype(np.float64)
    left = values @ values.transpose(0, 2, 1)
    right = (writers @ writers.transpose(0, 1, 3, 2)).sum(axis=1)
    return float((left * right).sum())


def feed_product(up: Floats | None, down: Floats) -> float:
    """The same of neurons; without a gate, of what they write alone."""
    squares = (down.astype(np.float64) ** 2).sum(axis=1)
    return float((squares if up is None else squares * (up.astype(np.float64) ** 2).sum(axis=1)).sum())


class OwnProducts:
    """Those of a checkpoint, layer by layer; `columns` is what the columns of readers are divided by."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def attention(self, layer: int, columns: Floats) -> float:
        """`attention_product` of the checkpoint's own tensors."""
        reader = self.model.layer_reader(layer)
        v = reader.v if reader.attn_gain is None else reader.v * reader.attn_gain
        return attention_product(_divided(v, columns), reader.o, self.model.shape)

    def feed_forward(self, layer: int, columns: Floats) -> float:
        """`feed_product` of the checkpoint's own tensors."""
        reader = self.model.layer_reader(layer)
        if not self.model.shape.gated:
            return feed_product(None, reader.down)
        up = reader.up if reader.ffn_gain is None else reader.up * reader.ffn_gain
        return feed_product(_divided(up, columns), reader.down)


def _divided(rows: Floats, columns: Floats) -> Floats:
    return np.divide(rows, columns, out=np.zeros(rows.shape), where=columns != 0)
