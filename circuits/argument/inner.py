"""All products of the program as one inner product ⟨l, r⟩ (protocol §6.2).

Every matrix product and convolution owns a run of the two vectors. For a site with row coefficients u and column
coefficients c, Σ_ij u_i·c_j·acc_ij = Σ_x (Σ_i u_i·L[i, x])·(Σ_j c_j·R[j, x]), so a matmul contributes
l[x] = Σ_i u_i·L[i, x] and r[x] = Σ_j c_j·R[j, x]. A convolution's x is the kernel index (c, a, b): l holds the
public weights folded with the output-channel coefficients, r the input folded with the spatial ones. One
sumcheck proves the sum; it ends in two values that are linear in committed tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from huref.circuits.argument.functional import Array, Columns, Functional
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.lookup import SiteRequest, scaled
from huref.circuits.argument.placed import Placed
from huref.circuits.program.program import Conv, MatMul, SketchSum, View
from huref.common.algebra.field import DEGREE, P, fadd, kdot, kmatvec, kmul, kouter, kzero
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import eq_index, eq_table, log2_ceil


def placed_of(layout: Layout, name: str) -> Placed:
    """Where a weight or an activation is committed."""
    return layout.weights[name] if name in layout.weights else layout.sites[name].out


def fold_rows(site: SketchSum, rows: Array, count: int) -> Array:
    """Sᵀ·rows: coefficients of the source rows of a sketch, shape (count, 5)."""
    out = np.zeros((count, DEGREE), np.int64)
    np.add.at(out, site.token, rows[site.row].astype(np.int64) * site.sign[:, None])
    return np.mod(out, np.int64(P)).astype(np.uint64)


def add_sketches(layout: Layout, requests: Mapping[str, SiteRequest], into: Functional, name: str) -> None:
    """Add the requested sums of all sketch accumulators, which are linear in their source, to `into`."""
    for site in layout.program.sites:
        if isinstance(site.acc, SketchSum):
            request, source = requests[site.name], placed_of(layout, site.acc.source)
            rows = fold_rows(site.acc, request.rows, source.rows)
            into.tensor(source, rows, request.blocks(source.blocks), name)


class ConvFactors:
    """Coefficients of a convolution's accumulator, separated into output channel, y and x."""

    def __init__(self, conv: Conv, request: SiteRequest) -> None:
        self.conv = conv
        self.y = request.rows
        point = request.block_point + request.column_point
        cut = len(point) - log2_ceil(conv.out_size)
        self.x = eq_table(point[cut:])
        self.channel = eq_table(point[:cut])[: conv.out_channels]

    def kernel(self) -> Array:
        """Σ_o channel[o]·weights[o, c, a, b] flattened over (c, a, b)."""
        weights = self.conv.weights.reshape(self.conv.out_channels, -1)
        return kmatvec(np.ascontiguousarray(weights.T), self.channel)

    def spread(self, taps: Array, outputs: Array) -> Array:
        """Σ over (tap a, output y) with stride·y + a − padding = Y of taps[a]·outputs[y], shape (in_size, 5)."""
        conv, out = self.conv, kzero((self.conv.in_size,))
        position = conv.stride * np.arange(conv.out_size) - conv.padding
        for a in range(conv.kernel):
            inside = (position + a >= 0) & (position + a < conv.in_size)
            target = position[inside] + a
            out[target] = fadd(out[target], kmul(outputs[inside], taps[a]))
        return out


def inner_functionals(
    layout: Layout, requests: Mapping[str, SiteRequest], point: Sequence[KS], columns: Columns
) -> tuple[Functional, Functional, KS]:
    """The multilinear extensions of l and r at `point`: functionals of committed data, and l's public part."""
    left, right, public = Functional(columns), Functional(columns), KS(0)
    log_w = log2_ceil(layout.w)
    name = columns.add("inner", eq_table(point[len(point) - log_w :]))
    table = eq_table(point)
    high = eq_table(point[: len(point) - log_w])
    for site in layout.program.sites:
        offset = layout.inner.get(site.name, 0)
        match site.acc:
            case MatMul(left_view, right_view, inner):
                request = requests[site.name]
                for side, functional, view, rows in (
                    ("left", left, left_view, request.rows),
                    ("right", right, right_view, request.columns(site.cols)),
                ):
                    placed = placed_of(layout, view.source)
                    if view.kind == "plain":
                        first = offset // layout.w
                        functional.tensor(placed, rows, high[first : first + placed.blocks], name)
                    else:
                        run = table[offset : offset + inner]
                        _add_view(functional, view, placed, rows, run, f"{site.name}.{side}")
            case Conv() as conv:
                factors = ConvFactors(conv, requests[site.name])
                kernel = factors.kernel()
                public += KS.from_array(kdot(kernel, table[offset : offset + len(kernel)]))
                _add_conv_input(layout, right, factors, point, offset, site.name)
            case _:
                pass
    return left, right, public


def _add_view(functional: Functional, view: View, placed: Placed, rows: Array, run: Array, name: str) -> None:
    """Add a view's columns: coefficients of view columns are summed onto the stored columns they read."""
    w = functional.columns.w
    stored = kzero((placed.blocks * w,))
    np.add.at(stored, view.index(len(run)), run)
    stored %= np.uint64(P)
    for block in range(placed.blocks):
        column = functional.columns.add(f"{name}.{block}", stored[block * w : (block + 1) * w])
        functional.block(placed, rows, block, column)


def _add_conv_input(
    layout: Layout, functional: Functional, factors: ConvFactors, point: Sequence[KS], offset: int, name: str
) -> None:
    """r's extension at `point` for a convolution: separable in input channel, row and column."""
    conv, w = factors.conv, layout.w
    tap_bits = log2_ceil(conv.kernel)
    bits = log2_ceil(conv.in_channels * conv.kernel**2)
    cut = len(point) - bits
    top = eq_index(point[:cut], offset >> bits)
    tail = list(point[cut:])
    channel = scaled(eq_table(tail[: bits - 2 * tap_bits]), top)
    rows = factors.spread(eq_table(tail[bits - 2 * tap_bits : bits - tap_bits]), factors.y)
    across = factors.spread(eq_table(tail[bits - tap_bits :]), factors.x)
    if len(conv.sources) == conv.in_channels and conv.in_channels > 1:
        jobs = [(source, across, kmul(rows, channel[c])) for c, source in enumerate(conv.sources)]
    else:
        wide = kouter(channel[: conv.in_channels], across).reshape(-1, DEGREE)
        jobs = [(conv.sources[0], wide, rows)]
    for source, vector, row_factors in jobs:
        placed = placed_of(layout, source)
        padded = kzero((placed.blocks * w,))
        padded[: len(vector)] = vector
        shared = "input" if len(jobs) > 1 else source
        for block in range(placed.blocks):
            column = functional.columns.add(f"{name}.{shared}.{block}", padded[block * w : (block + 1) * w])
            functional.block(placed, row_factors, block, column)
