"""What the products of attention ask of committed data at the point of the inner product (protocol §13.4).

Scores: entry ((t, i), (h, x)) of the run, laid out as q is committed, is q times the weights of (t, i, h) on the left,
and Σ_{v ≤ t} (weight of column v) · k[(v, i), (h div group, x)] on the right. Mix: entry (i, h, v) has
Σ_{t ≥ v} (weight of (t, i)) · share[(t, i, h), v] and Σ_x (weight of column (h, x)) · value[(v, i), (h div group, x)].
"""

from __future__ import annotations

import numpy as np

from huref.circuits.argument.functional import Array, Functional
from huref.circuits.relations.linear import causal_rows
from huref.circuits.relations.products import CausalMix, CausalScores
from huref.circuits.relations.readout import Readout
from huref.circuits.relations.weights import EquationWeights
from huref.common.algebra.field import DEGREE, P, kmul, kone, kouter, kzero


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
    later = _later(high, weights.cols(frame.cols))
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


def _later(high: Array, cols: Array) -> Array:
    """cols[v] · Σ_{t ≥ v} high[b, t, i] as (b, v, i)."""
    sums = np.cumsum(high[:, ::-1], axis=1, dtype=np.uint64)[:, ::-1] % np.uint64(P)
    return kmul(sums, cols[None, :, None])


def add_causal_mix(
    weights: EquationWeights, read: Readout, left: Functional, right: Functional, product: CausalMix, at: int
) -> None:
    """Both sides of what attention gathers."""
    layout, size, w = weights.layout, product.size, weights.layout.w
    frame, columns = weights.frame(product.equation), left.columns
    share, value = layout.placed[product.share.name], layout.placed[product.value.name]
    heads = product.share.frame.heads
    high = read.high(at, frame.inner * heads * share.blocks).reshape(frame.inner, heads, share.blocks, DEGREE)
    inner, outer = weights.inner(product.equation, product.factor), weights.outer(frame.outer)
    for block in range(share.blocks):
        rows = kmul(high[:, :, block], inner[:, None]).reshape(-1, DEGREE)
        one = kzero((share.blocks,))
        one[block] = kone()
        causal_rows(left, w, share.start, share.rows, outer, rows, one, read.inner)
    cols = weights.cols(frame.cols)
    tokens = kouter(kone((share.blocks,)), read.low).reshape(share.blocks, w, DEGREE)
    for head in range(heads):
        by_token = kmul(high[:, head].swapaxes(0, 1)[:, None], tokens[:, :, None])  # (blocks, w, inner)
        rows = by_token.reshape(-1, frame.inner, DEGREE)[: frame.outer].reshape(-1, DEGREE)
        stored = head // product.group * size + np.arange(size)
        for part in sorted({int(x) // w for x in stored}):
            mine = stored // w == part
            vector = kzero((w,))
            vector[stored[mine] % w] = cols[head * size : (head + 1) * size][mine]
            right.block(value, rows, part, columns.add(f"mix.{head}.{part}", vector))
