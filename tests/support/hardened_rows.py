"""A whole model's committed integers as `hardened-2` reads them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.hardened.program import Sizes
from huref.circuits.fingerprint.hardened.tables import Sketch
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.model.tensors import STEP
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import Model
from tests.support.hardened_reference import Int8, Int64

_GROUPED = ("k", "v")


class CommittedRows:
    """The rows and steps of `tensors`, named as in circuits/model/tensors.py; `embed` holds the chosen rows only."""

    def __init__(self, shape: ModelShape, tensors: Mapping[str, Int8]) -> None:
        self.shape, self.tensors, self.layers = shape, tensors, shape.layers

    def embedding(self) -> Int8:
        return self.tensors["embed"]

    def embedding_steps(self) -> Int64:
        return self.tensors[f"embed{STEP}"].reshape(-1).astype(np.int64)

    def rows(self, layer: int, name: str) -> Int8:
        return self._served(name, self.tensors[f"l{layer}.{name}"])

    def steps(self, layer: int, name: str) -> Int64:
        if name == "gate" and not self.shape.gated:
            return np.zeros(self.shape.ffn, dtype=np.int64)
        stored = self.tensors[f"l{layer}.{name}{STEP}"].reshape(-1, 1)
        return self._served(name, stored)[:, 0].astype(np.int64)

    def _served(self, name: str, stored: Int8) -> Int8:
        """k and v repeated to the rows of q and o."""
        if name not in _GROUPED or self.shape.group == 1:
            return stored
        heads = stored.reshape(self.shape.kv_heads, 1, self.shape.head_dim, -1)
        return np.repeat(heads, self.shape.group, axis=1).reshape(self.shape.q_rows, -1)

    def sizes(self, left: Sketch, right: Sketch) -> Sizes:
        """The program's sizes under these sketches."""
        heads, neurons = self.layers * self.shape.q_rows, self.layers * self.shape.ffn
        return Sizes(
            hidden=self.shape.hidden,
            pools=left.pools,
            inner=(heads, heads, neurons),
            sketch_bound=max(left.bound, right.bound),
            heads=self.shape.heads,
            head_dim=self.shape.head_dim,
            group=self.shape.group,
        )


def read_rows(model: Model, ids: NDArray[np.int64]) -> CommittedRows:
    """Round a whole model in memory (one byte a weight), but for the embedding, of which only rows `ids` are kept.

    Raises what `whole_model` raises.
    """
    tensors: dict[str, Int8] = {}
    for tensor in whole_model(model):
        if tensor.name == "head":
            continue
        tensors[tensor.name] = tensor.values[ids] if tensor.name == "embed" else tensor.values
        tensors[tensor.name + STEP] = tensor.steps[ids] if tensor.name == "embed" else tensor.steps
    return CommittedRows(model.shape, tensors)
