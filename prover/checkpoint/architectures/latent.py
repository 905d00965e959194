"""Attention through latents, folded into plain q, k and v of the hidden size.

A latent passes a norm, so its scale has no effect: it is brought to norm one. The norm's gain goes to the matrix
behind it, which makes the product independent of any rotation of the latent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from huref.common.errors import Malformed
from huref.prover.checkpoint.architectures.layer import LayerReader
from huref.prover.checkpoint.formats.base import Float32

Float64 = NDArray[np.float64]
Read = Callable[[Float32], Float64]
"""Folds the norm in front of the attention into rows that read the stream."""


def latent_pieces(
    reader: LayerReader, name: Literal["scores", "scores_rotary", "values"], read: Read
) -> tuple[Float64, Float64]:
    """The two factors of one term, rows of the hidden size.

    scores: q and k without positions, heads · qk_nope_head_dim rows each. scores_rotary: the rest of q, and
    the key with positions that all heads share. values: v, heads · v_head_dim rows, and o as it is stored.
    Raises `Malformed` for a tensor of another shape.
    """
    layout, config, shape = reader.layout, reader.layout.config, reader.shape
    latent, block = layout.entry.latent, layout.block(reader.index)
    assert latent is not None
    heads, rotary = shape.heads, shape.rotary_dim
    plain = shape.head_dim - rotary
    rank, value = config.required("kv_lora_rank"), config.required("v_head_dim")

    def stored(part: str, *want: int) -> Float32:
        full = f"{block}{part}.weight"
        got = layout.checkpoint.shape(full)
        if got != want:
            raise Malformed(f"{layout.checkpoint.path}: tensor {full} has shape {got}, expected {want}")
        return layout.checkpoint.read(full)

    def through(down: Float64, gain: str, up: Float32) -> Float64:
        scale = np.linalg.norm(down)
        unit = down / (scale if scale > 0 else 1.0)
        folded = up.astype(np.float64) * stored(gain, len(down))
        return folded @ unit

    def queries() -> Float64:
        rows = heads * shape.head_dim
        if latent.q_a is None or latent.q_a_norm is None or latent.q_b is None:
            q = read(stored(layout.entry.q or "", rows, shape.hidden))
        else:
            width = config.required("q_lora_rank")
            down = read(stored(latent.q_a, width, shape.hidden))
            q = through(down, latent.q_a_norm, stored(latent.q_b, rows, width))
        return q.reshape(heads, shape.head_dim, shape.hidden)

    both = read(stored(latent.kv_a, rank + rotary, shape.hidden))
    if name == "scores_rotary":
        return queries()[:, plain:].reshape(-1, shape.hidden), both[rank:]
    up = stored(latent.kv_b, heads * (plain + value), rank)
    keys_values = through(both[:rank], latent.kv_a_norm, up).reshape(heads, plain + value, shape.hidden)
    if name == "scores":
        left = queries()[:, :plain]
        return left.reshape(-1, shape.hidden), keys_values[:, :plain].reshape(-1, shape.hidden)
    full = f"{block}{layout.entry.o}.weight"
    if layout.checkpoint.shape(full) != (shape.hidden, heads * value):
        raise Malformed(f"{layout.checkpoint.path}: tensor {full} has shape {layout.checkpoint.shape(full)}")
    written = layout.checkpoint.read_transposed(full).astype(np.float64)
    return keys_values[:, plain:].reshape(-1, shape.hidden), written
