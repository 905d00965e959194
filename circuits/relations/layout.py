"""Where everything of a proof of relations sits (protocol §13.2): rows of both committed matrices, lookups, products.

A function of the program and the row width, never read from a proof. Column blocks of a matrix follow one another, as
in every proof (protocol §4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from huref.circuits.argument.layout import MASK_ROWS, count_lookup_pads
from huref.circuits.argument.placed import Placed, Stack, place_weights
from huref.circuits.argument.runs import Run, RunCells, RunNumber, RunOperand, RunRepeated, RunSpread
from huref.circuits.argument.spaces import LookupSpace, Tiles, close_space
from huref.circuits.relations.frame import Frame
from huref.circuits.relations.products import (
    CausalMix,
    CausalScores,
    ColumnScale,
    FlatProduct,
    Gathered,
    Hadamard,
    HeadSquares,
    Outer,
    Product,
    Projection,
    RowScale,
    Squares,
    StoredScale,
    Transposed,
)
from huref.circuits.relations.program import Look, Number, Operand, Own, Relations, Repeated, Spread
from huref.circuits.relations.terms import by_inner
from huref.common.algebra.multilinear import log2_ceil
from huref.common.argument.hidden import PadSpace

TILE_ROWS = 64
SPACE_ENTRIES = 3 << 26
"""Looked-up entries of one fraction tree, if there is more than one: it is proven in at most 8 GB."""


@dataclass(frozen=True)
class RelationLayout:
    """The complete geometry. `offsets` has the first block of w entries of every product in the inner product."""

    relations: Relations
    w: int
    weights: dict[str, Placed]
    weight_rows: int
    placed: dict[str, Placed]
    spaces: tuple[LookupSpace, ...]
    offsets: tuple[int, ...]
    length: int  # blocks of w in the inner product
    pads: PadSpace
    pad_start: int
    mask_start: int
    rows: int

    @property
    def log_inner(self) -> int:
        """Variables of the inner product."""
        return log2_ceil(self.length * self.w)

    @property
    def entries(self) -> int:
        """Looked-up tuples and table entries of all spaces."""
        return sum(space.entries for space in self.spaces)

    def blocks(self, cols: int) -> int:
        """Blocks of w that so many columns take."""
        return -(-cols // self.w)


def lay_out(relations: Relations, w: int) -> RelationLayout:
    """Lay out a proof for row width w."""
    weights, weight_rows = place_weights(relations.stack, w)
    stack = Stack("A", w)
    placed = {matrix.name: stack.place(*matrix.shape) for matrix in relations.matrices}
    spaces = _spaces(relations, placed, stack, w)
    offsets, length = [], 0
    for product in relations.products:
        offsets.append(length)
        length += sum(product_blocks(product, relations, w))
    pads = count_lookup_pads(spaces, log2_ceil(length * w))
    pad_start = stack.rows
    mask_start = pad_start + -(-5 * pads.total // w)
    return RelationLayout(
        relations, w, weights, weight_rows, placed, spaces, tuple(offsets), length,
        pads, pad_start, mask_start, mask_start + MASK_ROWS,
    )  # fmt: skip


def product_blocks(product: Product, relations: Relations, w: int) -> list[int]:
    """How many blocks of w every inner product of it takes."""

    def over(cols: int) -> int:
        return -(-cols // w)

    match product:
        case Projection(matrix=matrix, tensors=tensors) | Transposed(matrix=matrix, tensors=tensors):
            return [over(matrix.frame.cols) * len(tensors)]
        case ColumnScale(scale=scale):
            return [over(scale.frame.cols) * scale.frame.inner]
        case StoredScale(matrix=matrix):
            return [over(matrix.frame.cols) * matrix.frame.inner]
        case RowScale(scale=scale) | Gathered(scale=scale) | FlatProduct(left=scale):
            return [over(scale.frame.rows)]
        case Hadamard(right=right):
            return [over(right.frame.cols) * right.frame.rows]
        case Squares(high=high):
            return [over(high.frame.cols) * high.frame.rows] * 2
        case Outer():
            return [1]
        case CausalScores(query=matrix) | HeadSquares(matrix=matrix):
            return [over(matrix.frame.cols) * matrix.frame.rows]
        case CausalMix(share=share):
            return [share.frame.inner * share.frame.heads * over(share.frame.outer)]


def _spaces(relations: Relations, placed: dict[str, Placed], stack: Stack, w: int) -> tuple[LookupSpace, ...]:
    """Fraction trees of at most `SPACE_ENTRIES` lookups each, in the program's order."""
    shards: list[list[Look]] = [[]]
    filled = 0
    for look in relations.looks:
        size = look.frame.entries
        if filled and filled + size > SPACE_ENTRIES:
            shards.append([])
            filled = 0
        shards[-1].append(look)
        filled += size
    spaces = []
    for number, looks in enumerate(shards):
        tiles = Tiles()
        runs = [run for look in looks for run in _runs(look, placed, tiles, w)]
        label = "lookup" if len(shards) == 1 else f"lookup{number}"
        spaces.append(close_space(label, w, TILE_ROWS, tiles, stack, (), (), runs))
    return tuple(spaces)


def _runs(look: Look, placed: dict[str, Placed], tiles: Tiles, w: int) -> Iterable[Run]:
    """Whole column blocks, and the last one where it is cut; of every span of rows that have the same columns."""
    frame = Frame(1, 1, 1, look.frame.rows) if look.flat else look.frame
    for start, outer, cols in frame.spans:
        named = look.label if len(frame.spans) == 1 else f"{look.label}.{start}"
        rows, below = outer * frame.inner * frame.heads, start * frame.inner * frame.heads
        for first, count, width in _blocks(cols, w, together=outer == frame.outer):
            operands = tuple(
                _operand(operand, placed, first, below, frame.inner) for operand in look.operands
            )
            tile = tiles.take(-(-count * rows // TILE_ROWS))
            yield Run(
                f"{named}.{first}", look.table, tile, count, outer, frame.inner, frame.heads, width, operands
            )


def _blocks(cols: int, w: int, *, together: bool) -> list[tuple[int, int, int]]:
    """First block, number of blocks and width; whole ones follow one another as rows only if all rows are looked up."""
    whole, tail = divmod(cols, w)
    found = [(0, whole, w)] if together and whole else [(block, 1, w) for block in range(whole)]
    return found + ([(whole, 1, tail)] if tail else [])


def _operand(operand: Operand, placed: dict[str, Placed], first: int, below: int, inner: int) -> RunOperand:
    """An operand from column block `first` and the row `below` on."""
    match operand:
        case Own(matrix, offset):
            place = placed[matrix.name]
            return RunCells(place.start + first * place.rows + below, offset)
        case Repeated(matrix):
            place = placed[matrix.name]
            return RunRepeated(place.start + first * place.rows)
        case Spread(matrix):
            if below:
                raise TypeError(
                    f"{matrix.name}: rows of sequences of several lengths are no place to spread to"
                )
            return RunSpread(placed[matrix.name].start)
        case Number(values):
            return RunNumber(by_inner(values, inner))
