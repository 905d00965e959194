"""The prover of the inner-product sumcheck; twin of `huref.verifier.argument.inner` (protocol §6.2, §6.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.inner import fold_entries
from huref.circuits.argument.layout import Layout, ratio_label
from huref.circuits.argument.lookup import SiteRequest
from huref.circuits.program.program import HeadProducts, Likeness, MatMul, SketchSum, View
from huref.common.algebra.field import DEGREE, KArray, to_field
from huref.common.algebra.kscalar import KS
from huref.common.algebra.multilinear import log2_ceil
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.heads import head_vectors, stacked
from huref.prover.argument.lookup_tree import mont, scalar
from huref.prover.argument.sumcheck import RoundOracle, prove_rounds
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import U32, k_to_mont, to_mont
from huref.prover.kernels.field.small import small_matvec, small_vecmat

Ints = NDArray[Any]
_ROWS = 1 << 15  # that are copied at once where a tensor is not contiguous


class PairOracle(RoundOracle, Protocol):
    """The sumcheck of an inner product."""

    def finals(self) -> tuple[KS, KS]:
        """Both vectors at the point."""
        ...


class ProductOracle:
    """Σ_x l(x)·r(x) for K tables (5, n), zeros from n to 2^⌈log n⌉, bound from the top variable."""

    def __init__(self, left: U32, right: U32) -> None:
        self.left, self.right = left, right

    def total(self) -> KS:
        """The whole sum."""
        return scalar(vectors.dot(self.left, self.right))

    def message(self) -> tuple[KS, KS]:
        zero, infinite = vectors.halves(self.left, self.right, below_top(self.left.shape[1]))
        return scalar(zero), scalar(infinite)

    def bind(self, value: KS) -> None:
        half = below_top(self.left.shape[1])
        self.left, self.right = (vectors.fold(x, mont(value), half) for x in (self.left, self.right))

    def finals(self) -> tuple[KS, KS]:
        """l and r at the point."""
        return scalar(self.left[:, 0]), scalar(self.right[:, 0])


def below_top(length: int) -> int:
    """Entries of a table of this length below its top variable."""
    return 1 << (log2_ceil(length) - 1)


def inner_vectors(
    layout: Layout, requests: Mapping[str, SiteRequest], values: Mapping[str, Ints]
) -> tuple[U32, U32]:
    """The vectors l and r, each (5, 2^log_inner) Montgomery, without the ratios; `values` holds weights, activations
    and rows of multipliers by name.
    """
    left = np.zeros((DEGREE, 1 << layout.log_inner), np.uint32)
    right = np.zeros_like(left)
    for site in layout.program.sites:
        acc = site.acc
        if isinstance(acc, MatMul):
            at, request = layout.inner[site.name], requests[site.name]
            left[:, at : at + acc.inner] = _view_sum(values, acc.left, acc.inner, request.rows)
            right[:, at : at + acc.inner] = _right_sums(values, acc, request.columns(site.cols))
        elif isinstance(acc, SketchSum) and acc.multipliers:
            at, request, end = layout.inner[site.name], requests[site.name], len(acc.token)
            entries = k_to_mont(fold_entries(acc, request.rows))
            factors = to_mont(to_field(values[acc.multipliers].reshape(-1)))
            left[:, at : at + end] = vectors.mul_base(entries, factors)
            read = np.ascontiguousarray(values[acc.source][acc.token])
            right[:, at : at + end] = small_matvec(read, k_to_mont(request.columns(site.cols)))
        elif isinstance(acc, HeadProducts | Likeness):
            at, pair = layout.inner[site.name], head_vectors(acc, requests[site.name], values, layout.w)
            for side, part in zip((left, right), pair, strict=True):
                side[:, at : at + part.shape[1]] = part
    return left, right


def add_ratios(
    layout: Layout, thetas: Mapping[str, tuple[KS, KS]], values: Mapping[str, Ints], left: U32, right: U32
) -> None:
    """Write the ratios' runs into l and r."""
    for ratio in layout.program.ratios:
        first, second = (stacked(part, layout.w) for part in ratio.compared(values))
        at = layout.inner[ratio_label(ratio)]
        run = slice(at, at + second.shape[1])
        weighted = [
            vectors.scale(part, mont(theta))
            for part, theta in zip((first, second), thetas[ratio.name], strict=True)
        ]
        left[:, run], right[:, run] = vectors.add(*weighted), second


def _view_sum(values: Mapping[str, Ints], view: View, inner: int, rows: KArray) -> U32:
    sums = small_vecmat(k_to_mont(rows), values[view.source][: len(rows)])
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


def prove_inner(channel: ProverChannel, log_inner: int, oracle: PairOracle) -> None:
    """Prove ⟨l, r⟩ down to one product of hidden values."""
    prove_rounds(channel, "inner", oracle, log_inner)
    channel.hidden_product("inner.final", *oracle.finals())
