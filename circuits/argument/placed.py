"""Where tensors lie inside the two committed matrices, stacks of rows of w entries (protocol §4).

- W (weights): tensor row i, column block j is row start + i·blocks + j; tensors ordered by bit width, then
  as they are committed;
- A (per proof): activation row i, block j is row start + j·rows + i, so that a column block of an activation
  is a run of `rows` rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from huref.circuits.program.program import Weight


@dataclass(frozen=True)
class Placed:
    """A (rows × cols) tensor inside a committed matrix, in column blocks of w entries."""

    matrix: Literal["W", "A"]
    start: int
    rows: int
    cols: int
    blocks: int

    @property
    def count(self) -> int:
        """Committed rows it takes."""
        return self.rows * self.blocks


class Stack:
    """Allocates consecutive rows of a committed matrix."""

    def __init__(self, matrix: Literal["W", "A"], w: int) -> None:
        self.matrix, self.w, self.rows = matrix, w, 0

    def place(self, rows: int, cols: int) -> Placed:
        placed = Placed(self.matrix, self.rows, rows, cols, -(-cols // self.w))
        self.rows += placed.count
        return placed


def place_weights(committed: Sequence[Weight], w: int) -> tuple[dict[str, Placed], int]:
    """Tensor directory of the weights' commitment and its data row count, for row width w."""
    stack = Stack("W", w)
    ordered = sorted(committed, key=lambda weight: weight.bits)
    placed = {weight.name: stack.place(weight.rows, weight.cols) for weight in ordered}
    return placed, stack.rows
