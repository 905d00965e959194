"""How close the integer program stays to the same computation in floating point.

The float side reads the canonical tensors before rounding, one at a time as they are quantized, and never
rounds to integers in between. It is float32 up to the two factors of every term, whose error of about 10⁻⁶ is
far below what is measured, and float64 from there on. Its v uses the integer program's term scales (a power of
two each, moved by shifts).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from huref.circuits.fingerprint.outputs import standardize
from huref.circuits.fingerprint.profiles import PAPER
from huref.circuits.program.evaluate import Trace
from huref.circuits.program.program import OUTPUTS, GatedMatMul, MatMul, Output, Program, SketchSum
from huref.prover.kernels.integers.sites import signed_sums
from huref.prover.kernels.pinned import Float32, Float64


@dataclass(frozen=True)
class Fidelity:
    """Cosines of integer with float results: of v, and per term."""

    v: float
    terms: dict[str, float]


def cosine(a: Float64, b: Float64) -> float:
    """Cosine of two arrays read as flat vectors; 0 if one vanishes."""
    x, y = a.reshape(-1), b.reshape(-1)
    norm = float(np.sqrt(np.dot(x, x) * np.dot(y, y)))
    return float(np.dot(x, y)) / norm if norm > 0 else 0.0


class FloatReference:
    """Runs the linear part of `program` in float32 from tensors offered in the order of its weights."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.values: dict[str, Float32] = {}
        self._waiting: dict[str, Float32] = {}

    def offer(self, name: str, tensor: Float32) -> None:
        """Use the float tensor called `name`, then forget it (gate waits for up)."""
        for site in self.program.sites:
            acc = site.acc
            if isinstance(acc, SketchSum) and acc.source == name:
                self.values[site.name] = signed_sums(acc, site.rows, tensor)
            elif isinstance(acc, MatMul) and acc.right.source == name:
                self.values[site.name] = self.values[acc.left.source] @ tensor.T
            elif isinstance(acc, GatedMatMul) and acc.gate == name:
                self._waiting[name] = tensor
            elif isinstance(acc, GatedMatMul) and acc.up == name:
                self.values[site.name] = self.values[acc.left] @ (self._waiting.pop(acc.gate) * tensor).T

    def terms(self) -> dict[str, Float64]:
        """The six float terms, by site name."""
        found = {}
        for site in self.program.sites:
            acc = site.acc
            if isinstance(acc, MatMul) and acc.right.source in self.program.site:
                left, right = (
                    self.values[view.source][:, view.index(acc.inner)].astype(np.float64)
                    for view in (acc.left, acc.right)
                )
                found[site.name] = left @ right.T
        return found


def scales(program: Program, steps: Mapping[str, float], shifts: Mapping[str, int]) -> dict[str, float]:
    """Real value of one unit of every weight and site up to the terms."""
    found = dict(steps)
    for site in program.sites:
        acc = site.acc
        if isinstance(acc, SketchSum):
            factor = found[acc.source]
        elif isinstance(acc, MatMul):
            factor = found[acc.left.source] * found[acc.right.source]
        elif isinstance(acc, GatedMatMul):
            factor = found[acc.left] * found[acc.gate] * found[acc.up]
        else:
            continue
        found[site.name] = factor * 2.0 ** shifts[site.name]
    return found


def bucket_sums(output: Output, values: Mapping[str, Float64]) -> Float64:
    """The output map on float terms, (512,)."""
    v = np.zeros(OUTPUTS)
    for name, bucket, sign in zip(output.sources, output.bucket, output.sign, strict=True):
        v += np.bincount(bucket.reshape(-1), weights=(values[name] * sign).reshape(-1), minlength=OUTPUTS)
    return v


def measure(
    program: Program, trace: Trace, reference: FloatReference, steps: Mapping[str, float]
) -> Fidelity:
    """Compare a trace with its float reference, which must have been offered every weight."""
    terms = reference.terms()
    unit = scales(program, steps, trace.shifts)
    per_term = {name: cosine(trace.sites[name].out.astype(np.float64), term) for name, term in terms.items()}
    exact = bucket_sums(program.output, {name: term / unit[name] for name, term in terms.items()})
    return Fidelity(cosine(standardize(trace.v, PAPER), standardize(exact, PAPER)), per_term)
