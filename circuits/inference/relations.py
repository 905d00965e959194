"""From an inference program and its claims to relations (docs/inference.md §4, protocol §13.7).

All layers are instances of one family of matrices, so that the number of relations does not grow with depth.
"""

from __future__ import annotations

from collections.abc import Sequence

from huref.circuits.inference.builder import Builder, limb_cells
from huref.circuits.inference.family import Family
from huref.circuits.inference.limits import (
    BIAS_BOUND,
    LARGEST_MULTIPLE,
    STREAM_LIMB,
    STREAM_OVER,
    stream_size,
)
from huref.circuits.inference.prompt_opening import HIDDEN
from huref.circuits.inference.relate_attention import relate_attention
from huref.circuits.inference.relate_ffn import relate_ffn
from huref.circuits.inference.relate_head import Claims, relate_head
from huref.circuits.inference.relate_norm import relate_norms
from huref.circuits.inference.relate_plain import relate_branch, relate_gained, relate_reading, relate_rows
from huref.circuits.inference.relate_prompts import TokenIds, embedding_rows, relate_prompts
from huref.circuits.inference.relate_rows import row_multiples
from huref.circuits.inference.sites import Embed, InferenceProgram, Low, Norm, Write
from huref.circuits.model.tensors import ADMITTED
from huref.circuits.program.program import Weight
from huref.circuits.program.tables import Table
from huref.circuits.relations.frame import Frame, Matrix
from huref.circuits.relations.products import Gathered, RowScale, Transposed
from huref.circuits.relations.program import Relations
from huref.circuits.relations.terms import Along, Linear
from huref.common.errors import UsageError

_DIGITS = ("1", "0")


def relate(
    program: InferenceProgram, ids: Sequence[int], claims: Claims, stack: tuple[Weight, ...]
) -> Relations:
    """All relations of a run of `program` on `ids`, those of all sequences one behind the other, with these claims.
    Ids at the front of a sequence may be hidden (`HIDDEN`).

    Raises:
        Unsupported: facts whose units leave an equation without a unique solution. UsageError: ids or claims that do
        not fit the program.
    """
    if len(ids) != program.tokens or any(not HIDDEN <= i < program.shape.vocab for i in ids):
        raise UsageError(f"expected {program.tokens} token ids below {program.shape.vocab}")
    claims.check(program.lengths, program.shape.vocab)
    builder, family = Builder(program.lengths, dict(program.facts.shifts)), Family(program)
    shape, d = program.shape, program.shape.hidden
    size = stream_size(shape)
    limb = size.limb
    stream = Frame(program.tokens, 2 * shape.layers + 1, 1, d)
    limbs = Table("limbs", (1 << size.bits >> limb, limb))
    high, low = builder.limbs("stream", stream, limbs)
    tokens = relate_prompts(builder, ids, shape.vocab)
    if isinstance(program.sites[0], Embed):
        _embedded(builder, program.sites[0], tokens, high, low)
    else:
        relate_rows(builder, family, tokens, high, low)
    norms = [site for site in program.sites if isinstance(site, Norm) and not site.behind]
    narrow = Table("limbs", (1 << size.narrow >> limb, limb))
    gained = relate_gained(builder, family, narrow, high, low) if shape.output_norm else None
    normed = relate_norms(builder, "norm", norms, high, low, gained)
    read = relate_reading(builder, family, normed) if shape.output_norm else normed
    branch = relate_branch(builder, family, (limbs, narrow), high, low) if shape.output_norm else None
    y = relate_attention(builder, family, read)
    _written(builder, family, "o", y, narrow, (high, low), 0, branch)
    a = relate_ffn(builder, family, read)
    _written(builder, family, "down", a, narrow, (high, low), 1, branch)
    relate_head(builder, program, read, claims)
    return builder.finish(stack)


def _embedded(builder: Builder, site: Embed, tokens: TokenIds, high: Matrix, low: Matrix) -> None:
    """Rows of the embedding, shifted to the first unit of the stream."""
    rows = embedding_rows(builder, tokens, site.cols) if tokens.chosen is not None else None
    read = {"embed": tokens}
    if site.positions:
        read[site.positions] = TokenIds(builder.positions)
    powers = {
        tensor: row_multiples(builder, tensor, index, site.unit, site.square, site.high)
        for tensor, index in read.items()
    }
    equation = builder.equation(
        "embed",
        Frame(builder.tokens, 1, 1, site.cols),
        len(read) * (ADMITTED << LARGEST_MULTIPLE) + site.limit + STREAM_OVER,
        *limb_cells((high, low), STREAM_LIMB, 0, (0,), -1),
    )
    for tensor, index in read.items():
        if rows is not None and index is tokens:
            builder.product(RowScale(equation, ((rows, 1),), powers[tensor]))
        else:
            builder.product(Gathered(equation, tensor, index.ids, powers[tensor]))


def _written(
    builder: Builder,
    family: Family,
    name: str,
    limbs: tuple[Matrix, Matrix],
    table: Table,
    stream: tuple[Matrix, Matrix],
    half: int,
    branch: tuple[Matrix, Matrix] | None,
) -> None:
    """What attention (`half` 0) or the FFN (1) adds to the stream, from instance 2n + half to the next, or what it
    writes into instance 2n + half of `branch`.
    """
    lows = family.all(f"{name}_low", Low)
    writes = family.all(name, Write)
    layers, d = len(writes), writes[0].cols
    frame = Frame(builder.tokens, layers, 1, d)
    tensors = family.tensors(name)
    outliers = tuple((n, row, (1 << by) - 1) for n, site in enumerate(writes) for row, by in site.weight)
    limb = table.parameters[1]
    reach = (stream[0].largest << limb) + (1 << limb >> 1)
    small = builder.limbs(f"{name}.low", frame, table, _DIGITS)
    shifts = tuple(site.shift for site in lows)
    rest, half_up = builder.rest(f"{name}.low.rest", frame, shifts)
    bound = max(site.bound + (reach + 2 << site.shift) for site in lows)
    equation = builder.equation(
        f"{name}.low",
        frame,
        bound,
        *limb_cells(small, limb, shifts, sign=-1),
        rest,
        half_up,
    )
    builder.product(Transposed(equation, limbs[1], tensors, 1, outliers))
    shifts = tuple(site.shift for site in writes)
    rest, half_up = builder.rest(f"{name}.rest", frame, shifts)
    before = tuple(2 * n + half for n in range(layers))
    after = before if branch else tuple(n + 1 for n in before)
    bound = max(site.bound + reach + (reach + 2 << site.shift) for site in writes)
    added: tuple[Linear, ...] = ()
    if writes[0].bias:
        added = _bias(builder, name, tensors, writes, table, reach)
    bound += reach if added else 0
    residual: tuple[Linear, ...] = ()
    if branch is None:
        residual = limb_cells(stream, limb, tuple(site.raised for site in writes), before)
    equation = builder.equation(
        name,
        frame,
        bound,
        *limb_cells(small, limb, 0),
        *residual,
        rest,
        half_up,
        *limb_cells(branch or stream, limb, shifts, after, -1),
        *added,
    )
    factors = tuple(1 << site.lifted for site in writes)
    builder.product(Transposed(equation, limbs[0], tensors, factors, outliers))


def _bias(
    builder: Builder, name: str, tensors: Sequence[str], sites: Sequence[Write], table: Table, reach: int
) -> tuple[Along, ...]:
    """What is added to every token's accumulator: the bias at the accumulator's unit, in limbs as the stream is."""
    frame = Frame(1, len(sites), 1, sites[0].cols)
    shifts = tuple(max(0, site.bias_shift) for site in sites)
    lifted = tuple(1 << max(0, -site.bias_shift) for site in sites)
    first, second = builder.limbs(f"{name}.bias", frame, table, _DIGITS)
    rest, half_up = builder.rest(f"{name}.bias.rest", frame, shifts)
    builder.equation(
        f"{name}.bias",
        frame,
        max((BIAS_BOUND * lift) + (reach + 2 << s) for lift, s in zip(lifted, shifts, strict=True)),
        *builder.bias(tensors, sites[0].bias, lifted),
        *limb_cells((first, second), STREAM_LIMB, shifts, sign=-1),
        rest,
        half_up,
    )
    return Along(first, 1 << STREAM_LIMB), Along(second)
