"""The quantized weights as they are committed: one stack of rows of w entries, of which the tensors are views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.placed import Placed, place_joined, place_weights
from huref.circuits.program.program import Program
from huref.prover.kernels.mapped import release

Ints = NDArray[Any]


class StackedWeights(Mapping[str, NDArray[np.int8]]):
    """The data rows of W, `data` (rows, w) int8, by tensor name; a tensor's row tails are padding."""

    def __init__(self, placed: Mapping[str, Placed], data: NDArray[np.int8]) -> None:
        self.data = data
        self._plain = data.view(np.ndarray)  # slices of a memmap are slow to make
        self._placed = placed

    @classmethod
    def empty(cls, program: Program, w: int) -> StackedWeights:
        """Uninitialized space for the weights of `program`; every row of every tensor's `rows` is to be written."""
        placed, rows = place_weights(program.committed, w)
        return cls(placed | place_joined(program.weights, placed), np.empty((rows, w), np.int8))

    def rows(self, name: str) -> NDArray[np.int8]:
        """A tensor's rows with their tails, (rows, blocks · w), contiguous."""
        place = self._placed[name]
        return self._plain[place.start : place.start + place.count].reshape(place.rows, -1)

    def fill(self, name: str, values: NDArray[np.int8]) -> None:
        """Write a tensor, zeros behind its rows; a mapped file then gives their pages back."""
        rows = self.rows(name)
        rows[:, : values.shape[1]] = values
        rows[:, values.shape[1] :] = 0
        release(rows)

    def __getitem__(self, name: str) -> NDArray[np.int8]:
        return self.rows(name)[:, : self._placed[name].cols]

    def __iter__(self) -> Iterator[str]:
        return iter(self._placed)

    def __len__(self) -> int:
        return len(self._placed)


def stack_weights(placed: Mapping[str, Placed], rows: int, weights: Mapping[str, Ints], w: int) -> Ints:
    """The data rows of W: every tensor's rows cut into column blocks, shape (rows, w), padding zero.

    What is stacked already is not copied.
    """
    if isinstance(weights, StackedWeights) and weights.data.shape == (rows, w):
        return weights.data
    dtype = np.result_type(*(weights[name].dtype for name in placed))
    out = np.zeros((rows, w), dtype)
    for name, place in placed.items():
        target = out[place.start : place.start + place.count].reshape(place.rows, place.blocks * w)
        target[:, : place.cols] = weights[name]
    return out
