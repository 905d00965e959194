"""The integers of a proof of relations, as they are committed: rows of w, column block after column block."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.relations.frame import Matrix
from huref.circuits.relations.layout import RelationLayout
from huref.common.errors import ProverError
from huref.prover.argument.witness import stack_activation

Ints = NDArray[Any]


class Values:
    """Every matrix of a layout. Those whose entries fit 16 bits lie in `halves`, the others in `words` (32 bits)."""

    def __init__(self, layout: RelationLayout, found: Mapping[str, Ints]) -> None:
        self.layout, self.w = layout, layout.w
        small = np.iinfo(np.int16)
        sizes, self.starts = {np.int16: 0, np.int32: 0}, dict[str, int]()
        self.wide: dict[str, bool] = {}
        for matrix in layout.relations.matrices:
            values = found[matrix.name]
            if values.size != matrix.frame.rows * matrix.frame.cols:
                raise ProverError(f"{matrix.name}: {values.shape} values for {matrix.frame}")
            self.wide[matrix.name] = values.min() <= small.min or values.max() > small.max
            kind = np.int32 if self.wide[matrix.name] else np.int16
            self.starts[matrix.name] = sizes[kind]
            sizes[kind] += layout.placed[matrix.name].count * self.w
        self.halves, self.words = np.zeros(sizes[np.int16], np.int16), np.zeros(sizes[np.int32], np.int32)
        for matrix in layout.relations.matrices:
            values = found[matrix.name].reshape(matrix.shape)
            self.stacked(matrix)[:] = stack_activation(values, self.w)

    def stacked(self, matrix: Matrix) -> Ints:
        """Its committed rows, (blocks · rows, w)."""
        count = self.layout.placed[matrix.name].count * self.w
        store = self.words if self.wide[matrix.name] else self.halves
        return store[self.starts[matrix.name] :][:count].reshape(-1, self.w)

    def segments(self) -> list[Ints]:
        """All committed rows in their order, (rows, w) each: matrices that follow one another in one store together."""
        found = []
        for wide, group in groupby(self.layout.relations.matrices, key=lambda matrix: self.wide[matrix.name]):
            names = [matrix.name for matrix in group]
            start, end = self.starts[names[0]], self.starts[names[-1]]
            end += self.layout.placed[names[-1]].count * self.w
            found.append((self.words if wide else self.halves)[start:end].reshape(-1, self.w))
        return found

    def blocks(self, matrix: Matrix) -> Ints:
        """The same, (blocks, rows, w)."""
        place = self.layout.placed[matrix.name]
        return self.stacked(matrix).reshape(place.blocks, place.rows, self.w)

    def flat(self, matrix: Matrix) -> Ints:
        """The entries of a flat matrix, (rows of its frame,)."""
        return self.stacked(matrix).reshape(-1)[: matrix.frame.rows]

    def plain(self, matrix: Matrix) -> Ints:
        """The matrix (rows, cols)."""
        rows, cols = matrix.shape
        return self.blocks(matrix).swapaxes(0, 1).reshape(rows, -1)[:, :cols]
