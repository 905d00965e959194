"""A program of relations: what a proof commits to, what it looks up, and which equations hold (protocol §13)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from huref.circuits.program.program import Weight
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.products import Product
from huref.circuits.relations.terms import Equation, Factor


@dataclass(frozen=True)
class Own:
    """Operand: the matrix itself, plus `offset`."""

    matrix: Matrix
    offset: int = 0


@dataclass(frozen=True)
class Repeated:
    """Operand: a matrix with one outer index, for every token."""

    matrix: Matrix


@dataclass(frozen=True)
class Spread:
    """Operand: a flat matrix with the frame's rows, for every column."""

    matrix: Matrix


@dataclass(frozen=True)
class Number:
    """Operand: a public number, or one for every inner index."""

    values: Factor


Operand = Own | Repeated | Spread | Number


@dataclass(frozen=True)
class Look:
    """Every entry of a frame, as a tuple of operands, is in a table. All matrices that are `Own` have this frame."""

    label: str
    table: Table
    frame: Frame
    flat: bool
    operands: tuple[Operand, ...]


@dataclass(frozen=True)
class Prompts:
    """Hidden prompts (protocol §13.9): rows of `chosen`, `lengths` of them for each prompt, have a one in the column of
    a token's id and zeros elsewhere; `mask` has the limbs of an element of K for each prompt.
    """

    chosen: Matrix
    mask: Matrix
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Relations:
    """All of it. `stack` is the whole commitment to the weights, whose range is proven apart (protocol §6.8)."""

    stack: tuple[Weight, ...]
    matrices: tuple[Matrix, ...]
    looks: tuple[Look, ...]
    equations: tuple[Equation, ...]
    products: tuple[Product, ...]
    prompts: Prompts | None = None

    @cached_property
    def equation(self) -> dict[str, Equation]:
        """Equations by name."""
        return {equation.name: equation for equation in self.equations}

    @cached_property
    def matrix(self) -> dict[str, Matrix]:
        """Matrices by name."""
        return {matrix.name: matrix for matrix in self.matrices}
