"""The executor on a torch device: exact products in float64 (float_gemm.py).

Weights stay in host memory and visit the device in blocks, so that a wide model needs little of it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from huref.circuits.program.evaluate import (
    SiteTrace,
    Weights,
    alike,
    calibration,
    canonical_shift,
    check_height,
    head_products,
    site_trace,
)
from huref.circuits.program.numbers import SiteNumbers
from huref.circuits.program.program import Deflation, HeadProducts, Likeness, MatMul, Site, SketchSum, View
from huref.prover.devices.memory import memory_errors
from huref.prover.run import float_gemm

_BLOCK = 4096
"""Rows of a transposed right side that visit the device at once."""


class TorchMachine:
    """Weights, and activations on the torch device, by site name."""

    def __init__(self, weights: Weights, device: str) -> None:
        self.weights, self.device = weights, torch.device(device)
        self.activations: dict[str, torch.Tensor] = {}

    def run(self, site: Site, shift: int | None, numbers: SiteNumbers) -> SiteTrace:
        """As `CompiledMachine.run`. Raises also ProverError if the device has too little memory."""
        with memory_errors(str(self.device)):
            return self._run(site, shift, numbers)

    def _run(self, site: Site, shift: int | None, numbers: SiteNumbers) -> SiteTrace:
        acc = self._accumulate(site, numbers)
        rows = calibration(site, acc[: site.calibration_rows].cpu().numpy())
        if shift is None:
            shift = canonical_shift(site, rows, numbers)
        raised = acc + ((1 << shift) >> 1)
        h = raised >> shift
        check_height(site, shift, int(h.abs().max()))
        scaled = h
        if numbers.columns is not None:
            columns = torch.from_numpy(numbers.columns).to(self.device)
            scaled = (h * columns + ((1 << numbers.bits) >> 1)) >> numbers.bits
        out = scaled.clamp(site.low, site.clamp)
        if site.full:
            out = torch.from_numpy(numbers.rounded(site, h.cpu().numpy())).to(self.device)
        self.activations[site.name] = out.to(torch.int16)
        remainder = raised - (h << shift)
        return site_trace(
            site,
            rows,
            shift,
            self.activations[site.name].cpu().numpy(),
            remainder.to(torch.int32).cpu().numpy(),
            h.to(torch.int32).cpu().numpy(),
            numbers,
        )

    def _accumulate(self, site: Site, numbers: SiteNumbers) -> torch.Tensor:
        acc = site.acc
        if isinstance(acc, SketchSum):
            return self._sketch(acc, site, numbers.entries)
        if isinstance(acc, Deflation):
            source, base = (self.activations[name].to(torch.int64) for name in (acc.source, acc.base))
            return (source << acc.bits) - numbers.weight * base
        if isinstance(acc, MatMul):
            return self._multiply(acc, site)
        if isinstance(acc, HeadProducts | Likeness):
            return torch.from_numpy(self._heads(acc, site)).to(self.device)
        return float_gemm.product(
            self._rows(acc.left, slice(None)),
            lambda part: self._rows(acc.gate, part) * self._rows(acc.up, part),
            site.cols,
        )

    def _heads(self, acc: HeadProducts | Likeness, site: Site) -> NDArray[np.int64]:
        """Small products, on the host."""
        if isinstance(acc, Likeness):
            return alike(acc, site.rows, self.activations[acc.source].cpu().numpy())
        left, right = (self.activations[name].cpu().numpy() for name in (acc.left, acc.right.source))
        return head_products(acc, left, right)

    def _multiply(self, acc: MatMul, site: Site) -> torch.Tensor:
        left, width = self._viewed(acc.left, acc.inner, slice(0, site.rows)), site.cols // len(acc.runs)
        multiply = self._transposed if acc.right.transposed else self._plain
        return torch.cat([multiply(acc, left[:, run], run, width) for run in acc.runs], 1)

    def _plain(self, acc: MatMul, left: torch.Tensor, run: slice, width: int) -> torch.Tensor:
        def rows(part: slice) -> torch.Tensor:
            return self._viewed(acc.right, acc.inner, part)[:, run]

        return float_gemm.product(left, rows, width)

    def _transposed(self, acc: MatMul, left: torch.Tensor, run: slice, width: int) -> torch.Tensor:
        """Σ over the stored rows of a run, in blocks."""
        index = acc.right.index(acc.inner)[run]
        out = torch.zeros((len(left), width), dtype=torch.int64, device=self.device)
        for first in range(0, len(index), _BLOCK):
            read = self._read(acc.right.source, index[first : first + _BLOCK])
            out += (left[:, first : first + _BLOCK] @ read).to(torch.int64)
        return out

    def _read(self, name: str, rows: np.ndarray) -> torch.Tensor:
        """Some rows of a matrix."""
        if name in self.activations:
            return self.activations[name][torch.from_numpy(rows).to(self.device)].to(torch.float64)
        return torch.from_numpy(self.weights[name][rows]).to(self.device).to(torch.float64)

    def _rows(self, name: str, part: slice) -> torch.Tensor:
        if name in self.activations:
            return self.activations[name][part].to(torch.float64)
        rows = torch.from_numpy(np.ascontiguousarray(self.weights[name][part]))
        return rows.to(self.device).to(torch.float64)

    def _viewed(self, view: View, inner: int, part: slice) -> torch.Tensor:
        rows = self._rows(view.source, part)
        if view.kind == "plain":
            return rows
        return rows[:, torch.from_numpy(view.index(inner)).to(self.device)]

    def _sketch(self, acc: SketchSum, site: Site, entries: NDArray[np.int64] | None) -> torch.Tensor:
        read = np.ascontiguousarray(self.weights[acc.source][acc.token]).astype(np.int64)
        tokens = torch.from_numpy(read if entries is None else read * entries[:, None]).to(self.device)
        signed = tokens.to(torch.int64) * torch.from_numpy(acc.sign).to(self.device)[:, None]
        out = torch.zeros((site.rows, site.cols), dtype=torch.int64, device=self.device)
        out.index_add_(0, torch.from_numpy(acc.row).to(self.device), signed)
        if not acc.centred:
            return out
        totals = torch.from_numpy(acc.totals(site.rows)).to(self.device)
        return len(acc.row) * out - totals[:, None] * tokens.to(torch.int64).sum(0)
