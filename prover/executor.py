"""The fast executor, in torch: the same `Trace`, bit for bit, as circuits/evaluate.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from circuits.evaluate import (
    Below,
    SiteTrace,
    Trace,
    Weights,
    canonical_shift,
    check_height,
    check_weights,
    read_output,
)
from circuits.program import Conv, GatedMatMul, MatMul, Program, Site, SketchSum, View
from common.errors import UsageError
from prover.devices.memory import memory_errors
from prover.kernels import gemm, integer_gemm


def execute(
    program: Program,
    weights: Weights,
    shifts: Mapping[str, int] | None = None,
    *,
    device: str = "cpu",
    progress: Callable[[str], None] | None = None,
) -> Trace:
    """Run `program` on `device`; arguments, result and errors as `circuits.evaluate.run`.

    Weights stay in host memory and visit the device in blocks, so that a wide model needs little of it.
    """
    check_weights(program, weights)
    if shifts is not None and set(shifts) != set(program.site):
        raise UsageError("shifts: expected exactly one shift per site of the program")
    machine = _Machine(weights, torch.device(device))
    sites: dict[str, SiteTrace] = {}
    for site in program.sites:
        with memory_errors(device):
            sites[site.name] = machine.run(site, None if shifts is None else shifts[site.name])
        if progress is not None:
            progress(site.name)
    v = read_output(program.output, {name: trace.out for name, trace in sites.items()})
    return Trace(sites, v)


class _Machine:
    """Activations on the device, by site name."""

    def __init__(self, weights: Weights, device: torch.device) -> None:
        self.weights, self.device = weights, device
        self.activations: dict[str, torch.Tensor] = {}

    def run(self, site: Site, shift: int | None) -> SiteTrace:
        acc = self._accumulate(site)
        if shift is None:
            shift = canonical_shift(site, acc[: site.calibration_rows].cpu().numpy())
        half = (1 << shift) >> 1
        h = (acc + half) >> shift
        check_height(site, shift, int(h.abs().max()))
        out = h.clamp(site.low, site.clamp)
        self.activations[site.name] = out.to(torch.int16)
        remainder = (acc + half - (h << shift)).to(torch.int32).cpu().numpy()
        rows = acc[: site.calibration_rows]
        total = int(out[: site.calibration_rows].abs().sum())
        below = self._below(site, rows, shift - 1) if shift else None
        return SiteTrace(
            shift,
            self.activations[site.name].cpu().numpy(),
            remainder,
            total,
            below,
            h.to(torch.int32).cpu().numpy(),
        )

    def _below(self, site: Site, rows: torch.Tensor, shift: int) -> Below:
        half = (1 << shift) >> 1
        h = (rows + half) >> shift
        check_height(site, shift, int(h.abs().max()))
        magnitude = h.clamp(site.low, site.clamp).abs()
        remainder = (rows + half - (h << shift)).to(torch.int32).cpu().numpy()
        quotient = h.to(torch.int32).cpu().numpy()
        return Below(magnitude.to(torch.int16).cpu().numpy(), remainder, int(magnitude.sum()), quotient)

    def _accumulate(self, site: Site) -> torch.Tensor:
        acc = site.acc
        if isinstance(acc, SketchSum):
            return self._sketch(acc, site)
        if isinstance(acc, MatMul):
            if self._has_compiled_product(acc):
                left, right = self.activations[acc.left.source], self.weights[acc.right.source]
                return torch.from_numpy(
                    integer_gemm.product(left.numpy(), right.astype(np.int8, copy=False))
                ).to(torch.int64)
            return gemm.product(
                self._viewed(acc.left, acc.inner, slice(None)),
                lambda part: self._viewed(acc.right, acc.inner, part),
                site.cols,
            )
        if isinstance(acc, GatedMatMul):
            return gemm.product(
                self._rows(acc.left, slice(None)),
                lambda part: self._rows(acc.gate, part) * self._rows(acc.up, part),
                site.cols,
            )
        return self._convolve(acc)

    def _has_compiled_product(self, acc: MatMul) -> bool:
        """Whether the product is one of 16-bit activations with 8-bit weights, on the CPU."""
        weights = self.weights.get(acc.right.source)
        return (
            self.device.type == "cpu"
            and acc.left.kind == acc.right.kind == "plain"
            and acc.left.source in self.activations
            and weights is not None
            and weights.dtype == np.int8
        )

    def _rows(self, name: str, part: slice) -> torch.Tensor:
        if name in self.activations:
            return self.activations[name][part].to(torch.float64)
        return (
            torch.from_numpy(np.ascontiguousarray(self.weights[name][part])).to(self.device).to(torch.float64)
        )

    def _viewed(self, view: View, inner: int, part: slice) -> torch.Tensor:
        rows = self._rows(view.source, part)
        if view.kind == "plain":
            return rows
        return rows[:, torch.from_numpy(view.index(inner)).to(self.device)]

    def _sketch(self, acc: SketchSum, site: Site) -> torch.Tensor:
        tokens = torch.from_numpy(np.ascontiguousarray(self.weights[acc.source][acc.token])).to(self.device)
        signed = tokens.to(torch.int64) * torch.from_numpy(acc.sign).to(self.device)[:, None]
        out = torch.zeros((site.rows, site.cols), dtype=torch.int64, device=self.device)
        return out.index_add_(0, torch.from_numpy(acc.row).to(self.device), signed)

    def _convolve(self, acc: Conv) -> torch.Tensor:
        sources = [self.activations[name].to(torch.float64) for name in acc.sources]
        if len(sources) > 1:
            planes = torch.stack(sources)
        else:
            planes = sources[0].reshape(acc.in_size, -1, acc.in_size).transpose(0, 1)
        kernel = torch.from_numpy(acc.weights).to(self.device).to(torch.float64)
        maps = gemm.convolution(planes, kernel, acc.stride, acc.padding)
        maps = maps.reshape(acc.out_channels, acc.out_size, acc.out_size)
        return maps.transpose(0, 1).reshape(acc.out_size, -1)
