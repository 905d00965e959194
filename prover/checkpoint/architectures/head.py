"""The language-model head: its rows, and the gain of the norm before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from huref.circuits.fingerprint.shape import ModelShape
from huref.common.errors import Unsupported
from huref.prover.checkpoint.architectures.layout import Layout, read_vector, stored_name
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
        return read_vector(self.checkpoint, full, self.shape.hidden) + np.float32(self.entry.gain_offset)

    def shift(self) -> Float32 | None:
        """What that norm adds behind its gain, (d,); None where it adds nothing."""
        full = f"{self.prefix}{self.entry.final_norm}.bias"
        return read_vector(self.checkpoint, full, self.shape.hidden) if full in self.checkpoint else None

    def bias(self) -> Float32 | None:
        """Bias of the logits, (vocab,); None where there is none."""
        full = self.name.removesuffix("weight") + "bias"
        return read_vector(self.checkpoint, full, self.shape.vocab) if full in self.checkpoint else None
