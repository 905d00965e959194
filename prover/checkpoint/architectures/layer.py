"""The tensors of one layer, with fused and transposed storage undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.prover.checkpoint.architectures.latent import latent_output, latent_rows
from huref.prover.checkpoint.architectures.layout import Layout, read_vector, stored_name
from huref.prover.checkpoint.architectures.mixture import Expert, Mixture
from huref.prover.checkpoint.formats.base import Float32


@dataclass(frozen=True)
class LayerTensors:
    """One layer, float32. d hidden size, h heads, g kv heads, e head dim, f FFN width.

    q, o: (h·e, d); k, v: (g·e, d); up, down, gate: (f, d), gate None without a gate branch.
    attn_gain, ffn_gain: (d,) gain of the norm that feeds only q,k,v / gate,up ("pre" models): fold it
    into their columns. Gemma's 1+γ is already applied.
    attn_stream_gain, ffn_stream_gain: (d,) the same for "post" models, where the norm's output is also the
    residual stream and nothing may be moved; None elsewhere.
    attn_output_gain, ffn_output_gain: (d,) gain of a norm on the sub-layer's output, before the sum:
    belongs to o / down's columns. None without such a norm.
    q_gain, k_gain: (h·e,), (g·e,) gains of the norms on q and k: belong to their rows (whose scale, per
    head, is then without effect). None without them.
    q_bias, k_bias, v_bias, gate_bias, up_bias: (rows,) biases of the rows; o_bias, down_bias: (d,). attn_shift,
    ffn_shift: (d,) what the norm that feeds q,k,v / gate,up adds behind its gain. None where there is none.
    router: (E, d) of a mixture, whose up, gate and down are those of one expert after another, the shared one last.
    A layer without attention has no rows in q, k, v and o, one without an FFN none in up, gate and down.
    """

    q: Float32
    k: Float32
    v: Float32
    o: Float32
    up: Float32
    gate: Float32 | None
    down: Float32
    attn_gain: Float32 | None = None
    ffn_gain: Float32 | None = None
    attn_stream_gain: Float32 | None = None
    ffn_stream_gain: Float32 | None = None
    attn_output_gain: Float32 | None = None
    ffn_output_gain: Float32 | None = None
    q_gain: Float32 | None = None
    k_gain: Float32 | None = None
    router: Float32 | None = None
    q_bias: Float32 | None = None
    k_bias: Float32 | None = None
    v_bias: Float32 | None = None
    o_bias: Float32 | None = None
    gate_bias: Float32 | None = None
    up_bias: Float32 | None = None
    down_bias: Float32 | None = None
    attn_shift: Float32 | None = None
    ffn_shift: Float32 | None = None
    scales: ClassVar[bool] = True

    @property
    def attends(self) -> bool:
        """Whether it has attention."""
        return len(self.q) > 0

    def feeds(self) -> Iterator[LayerTensors]:
        """Its FFN."""
        if len(self.up):
            yield self


class LayerReader:
    """Layer `index` of a checkpoint whose layers all have been checked; `shape` is that layer's.

    It has the attributes of `LayerTensors`, but reads each whenever it is asked for and keeps none, so that a large
    layer need not be held as a whole. Raises what `Checkpoint.read` raises.
    """

    def __init__(self, layout: Layout, shape: ModelShape, index: int) -> None:
        self.layout, self.checkpoint, self.entry = layout, layout.checkpoint, layout.entry
        self.shape, self.index = shape, index

    scales = True

    def read(self) -> LayerTensors:
        """All tensors."""
        return LayerTensors(**{field.name: getattr(self, field.name) for field in fields(LayerTensors)})

    @property
    def attends(self) -> bool:
        """Whether the layer has attention."""
        return self.layout.attends(self.index)

    def feeds(self) -> Iterator[LayerReader | Expert]:
        """What has gate, up and down: each expert of a mixture, or the layer itself where it has an FFN."""
        if self.mixture is not None:
            yield from self.mixture.all()
        elif self.layout.feeds(self.index):
            yield self

    @cached_property
    def mixture(self) -> Mixture | None:
        """The layer's experts, if it has any."""
        sparse = self.layout.is_sparse(self.index)
        return Mixture(self.layout, self.shape.hidden, self.index) if sparse else None

    @property
    def router(self) -> Float32 | None:
        return None if self.mixture is None else self.mixture.router()

    @property
    def q(self) -> Float32:
        return self._attention("q")

    @property
    def k(self) -> Float32:
        return self._attention("k")

    @property
    def v(self) -> Float32:
        return self._attention("v")

    @property
    def o(self) -> Float32:
        if not self.attends:
            return self._nothing()
        return self._linear(self.entry.o, written=True) if self.entry.latent is None else latent_output(self)

    @property
    def up(self) -> Float32:
        if self.mixture is not None:
            return np.concatenate([expert.up for expert in self.mixture.all()])
        if not self.layout.feeds(self.index):
            return self._nothing()
        return self._linear(self.entry.up) if self.entry.gate_up is None else self._gate_up(1)

    @property
    def gate(self) -> Float32 | None:
        if not self.entry.gated:
            return None
        if self.mixture is not None:
            return np.concatenate([expert.gate for expert in self.mixture.all()])
        if not self.layout.feeds(self.index):
            return self._nothing()
        if self.entry.gate_up is not None:
            return self._gate_up(0)
        return None if self.entry.gate is None else self._linear(self.entry.gate)

    @property
    def down(self) -> Float32:
        if self.mixture is not None:
            return np.concatenate([expert.down for expert in self.mixture.all()])
        if not self.layout.feeds(self.index):
            return self._nothing()
        return self._linear(self.entry.down, written=True)

    @property
    def attn_gain(self) -> Float32 | None:
        return self._before_attention() if self.entry.norm_position == "pre" else None

    @property
    def ffn_gain(self) -> Float32 | None:
        return self._before_ffn() if self.entry.norm_position == "pre" else None

    @property
    def attn_stream_gain(self) -> Float32 | None:
        return None if self.entry.norm_position == "pre" else self._before_attention()

    @property
    def ffn_stream_gain(self) -> Float32 | None:
        return None if self.entry.norm_position == "pre" else self._before_ffn()

    @property
    def attn_output_gain(self) -> Float32 | None:
        return self._gain(self.entry.attn_output_norm)

    @property
    def ffn_output_gain(self) -> Float32 | None:
        return self._gain(self.entry.ffn_output_norm)

    @property
    def q_gain(self) -> Float32 | None:
        return self._head_gain(self.entry.q_norm, self.shape.heads)

    @property
    def k_gain(self) -> Float32 | None:
        return self._head_gain(self.entry.k_norm, self.shape.kv_heads)

    @property
    def q_bias(self) -> Float32 | None:
        return self._attention_bias("q")

    @property
    def k_bias(self) -> Float32 | None:
        return self._attention_bias("k")

    @property
    def v_bias(self) -> Float32 | None:
        return self._attention_bias("v")

    @property
    def o_bias(self) -> Float32 | None:
        return self._vector(self.entry.o, self.shape.hidden) if self.attends else None

    @property
    def gate_bias(self) -> Float32 | None:
        return self._feed_bias(self.entry.gate, 0)

    @property
    def up_bias(self) -> Float32 | None:
        return self._feed_bias(self.entry.up, 1)

    @property
    def down_bias(self) -> Float32 | None:
        return self._vector(self.entry.down, self.shape.hidden) if self._dense else None

    @property
    def attn_shift(self) -> Float32 | None:
        return self._vector(self.entry.attn_norm, self.shape.hidden)

    @property
    def ffn_shift(self) -> Float32 | None:
        return self._vector(self.entry.ffn_norm, self.shape.hidden)

    @property
    def _dense(self) -> bool:
        return self.mixture is None and self.layout.feeds(self.index)

    def _attention_bias(self, name: Literal["q", "k", "v"]) -> Float32 | None:
        """Bias of the rows of q, k or v, in the order of the rows."""
        entry, s = self.entry, self.shape
        if not self.attends or entry.latent is not None or entry.q_gate:
            return None
        count = s.q_rows if name == "q" else s.kv_rows
        rows = np.arange(count) if entry.qkv is None else self._fused_rows(name)
        if entry.rotary_permuted and name != "v":
            rows = self._unpermute(rows)
        stored = {"q": entry.q, "k": entry.k, "v": entry.v}[name] if entry.qkv is None else entry.qkv
        whole = self._vector(stored, count if entry.qkv is None else s.q_rows + 2 * s.kv_rows)
        return None if whole is None else whole[rows]

    def _feed_bias(self, name: str | None, half: int) -> Float32 | None:
        if not self._dense or self.entry.gate_up is None:
            return self._vector(name, self.shape.ffn) if self._dense else None
        whole = self._vector(self.entry.gate_up, 2 * self.shape.ffn)
        return None if whole is None else whole[half * self.shape.ffn :][: self.shape.ffn]

    def _vector(self, name: str | None, size: int) -> Float32 | None:
        """The bias beside a weight of the block, (size,); None where there is none."""
        if name is None or "{" in name:
            return None
        full = f"{self.layout.block(self.index)}{name}.bias"
        if full not in self.checkpoint and not self.checkpoint.lost(full):
            return None
        return read_vector(self.checkpoint, full, size)

    def _linear(
        self, name: str | None, rows: NDArray[np.int64] | None = None, *, written: bool = False
    ) -> Float32:
        """A linear weight as rows of length d: (out, in), or (in, out) for one that writes the stream."""
        assert name is not None
        full = self._full(name)
        if written != self.entry.transposed:
            whole = self.checkpoint.read_transposed(full)
            return whole if rows is None else whole[rows]
        return self.checkpoint.read(full) if rows is None else self.checkpoint.read_rows(full, rows)

    def _nothing(self) -> Float32:
        return np.empty((0, self.shape.hidden), np.float32)

    def _full(self, name: str, index: int | None = None) -> str:
        block = self.layout.block(self.index if index is None else index)
        return stored_name(self.checkpoint, block + name)

    def _attention(self, name: Literal["q", "k", "v"]) -> Float32:
        entry, s = self.entry, self.shape
        if not self.attends:
            return self._nothing()
        if entry.latent is not None:
            return latent_rows(self, name)
        permuted = entry.rotary_permuted and name != "v"
        if entry.qkv is None:
            stored = {"q": entry.q, "k": entry.k, "v": entry.v}[name]
            if name == "q" and entry.q_gate:
                return self._linear(stored, np.arange(2 * s.q_rows).reshape(s.heads, 2, -1)[:, 0].reshape(-1))
            count = s.q_rows if name == "q" else s.kv_rows
            return self._linear(stored, self._unpermute(np.arange(count)) if permuted else None)
        rows = self._fused_rows(name)
        return self._linear(entry.qkv, self._unpermute(rows) if permuted else rows)

    def _fused_rows(self, name: Literal["q", "k", "v"]) -> NDArray[np.int64]:
        """Where the rows lie in a fused q, k, v weight."""
        s = self.shape
        rows = np.arange(s.q_rows + 2 * s.kv_rows)
        if self.entry.qkv_layout == "concat":
            return np.split(rows, [s.q_rows, s.q_rows + s.kv_rows])["qkv".index(name)]
        groups = rows.reshape(s.kv_heads, s.group + 2, s.head_dim)
        part = {"q": slice(s.group), "k": slice(s.group, s.group + 1), "v": slice(s.group + 1, None)}[name]
        return groups[:, part].reshape(-1)

    def _unpermute(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Interleaved rotary planes (2i, 2i+1) back to halves (i, i+e/2), per head."""
        return rows.reshape(-1, self.shape.head_dim // 2, 2).swapaxes(1, 2).reshape(-1)

    def _gate_up(self, half: int) -> Float32:
        count = self.shape.ffn
        return self._linear(self.entry.gate_up, np.arange(half * count, (half + 1) * count))

    def _before_attention(self) -> Float32 | None:
        """Gain of the norm whose output q, k and v read."""
        if self.entry.norm_position != "post":
            return self._gain(self.entry.attn_norm)
        before = self.entry.ffn_norm if self.index else None
        return self._gain(before, self.index - 1) if before else self._embedding_gain()

    def _before_ffn(self) -> Float32 | None:
        """Gain of the norm whose output gate and up read."""
        post = self.entry.norm_position == "post"
        return self._gain(self.entry.attn_norm if post else self.entry.ffn_norm)

    def _gain(self, name: str | None, index: int | None = None) -> Float32 | None:
        if name is None:
            return None
        full = self._full(name, index)
        if name in self.entry.optional and full not in self.checkpoint:
            return None
        return self._read_gain(full)

    def _embedding_gain(self) -> Float32 | None:
        if self.entry.embedding_norm is None:
            return None
        return self._read_gain(stored_name(self.checkpoint, self.layout.prefix + self.entry.embedding_norm))

    def _head_gain(self, name: str | None, heads: int) -> Float32 | None:
        """Gain per row of q or k, from whichever of the stored forms."""
        if name is None or not self.attends:
            return None
        size = self.shape.head_dim
        if "{h}" in name:
            return np.concatenate([self._read_gain(self._full(name.format(h=h)), size) for h in range(heads)])
        full = self._full(name)
        if self.checkpoint.shape(full) == (heads, size):
            return self._read_gain(full, heads, size).ravel()
        if self.entry.whole_norm:
            return self._read_gain(full, heads * size)
        return np.tile(self._read_gain(full, size), heads)

    def _read_gain(self, full: str, *shape: int) -> Float32:
        values = read_vector(self.checkpoint, full, *(shape or (self.shape.hidden,)))
        return values + np.float32(self.entry.gain_offset)
