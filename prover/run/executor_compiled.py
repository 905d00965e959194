"""The executor on the CPU: integer products and loops in compiled kernels.

Accumulators are int32: every static bound is below p/2 < 2^30 (circuits/program/bounds.py). Factors of products are
16-bit activations, 8-bit weights, and products of two of these weights, which have 16 bits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program.evaluate import (
    SiteTrace,
    Weights,
    alike,
    calibration,
    canonical_shift,
    centre,
    check_height,
    deflate,
    head_products,
    site_trace,
)
from huref.circuits.program.numbers import SiteNumbers
from huref.circuits.program.program import (
    Deflation,
    GatedMatMul,
    HeadProducts,
    Likeness,
    MatMul,
    Site,
    SketchSum,
    View,
)
from huref.prover.kernels.integers.integer_gemm import product
from huref.prover.kernels.integers.sites import multiply, requantize, signed_sums
from huref.prover.kernels.threads import run_ranges

_Narrow = NDArray[np.int8] | NDArray[np.int16]
_BLOCK = 2048
"""Output columns per gated product, and inner ones of a transposed one, whose right side is made for it: 2048 × 16384
int16 entries are 64 MB."""

_STRIPE = 16


def _transposed(rows: _Narrow) -> _Narrow:
    """The columns of a matrix as rows, a few of its rows at a time: whole columns would miss the cache each time."""
    out = np.empty(rows.shape[::-1], rows.dtype)

    def turn(start: int, stop: int) -> None:
        for first in range(start, stop, _STRIPE):
            stripe = slice(first, min(first + _STRIPE, stop))
            out[:, stripe] = rows[stripe].T

    run_ranges(turn, len(rows), 4 * _STRIPE, align=_STRIPE)
    return out


class CompiledMachine:
    """Weights, and activations by site name."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.activations: dict[str, NDArray[np.int16]] = {}

    def run(self, site: Site, shift: int | None, numbers: SiteNumbers) -> SiteTrace:
        """The next site, at a shift or (None) at its canonical one. Raises as `requantize`."""
        acc = self._accumulate(site, numbers)
        rows = calibration(site, acc)
        if shift is None:
            shift = canonical_shift(site, rows, numbers)
        check_height(site, shift, 0)  # a shift that has a table fits 32-bit arithmetic
        out, quotient, peak = requantize(site, acc, shift)
        check_height(site, shift, peak)
        if numbers.columns is not None:
            multiply(quotient, numbers.columns, numbers.bits, site.clamp, out)
        elif site.full:
            out = numbers.rounded(site, quotient).astype(np.int16)
        self.activations[site.name] = out
        return site_trace(site, rows, shift, out, acc, quotient, numbers)

    def _accumulate(self, site: Site, numbers: SiteNumbers) -> NDArray[np.int32]:
        acc = site.acc
        if isinstance(acc, SketchSum):
            return self._sketch(acc, site, numbers.entries)
        if isinstance(acc, Deflation):
            source, base = self._values(acc.source), self._values(acc.base)
            return deflate(acc, source, base, numbers.weight).astype(np.int32)
        if isinstance(acc, MatMul):
            return self._multiply(acc, site)
        if isinstance(acc, HeadProducts):
            left, right = self._values(acc.left), self._values(acc.right.source)
            return head_products(acc, left, right).astype(np.int32)
        if isinstance(acc, Likeness):
            return alike(acc, site.rows, self._values(acc.source)).astype(np.int32)
        return self._gated(acc, site)

    def _sketch(self, acc: SketchSum, site: Site, entries: NDArray[np.int64] | None) -> NDArray[np.int32]:
        source = self._values(acc.source)
        if entries is not None:
            source = source[acc.token] * entries[:, None].astype(np.int16)
            acc = replace(acc, token=np.arange(len(acc.token)))
        sums = signed_sums(acc, site.rows, source)
        if not acc.centred:
            return sums
        total = source[acc.token].sum(axis=0, dtype=np.int64)
        return centre(acc, sums.astype(np.int64), total).astype(np.int32)

    def _multiply(self, acc: MatMul, site: Site) -> NDArray[np.int32]:
        left = self._viewed(acc.left, acc.inner)[: site.rows].astype(np.int16, copy=False)
        if len(acc.runs) == 1 and not acc.right.transposed:
            return product(left, self._viewed(acc.right, acc.inner))
        out = np.zeros((site.rows, site.cols), np.int32)
        for part, run in zip(np.split(out, len(acc.runs), axis=1), acc.runs, strict=True):
            for first in range(run.start, run.stop, _BLOCK):
                cut = slice(first, min(first + _BLOCK, run.stop))
                part += product(np.ascontiguousarray(left[:, cut]), self._right(acc, cut))
        return out

    def _right(self, acc: MatMul, cut: slice) -> _Narrow:
        """Some inner columns of the right side, (n × cut)."""
        stored, index = self._values(acc.right.source), acc.right.index(acc.inner)[cut]
        if acc.right.transposed:
            return _transposed(stored[index])
        read: _Narrow = stored[:, index]
        return read if read.flags.c_contiguous else read.copy()

    def _values(self, name: str) -> _Narrow:
        """A matrix: int16 if it is an activation, int8 if it is a weight."""
        if name in self.activations:
            return self.activations[name]
        return self.weights[name].astype(np.int8, copy=False)

    def _viewed(self, view: View, inner: int) -> _Narrow:
        stored = self._values(view.source)
        return stored if view.kind == "plain" else stored[:, view.index(inner)]

    def _gated(self, acc: GatedMatMul, site: Site) -> NDArray[np.int32]:
        left = self._values(acc.left).astype(np.int16, copy=False)
        gate, up = self._values(acc.gate), self._values(acc.up)
        out = np.empty((site.rows, site.cols), np.int32)
        for start in range(0, site.cols, _BLOCK):
            part = slice(start, start + _BLOCK)
            out[:, part] = product(left, np.multiply(gate[part], up[part], dtype=np.int16))
        return out
