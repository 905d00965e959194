"""The prover of the inner-product sumcheck; twin of `huref.verifier.argument.inner` (protocol §6.2, §6.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.inner import ConvFactors
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.lookup import SiteRequest
from huref.circuits.program.program import Conv, MatMul, View
from huref.common.algebra.field import DEGREE, KArray
from huref.common.algebra.kscalar import KS
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.lookup_tree import mont, scalar
from huref.prover.argument.sumcheck import prove_rounds
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import U32, k_to_mont
from huref.prover.kernels.field.small import small_matvec, small_vecmat

Ints = NDArray[Any]
_ROWS = 1 << 15  # that are copied at once where a tensor is not contiguous


class ProductOracle:
    """Σ_x l(x)·r(x) for K tables (5, 2^n), bound from the top variable."""

    def __init__(self, left: U32, right: U32) -> None:
        self.left, self.right = left, right

    def message(self) -> tuple[KS, KS]:
        half = self.left.shape[1] // 2
        l0, r0 = self.left[:, :half], self.right[:, :half]
        steps = vectors.sub(self.left[:, half:], l0), vectors.sub(self.right[:, half:], r0)
        return scalar(vectors.dot(l0, r0)), scalar(vectors.dot(*steps))

    def bind(self, value: KS) -> None:
        self.left = vectors.fold(self.left, mont(value))
        self.right = vectors.fold(self.right, mont(value))

    def finals(self) -> tuple[KS, KS]:
        """l and r at the point."""
        return scalar(self.left[:, 0]), scalar(self.right[:, 0])


def inner_vectors(
    layout: Layout, requests: Mapping[str, SiteRequest], values: Mapping[str, Ints]
) -> tuple[U32, U32]:
    """The vectors l and r, each (5, 2^log_inner) Montgomery; `values` holds weights and activations by name."""
    left = np.zeros((DEGREE, 1 << layout.log_inner), np.uint32)
    right = np.zeros_like(left)
    for site in layout.program.sites:
        acc = site.acc
        if isinstance(acc, MatMul):
            at, request = layout.inner[site.name], requests[site.name]
            left[:, at : at + acc.inner] = _view_sum(values, acc.left, acc.inner, request.rows)
            right[:, at : at + acc.inner] = _right_sums(values, acc, request.columns(site.cols))
        elif isinstance(acc, Conv):
            at = layout.inner[site.name]
            factors = ConvFactors(acc, requests[site.name])
            kernel = factors.kernel()
            left[:, at : at + len(kernel)] = k_to_mont(kernel)
            right[:, at : at + len(kernel)] = _patch_sums(acc, factors, values)
    return left, right


def _view_sum(values: Mapping[str, Ints], view: View, inner: int, rows: KArray) -> U32:
    sums = small_vecmat(k_to_mont(rows), values[view.source])
    return sums if view.kind == "plain" else sums[:, view.index(inner)]


def _right_sums(values: Mapping[str, Ints], acc: MatMul, columns: KArray) -> U32:
    """r of a product over its inner index; every run has its part of the column coefficients."""
    view, width = acc.right, len(columns) // len(acc.runs)
    source, index = values[view.source], view.index(acc.inner)
    out = np.empty((DEGREE, acc.inner), np.uint32)
    for number, part in enumerate(acc.runs):
        coefficients = k_to_mont(columns[number * width : (number + 1) * width])
        if not view.transposed:
            out[:, part] = small_vecmat(coefficients, source)[:, index[part]]
            continue
        first, last = int(index[part].min()), int(index[part].max()) + 1
        sums = [
            small_matvec(np.ascontiguousarray(source[i : min(i + _ROWS, last)]), coefficients)
            for i in range(first, last, _ROWS)
        ]
        out[:, part] = np.concatenate(sums, axis=1)[:, index[part] - first]
    return out


def _patch_sums(conv: Conv, factors: ConvFactors, values: Mapping[str, Ints]) -> U32:
    """r over the kernel index: Σ_{y,x} y[y]·x[x]·in[c, stride·y + a − padding, stride·x + b − padding]."""
    x_factors, y_factors = k_to_mont(factors.x), k_to_mont(factors.y)
    side, reach = conv.kernel, conv.stride * (conv.out_size - 1) + 1
    planes = [values[name] for name in conv.sources]
    if len(planes) == 1 and conv.in_channels > 1:
        planes = [
            np.ascontiguousarray(planes[0][:, c * conv.in_size :][:, : conv.in_size])
            for c in range(conv.in_channels)
        ]
    out = np.empty((DEGREE, conv.in_channels, side, side), np.uint32)
    for c, plane in enumerate(planes):
        padded = np.pad(plane, conv.padding)
        for a in range(side):
            rows = padded[a : a + reach : conv.stride]
            across = small_vecmat(y_factors, np.ascontiguousarray(rows))  # (5, padded width)
            for b in range(side):
                run = np.ascontiguousarray(across[:, b : b + reach : conv.stride])
                out[:, c, a, b] = vectors.dot(run, x_factors)
    return out.reshape(DEGREE, -1)


def prove_inner(channel: ProverChannel, layout: Layout, left: U32, right: U32) -> None:
    """Prove ⟨l, r⟩ down to one product of hidden values."""
    oracle = ProductOracle(left, right)
    prove_rounds(channel, "inner", oracle, layout.log_inner)
    channel.hidden_product("inner.final", *oracle.finals())
