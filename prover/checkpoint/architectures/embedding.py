"""X: token embedding rows, passed through what the model itself applies to each row on its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from huref.circuits.fingerprint.shape import ModelShape
from huref.common.errors import Malformed
from huref.prover.checkpoint.architectures.layout import Layout, read_vector
from huref.prover.checkpoint.formats.base import Float32

_EPSILON = ("layer_norm_epsilon", "layer_norm_eps", "norm_eps", "rms_norm_eps")


class EmbeddingReader:
    """Reads rows of the token embedding. Arithmetic is float64, rounded once to float32."""

    def __init__(self, layout: Layout, shape: ModelShape) -> None:
        self.checkpoint, self.entry, self.shape = layout.checkpoint, layout.entry, shape
        self.prefix, self.config, self.name = layout.prefix, layout.config, layout.embedding

    def read(self, ids: ArrayLike) -> Float32:
        """Rows of the given ids, (len(ids), d)."""
        rows = self.checkpoint.read_rows(self.name, ids)
        if self.entry.embedding_projection is not None:
            rows = self._project(rows, f"{self.prefix}{self.entry.embedding_projection}.weight")
        if self.entry.row_norm is not None:
            rows = self._normalize(rows, f"{self.prefix}{self.entry.row_norm}")
        return rows

    def positions(self) -> Float32:
        """All rows of the learned position embedding, (positions, d)."""
        name = f"{self.prefix}{self.entry.positions}.weight"
        return read_vector(self.checkpoint, name, self.shape.positions, self.shape.hidden)

    def _project(self, rows: Float32, name: str) -> Float32:
        weight = self.checkpoint.read(name)
        if weight.shape != (self.shape.hidden, rows.shape[1]):
            raise Malformed(f"{self.checkpoint.path}: tensor {name} has shape {weight.shape}")
        return (rows.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.float32)

    def _normalize(self, rows: Float32, name: str) -> Float32:
        value = self.config.get(*_EPSILON)
        if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
            raise Malformed(f"{self.checkpoint.path}: config {_EPSILON[0]} must be a number, got {value!r}")
        epsilon = 1e-5 if value is None else float(value)
        wide = rows.astype(np.float64)
        if self.shape.subtracts_mean:
            wide = wide - wide.mean(axis=1, keepdims=True)
        normed = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + epsilon)
        gain, shift = f"{name}.weight", f"{name}.bias"
        if self.entry.row_norm not in self.entry.optional:
            normed = normed * self.checkpoint.read(gain)
        if shift in self.checkpoint or self.checkpoint.lost(shift):
            normed = normed + self.checkpoint.read(shift)
        return normed.astype(np.float32)
