"""X: token embedding rows, passed through what the model itself applies to each row on its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from huref.circuits.fingerprint.shape import ModelShape
from huref.common.errors import Malformed
from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.architectures.entry import Architecture
from huref.prover.checkpoint.formats.base import Checkpoint, Float32

_EPSILON = ("layer_norm_epsilon", "layer_norm_eps")


class EmbeddingReader:
    """Reads rows of the token embedding. Arithmetic is float64, rounded once to float32."""

    def __init__(
        self, checkpoint: Checkpoint, entry: Architecture, shape: ModelShape, prefix: str, config: Config
    ) -> None:
        self.checkpoint, self.entry, self.shape = checkpoint, entry, shape
        self.prefix, self.config = prefix, config

    def read(self, ids: ArrayLike) -> Float32:
        """Rows of the given ids, (len(ids), d)."""
        rows = self.checkpoint.read_rows(f"{self.prefix}{self.entry.embedding}.weight", ids)
        if self.entry.embedding_projection is not None:
            rows = self._project(rows, f"{self.prefix}{self.entry.embedding_projection}.weight")
        if self.entry.row_norm is not None:
            rows = self._normalize(rows, f"{self.prefix}{self.entry.row_norm}")
        return rows

    def _project(self, rows: Float32, name: str) -> Float32:
        weight = self.checkpoint.read(name)
        if weight.shape != (self.shape.hidden, rows.shape[1]):
            raise Malformed(f"{self.checkpoint.path}: tensor {name} has shape {weight.shape}")
        return (rows.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.float32)

    def _normalize(self, rows: Float32, name: str) -> Float32:
        value = self.config.get(*_EPSILON)
        epsilon = 1e-5 if value is None else float(value)
        centred = rows - rows.mean(axis=1, keepdims=True, dtype=np.float64)
        scale = np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon)
        gain, shift = self.checkpoint.read(f"{name}.weight"), self.checkpoint.read(f"{name}.bias")
        return (centred / scale * gain + shift).astype(np.float32)
