"""The prover of the gated product; twin of `huref.verifier.argument.gated` (protocol §6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.argument.gated import gated_rounds, gated_sites
from huref.circuits.argument.layout import Layout
from huref.circuits.argument.lookup import SiteRequest
from huref.common.algebra.field import DEGREE, to_field
from huref.common.algebra.kscalar import KS
from huref.prover.argument.channel import ProverChannel
from huref.prover.argument.lookup_tree import mont, scalar
from huref.prover.argument.sumcheck import prove_rounds
from huref.prover.kernels.field import vectors
from huref.prover.kernels.field.field import U32, k_to_mont, to_mont
from huref.prover.kernels.field.small import small_vecmat

Ints = NDArray[Any]


class GatedOracle:
    """Σ_fj c_f·y_j·G_fj·U_fj over K tables, bound from the top variable of f, then of j."""

    def __init__(self, gate: U32, up: U32, rows: U32, inner: U32) -> None:
        self.gate, self.up = gate, up  # (5, F·J)
        self.rows, self.inner = rows, inner  # (5, F), (5, J)

    def total(self) -> KS:
        """The whole sum."""
        return scalar(vectors.dot(self.rows, self._weighted(vectors.mul(self.gate, self.up))))

    def _weighted(self, table: U32) -> U32:
        """Σ_j y_j·table[f, j] for every f."""
        width = self.inner.shape[1]
        tiled = np.tile(self.inner, (1, table.shape[1] // width))
        products = vectors.mul(table, tiled).reshape(DEGREE, -1, width)
        return (products.sum(axis=2, dtype=np.uint64) % np.uint64(2013265921)).astype(np.uint32)

    def message(self) -> tuple[KS, KS, KS]:
        half = self.gate.shape[1] // 2
        g0, u0 = self.gate[:, :half], self.up[:, :half]
        dg, du = vectors.sub(self.gate[:, half:], g0), vectors.sub(self.up[:, half:], u0)
        crossed = vectors.add(vectors.mul(g0, du), vectors.mul(dg, u0))
        powers = [vectors.mul(g0, u0), crossed, vectors.mul(dg, du)]
        count = self.rows.shape[1]
        if count > 1:
            low, high = self.rows[:, : count // 2], self.rows[:, count // 2 :]
            sums = [self._weighted(x) for x in powers]
        else:  # f is bound: the varying factor is now y
            width = self.inner.shape[1] // 2
            scaled = vectors.scale(self.inner, self.rows[:, 0])
            low, high, sums = scaled[:, :width], scaled[:, width:], powers
        rise = vectors.sub(high, low)
        p0 = vectors.dot(low, sums[0])
        c2 = scalar(vectors.dot(low, sums[2])) + scalar(vectors.dot(rise, sums[1]))
        return scalar(p0), c2, scalar(vectors.dot(rise, sums[2]))

    def bind(self, value: KS) -> None:
        r = mont(value)
        self.gate, self.up = vectors.fold(self.gate, r), vectors.fold(self.up, r)
        if self.rows.shape[1] > 1:
            self.rows = vectors.fold(self.rows, r)
        else:
            self.inner = vectors.fold(self.inner, r)


def gated_oracles(
    layout: Layout, requests: Mapping[str, SiteRequest], values: Mapping[str, Ints]
) -> list[GatedOracle]:
    """One oracle per gated site; `values` holds weights and activations by name."""
    oracles = []
    for site, acc in gated_sites(layout):
        over_f, over_j = gated_rounds(layout, site, acc)
        request = requests[site.name]
        rows = _padded(k_to_mont(request.columns(site.cols)), 1 << over_f)
        inner = _padded(small_vecmat(k_to_mont(request.rows), values[acc.left]), 1 << over_j)
        gate, up = (_table(values[name], over_f, over_j) for name in (acc.gate, acc.up))
        oracles.append(GatedOracle(gate, up, rows, inner))
    return oracles


def _padded(vector: U32, length: int) -> U32:
    return np.pad(vector, ((0, 0), (0, length - vector.shape[1])))


def _table(matrix: Ints, over_f: int, over_j: int) -> U32:
    table = np.zeros((DEGREE, 1 << over_f, 1 << over_j), np.uint32)
    table[0, : matrix.shape[0], : matrix.shape[1]] = to_mont(to_field(matrix.astype(np.int64)))
    return table.reshape(DEGREE, -1)


def prove_gated(channel: ProverChannel, layout: Layout, oracles: list[GatedOracle]) -> None:
    """Prove every gated site's total."""
    for (site, acc), oracle in zip(gated_sites(layout), oracles, strict=True):
        label = f"gated.{site.name}"
        prove_rounds(channel, label, oracle, sum(gated_rounds(layout, site, acc)))
        gate, up = scalar(oracle.gate[:, 0]), scalar(oracle.up[:, 0])
        left = scalar(oracle.inner[:, 0])
        channel.hidden_product(f"{label}.weights", gate, up)
        channel.hidden_product(f"{label}.final", gate * up, left)
