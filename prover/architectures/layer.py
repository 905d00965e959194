"""The tensors of one layer, with fused and transposed storage undone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuits.shape import ModelShape
from common.errors import Malformed
from prover.architectures.entry import Architecture
from prover.architectures.facts import stored_name
from prover.formats.base import Checkpoint, Float32
from prover.kernels.reading import transpose


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


class LayerReader:
    """Reads layer `index` of a checkpoint whose layers all have been checked against `shape`."""

    def __init__(
        self, checkpoint: Checkpoint, entry: Architecture, shape: ModelShape, prefix: str, index: int
    ) -> None:
        self.checkpoint, self.entry, self.shape = checkpoint, entry, shape
        self.prefix, self.index = prefix, index

    def read(self, gate: bool = True) -> LayerTensors:
        """All tensors; the gate only if asked for."""
        q, k, v = self._qkv()
        gate_rows, up = self._gate_up(gate)
        entry, pre = self.entry, self.entry.norm_position == "pre"
        if entry.norm_position == "post":
            before = entry.ffn_norm if self.index else None
            attn_stream = self._gain(before, self.index - 1) if before else self._embedding_gain()
            ffn_stream = self._gain(entry.attn_norm)
        else:
            attn_stream, ffn_stream = self._gain(entry.attn_norm), self._gain(entry.ffn_norm)
        return LayerTensors(
            q=q,
            k=k,
            v=v,
            o=self._linear(entry.o, written=True),
            up=up,
            gate=gate_rows,
            down=self._linear(entry.down, written=True),
            attn_gain=attn_stream if pre else None,
            ffn_gain=ffn_stream if pre else None,
            attn_stream_gain=None if pre else attn_stream,
            ffn_stream_gain=None if pre else ffn_stream,
            attn_output_gain=self._gain(entry.attn_output_norm),
            ffn_output_gain=self._gain(entry.ffn_output_norm),
            q_gain=self._head_gain(entry.q_norm, self.shape.heads),
            k_gain=self._head_gain(entry.k_norm, self.shape.kv_heads),
        )

    def _linear(self, name: str | None, *, written: bool = False) -> Float32:
        """A linear weight as rows of length d: (out, in), or (in, out) for one that writes the stream."""
        assert name is not None
        stored = self.checkpoint.read(self._full(name))
        return transpose(stored) if written != self.entry.transposed else stored

    def _full(self, name: str, index: int | None = None) -> str:
        block = self.entry.block.format(i=self.index if index is None else index)
        return stored_name(self.checkpoint, f"{self.prefix}{block}{name}")

    def _qkv(self) -> tuple[Float32, Float32, Float32]:
        entry, s = self.entry, self.shape
        if entry.qkv is None:
            q, k, v = (self._linear(name) for name in (entry.q, entry.k, entry.v))
        elif entry.qkv_layout == "concat":
            q, k, v = np.split(self._linear(entry.qkv), [s.q_rows, s.q_rows + s.kv_rows])
        else:
            fused = self._linear(entry.qkv).reshape(s.kv_heads, s.group + 2, s.head_dim, s.hidden)
            q = fused[:, :-2].reshape(s.q_rows, s.hidden)
            k, v = (fused[:, at].reshape(s.kv_rows, s.hidden) for at in (-2, -1))
        if entry.rotary_permuted:
            q, k = self._unpermute(q), self._unpermute(k)
        return q, k, v

    def _unpermute(self, rows: Float32) -> Float32:
        """Interleaved rotary planes (2i, 2i+1) back to halves (i, i+e/2), per head."""
        pairs = rows.reshape(-1, self.shape.head_dim // 2, 2, self.shape.hidden)
        return pairs.swapaxes(1, 2).reshape(rows.shape)

    def _gate_up(self, wanted: bool) -> tuple[Float32 | None, Float32]:
        entry = self.entry
        if entry.gate_up is not None:
            gate, up = np.split(self._linear(entry.gate_up), 2)
            return (gate if wanted else None), up
        return (self._linear(entry.gate) if entry.gate and wanted else None), self._linear(entry.up)

    def _gain(self, name: str | None, index: int | None = None) -> Float32 | None:
        if name is None:
            return None
        return self._read_gain(self._full(name, index))

    def _embedding_gain(self) -> Float32 | None:
        if self.entry.embedding_norm is None:
            return None
        return self._read_gain(stored_name(self.checkpoint, self.prefix + self.entry.embedding_norm))

    def _head_gain(self, name: str | None, heads: int) -> Float32 | None:
        """Gain per row of q or k, from whichever of the three stored forms."""
        if name is None:
            return None
        size = self.shape.head_dim
        if "{h}" in name:
            return np.concatenate([self._read_gain(self._full(name.format(h=h)), size) for h in range(heads)])
        full = self._full(name)
        if self.checkpoint.shape(full) == (heads, size):
            return self._read_gain(full, heads, size).ravel()
        return np.tile(self._read_gain(full, size), heads)

    def _read_gain(self, full: str, *shape: int) -> Float32:
        want, got = shape or (self.shape.hidden,), self.checkpoint.shape(full)
        if got != want:
            raise Malformed(f"{self.checkpoint.path}: tensor {full} has shape {got}, expected {want}")
        return self.checkpoint.read(full) + np.float32(self.entry.gain_offset)
