"""What the products of attention ask of committed data at the point of the inner product (protocol §13.4).

Scores: entry ((t, i), (h, x)) of the run, laid out as q is committed, is q times the weights of (t, i, h) on the left,
and on the right, over the tokens u up to t of t's sequence, Σ (weight of column v) · k[(u, i), (h div group, x)], v
the position of u. Mix: entry (i, h, u) has, over the tokens t from u on of u's sequence, Σ (weight of (t, i)) ·
share[(t, i, h), v], and Σ_x (weight of column (h, x)) · value[(u, i), (h div group, x)].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from huref.circuits.argument.functional import Array, Functional
from huref.circuits.relations.frame import Frame, starts_of
from huref.circuits.relations.linear import add_cut
from huref.circuits.relations.products import CausalMix, CausalScores
from huref.circuits.relations.readout import Readout
from huref.circuits.relations.weights import EquationWeights
from huref.common.algebra.field import DEGREE, P, kmul, kone, kouter, kzero, reduce


def add_causal_scores(
    weights: EquationWeights,
    read: Readout,
    left: Functional,
    right: Functional,
    product: CausalScores,
    at: int,
) -> None:
    """Both sides of the scores."""
    layout, size, w = weights.layout, product.size, weights.layout.w
    frame, columns = weights.frame(product.equation), left.columns
    query, key = layout.placed[product.query.name], layout.placed[product.key.name]
    high = read.high(at, query.blocks * query.rows).reshape(query.blocks, frame.outer, frame.inner, DEGREE)
    inner, outer = weights.inner(product.equation, product.factor), weights.outer(frame.outer)
    heads = weights.heads(frame.heads).repeat(size, axis=0)  # by column of q
    own = kmul(kmul(high, inner[None, None]), outer[None, :, None])
    later = _later(high, weights.cols(frame.cols), frame)
    for block in range(query.blocks):
        first, width = block * w, min(w, query.cols - block * w)
        low = kzero((w,))
        low[:width] = kmul(read.low[:width], heads[first : first + width])
        left.block(query, own[block].reshape(-1, DEGREE), block, columns.add(f"scores.q{block}", low))
        column = np.arange(first, first + width)
        stored = column // (size * product.group) * size + column % size
        for part in sorted({int(x) // w for x in stored}):
            mine = stored // w == part
            vector = kzero((w,))
            np.add.at(vector, stored[mine] % w, read.low[:width][mine])
            vector %= np.uint64(P)
            name = columns.add(f"scores.k{block}.{part}", vector)
            right.block(key, later[block].reshape(-1, DEGREE), part, name)


def _later(high: Array, cols: Array, frame: Frame) -> Array:
    """cols[position of u] · Σ_t high[b, t, i] as (b, u, i), over the tokens t from u on of u's sequence."""
    sums = np.empty_like(high)
    for start, length in zip(starts_of(frame.lengths), frame.lengths, strict=True):
        own = high[:, start : start + length]
        sums[:, start : start + length] = np.cumsum(own[:, ::-1], axis=1, dtype=np.uint64)[:, ::-1]
    return kmul(reduce(sums), cols[frame.positions][None, :, None])


def add_causal_mix(
    weights: EquationWeights, read: Readout, left: Functional, right: Functional, product: CausalMix, at: int
) -> None:
    """Both sides of what attention gathers."""
    layout, size, w = weights.layout, product.size, weights.layout.w
    frame, columns = weights.frame(product.equation), left.columns
    share, value = layout.placed[product.share.name], layout.placed[product.value.name]
    heads, blocks = product.share.frame.heads, layout.blocks(frame.outer)
    high = read.high(at, frame.inner * heads * blocks).reshape(frame.inner, heads, blocks, DEGREE)
    inner, outer = weights.inner(product.equation, product.factor), weights.outer(frame.outer)
    own = kmul(high, inner[:, None, None])
    for piece in _pieces(product.share.frame, w):
        column = kzero((w,))
        column[piece.skipped : piece.end] = read.low[piece.place % w :][: piece.end - piece.skipped]
        rows = own[:, :, piece.place // w].reshape(-1, DEGREE)
        position = np.arange(piece.block * w + piece.skipped, piece.length)
        first = piece.start + int(position[0])
        start = share.start + piece.block * share.rows + first * len(rows)
        widths = np.minimum(piece.end, position + 1 - piece.block * w)
        add_cut(left, start, rows, outer[first : first + len(position)], column, widths)
    cols = weights.cols(frame.cols)
    tokens = kouter(kone((blocks,)), read.low).reshape(blocks, w, DEGREE)
    for head in range(heads):
        by_token = kmul(high[:, head].swapaxes(0, 1)[:, None], tokens[:, :, None])  # (blocks, w, inner)
        rows = by_token.reshape(-1, frame.inner, DEGREE)[: frame.outer].reshape(-1, DEGREE)
        stored = head // product.group * size + np.arange(size)
        for part in sorted({int(x) // w for x in stored}):
            mine = stored // w == part
            vector = kzero((w,))
            vector[stored[mine] % w] = cols[head * size : (head + 1) * size][mine]
            right.block(value, rows, part, columns.add(f"mix.{head}.{part}", vector))


@dataclass(frozen=True)
class _Piece:
    """Columns `skipped` … `end` − 1 of a column block of the rows of one sequence (its first token and its length),
    which are tokens from `place` on in one block of w.
    """

    start: int
    length: int
    block: int
    skipped: int
    end: int
    place: int


def _pieces(frame: Frame, w: int) -> Iterator[_Piece]:
    """Column blocks of every sequence, each cut where the tokens that its columns stand for enter a new block of w."""
    for start, length in zip(starts_of(frame.lengths), frame.lengths, strict=True):
        for block in range(-(-length // w)):
            first, width = start + block * w, min(w, length - block * w)
            cut = min(width, w - first % w)
            yield _Piece(start, length, block, 0, cut, first)
            if cut < width:
                yield _Piece(start, length, block, cut, width, first + cut)
