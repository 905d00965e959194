"""The language-model head: its rows, and the gain of the norm before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from huref.circuits.fingerprint.shape import ModelShape
from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.architectures.layout import Layout, stored_name
from huref.prover.checkpoint.formats.base import Float32


class HeadReader:
    """Reads the head of a model that has one. Raises `Unsupported` for others, and what `Checkpoint.read` raises."""

    def __init__(self, layout: Layout, shape: ModelShape) -> None:
        if layout.head is None:
            raise Unsupported(f"{layout.checkpoint.path}: the model has no language-model head")
        self.checkpoint, self.entry, self.shape = layout.checkpoint, layout.entry, shape
        self.name, self.prefix = layout.head, layout.prefix

    def rows(self, ids: ArrayLike) -> Float32:
        """Rows of the given ids as they are stored, (len(ids), d)."""
        return self.checkpoint.read_rows(self.name, ids)

    def gain(self) -> Float32 | None:
        """Gain of the norm before the head, (d,); None where that norm has none."""
        if self.entry.final_norm is None:
            return None
        full = stored_name(self.checkpoint, self.prefix + self.entry.final_norm)
        if self.checkpoint.shape(full) != (self.shape.hidden,):
            got = self.checkpoint.shape(full)
            raise Malformed(f"{self.checkpoint.path}: tensor {full} has shape {got}")
        return self.checkpoint.read(full) + np.float32(self.entry.gain_offset)
