"""Relations of prompts whose ids are hidden (docs/inference.md §10, protocol §13.9): a row of the vocabulary with a one
for every hidden token, which picks its row of the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from huref.circuits.inference.builder import Builder
from huref.circuits.inference.prompt_opening import HIDDEN
from huref.circuits.relations.frame import Frame, Matrix, starts_of
from huref.circuits.relations.products import Gathered, Hadamard, Projection, Transposed
from huref.circuits.relations.program import Prompts
from huref.circuits.relations.terms import Beside, Cells, Public, RowSum
from huref.common.algebra.field import DEGREE, P
from huref.common.errors import UsageError


@dataclass(frozen=True)
class TokenIds:
    """The ids that are run, one sequence behind the other, and for those that are hidden what takes their place:
    the hidden token's row of `chosen`, by token.
    """

    ids: tuple[int, ...]
    chosen: Matrix | None = None
    rows: tuple[int, ...] = ()


def relate_prompts(builder: Builder, ids: Sequence[int], vocabulary: int) -> TokenIds:
    """A hidden token is chosen from the vocabulary. `HIDDEN` stands for it, at the front of its sequence.

    Raises:
        UsageError: an id is hidden behind one that is not.
    """
    found, counts = tuple(int(i) for i in ids), []
    for start, length in zip(starts_of(builder.lengths), builder.lengths, strict=True):
        own = found[start : start + length]
        counts.append(own.count(HIDDEN))
        if any(i != HIDDEN for i in own[: counts[-1]]):
            raise UsageError("hidden token ids are the first ones of their sequence")
    total = sum(counts)
    if not total:
        return TokenIds(found)
    chosen = builder.matrix("prompt.chosen", Frame(total, 1, 1, vocabulary), 1)
    builder.equation("prompt.bits", chosen.frame, 2, Cells(chosen, -1))
    builder.product(Hadamard("prompt.bits", chosen, chosen))
    builder.equation("prompt.one", Frame(total, 1), vocabulary, RowSum(chosen), Public(-1))
    lengths = tuple(count for count in counts if count)
    mask = builder.matrix("prompt.mask", Frame(len(lengths), 1, DEGREE), P >> 1, flat=True)
    builder.prompts = Prompts(chosen, mask, lengths)
    places, rows = iter(range(total)), []
    for i in found:
        rows.append(next(places) if i == HIDDEN else HIDDEN)
    return TokenIds(found, chosen, tuple(rows))


def embedding_rows(builder: Builder, tokens: TokenIds, cols: int) -> Matrix:
    """The rows of the embedding that tokens have, as a matrix of their own."""
    frame = Frame(builder.tokens, 1, 1, cols)
    one = builder.matrix("embed.one", Frame(builder.tokens, 1), 1, flat=True)
    builder.bits("embed.one", one, 1)
    builder.equation("embed.one", one.frame, 2, Beside(one), Public(-1))
    rows = builder.matrix("embed.rows", frame, 1 << 7)
    builder.bits("embed.rows", rows, 8, 1 << 7)
    equation = builder.equation("embed.rows", frame, 1 << 8, Cells(rows, -1))
    builder.product(Gathered(equation, "embed", tokens.ids, one))
    if tokens.chosen is not None:
        builder.product(Transposed(equation, tokens.chosen, ("embed",), tokens=tokens.rows))
    return rows


def chosen_row(builder: Builder, equation: str, tensor: str, tokens: TokenIds) -> None:
    """Adds to an equation of tokens the entry of a tensor of one row that each hidden token chooses."""
    if tokens.chosen is not None:
        builder.product(Projection(equation, tokens.chosen, (tensor,), -1, tokens=tokens.rows))
