"""Shape + sizes → the integer program of the `paper` profile (protocol §3.2), with every static bound checked.

The verifier runs this on the public statement, so nothing here may depend on a weight's value. Clamps follow
the rule of protocol §3.3: the largest that every consumer's bound admits, shared by the two factors of a
product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref.circuits.fingerprint.clamps import MIN_CLAMP, calibration_rows, largest_clamp
from huref.circuits.fingerprint.outputs import TERMS, mean_pool, term_clamp
from huref.circuits.fingerprint.profiles import LAYERS
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.program.bounds import fits
from huref.circuits.program.program import (
    CALIBRATION_TARGET,
    Accumulator,
    GatedMatMul,
    MatMul,
    Program,
    Site,
    SketchSum,
    View,
    Weight,
)
from huref.common.errors import UsageError

EQUAL_TERM_WEIGHTS = (1,) * TERMS
WEIGHT_BITS = 8
GATED_BITS = ((8, 8), (8, 7), (7, 7), (7, 6), (6, 6), (6, 5), (5, 5))
GATED_CLAMP = 255
"""Gate and up have the first pair of widths that leaves their input this clamp."""
GATED_TARGET = 8
"""Replaces the calibration target at both factors of a gated term, whose few dominant neurons would be clamped."""
CLIP_SIGMAS = 1000.0
"""Entries beyond this many standard deviations are clipped: none, since raw tensors have dominant rows."""


def compile_paper(
    shape: ModelShape, k: int, p: int, term_weights: tuple[int, ...] = EQUAL_TERM_WEIGHTS
) -> Program:
    """The fingerprint program of a model of this shape with k tokens in p blocks.

    `term_weights` are the six public integers in 0..127 that bring the terms to a common scale.

    Raises:
        UsageError: sizes do not suit the profile, or a static bound reaches p/2 (the message names the site and the
            widths that would fit).
    """
    if not 1 <= k <= shape.vocab:
        raise UsageError(f"K = {k} tokens of a vocabulary of {shape.vocab}", hint="choose a smaller K")
    if p < 1 or p & (p - 1):
        raise UsageError(f"P = {p} is not a power of two")
    if shape.blocks or shape.other_mixers:
        raise UsageError(
            "the paper profile reads layers of one attention and one FFN each", hint="use hardened"
        )
    if shape.layers < LAYERS:
        raise UsageError(f"the fingerprint reads {LAYERS} layers, this model has {shape.layers}")
    builder = _Builder(shape, k, p)
    builder.sketches()
    for layer in range(shape.layers - LAYERS, shape.layers):
        builder.layer(layer)
    return builder.finish(term_weights)


def block_sketch(source: str, k: int, p: int) -> SketchSum:
    """Sums of p blocks of k/p consecutive tokens. Raises `UsageError` unless p divides k."""
    if k % p:
        raise UsageError(f"K = {k} tokens cannot be cut into P = {p} equal blocks")
    token = np.arange(k, dtype=np.int64)
    return SketchSum(source, token // (k // p), token, np.ones(k, dtype=np.int8))


@dataclass(frozen=True)
class _Side:
    """One factor of a term: its site and the weights that the site multiplies."""

    site: str
    weights: tuple[Weight, ...]

    @property
    def cols(self) -> int:
        return self.weights[0].rows

    @property
    def factor(self) -> int:
        """|acc| ≤ factor · (input clamp)."""
        bound = self.weights[0].cols
        for weight in self.weights:
            bound *= weight.bound
        return bound


class _Builder:
    """Accumulates weights and sites in execution order."""

    def __init__(self, shape: ModelShape, k: int, p: int) -> None:
        self.shape, self.k, self.p = shape, k, p
        self.weights: list[Weight] = []
        self.sites: list[Site] = []
        self.terms: list[str] = []
        self.gate_bits, self.up_bits = self._gated_bits()

    def _gated_bits(self) -> tuple[int, int]:
        """Widths of gate and up: three factors multiply, so they may have to be narrower (protocol §3.4)."""
        if not self.shape.gated:
            return WEIGHT_BITS, WEIGHT_BITS
        for gate, up in GATED_BITS:
            factor = self.shape.hidden << (gate + up - 2)
            if largest_clamp(linear=factor) >= GATED_CLAMP:
                return gate, up
        raise UsageError(f"gate and up of width {self.shape.hidden} have no bit widths that stay below p/2")

    def sketches(self) -> None:
        """X and its two sketches: ys feeds the left factors of every term, yt, the sum of all rows, the right ones."""
        self._weight("x", self.k)
        plain = self.shape.hidden << (WEIGHT_BITS - 1)
        gated = self.shape.hidden << (self.gate_bits + self.up_bits - 2) if self.shape.gated else 0
        self._sketch("ys", self.p, max(plain, gated))
        self._sketch("yt", 1, plain)

    def _sketch(self, name: str, rows: int, consumer: int) -> None:
        acc = block_sketch("x", self.k, rows)
        bound = (self.k // rows) << (WEIGHT_BITS - 1)
        self._site(name, acc, rows, self.shape.hidden, largest_clamp(linear=consumer), bound)

    def layer(self, n: int) -> None:
        """The three terms of layer n."""
        shape, tag = self.shape, f"l{n}"
        q, k, v, o = (
            self._weight(f"{tag}.{name}", rows)
            for name, rows in (
                ("q", shape.q_rows),
                ("k", shape.kv_rows),
                ("v", shape.kv_rows),
                ("o", shape.q_rows),
            )
        )
        gate = (self._weight(f"{tag}.gate", shape.ffn, self.gate_bits),) if shape.gated else ()
        up = self._weight(f"{tag}.up", shape.ffn, self.up_bits)
        down = self._weight(f"{tag}.down", shape.ffn)
        heads, ffn = shape.q_rows, shape.ffn
        self._term(f"{tag}.qk", _Side(f"{tag}.qa", (q,)), _Side(f"{tag}.ka", (k,)), heads)
        self._term(f"{tag}.vo", _Side(f"{tag}.va", (v,)), _Side(f"{tag}.oa", (o,)), heads)
        self._term(f"{tag}.ud", _Side(f"{tag}.ua", (*gate, up)), _Side(f"{tag}.da", (down,)), ffn)

    def _term(self, name: str, left: _Side, right: _Side, inner: int) -> None:
        clamp = largest_clamp(square=inner)
        target = GATED_TARGET if len(left.weights) == 2 else CALIBRATION_TARGET
        for side, source in ((left, "ys"), (right, "yt")):
            origin = next(site for site in self.sites if site.name == source)
            acc: Accumulator
            if len(side.weights) == 2:
                acc = GatedMatMul(source, side.weights[0].name, side.weights[1].name, self.shape.hidden)
            else:
                acc = MatMul(View(source), View(side.weights[0].name), self.shape.hidden)
            bound = side.factor * origin.clamp
            self._site(side.site, acc, origin.rows, side.cols, clamp, bound, target)
        product = MatMul(self._view(left, inner), self._view(right, inner), inner)
        rows, cols = (next(s.rows for s in self.sites if s.name == source) for source in ("ys", "yt"))
        out = term_clamp()
        self._site(name, product, rows, cols, out, inner * clamp * clamp)
        self.terms.append(name)

    def _view(self, side: _Side, inner: int) -> View:
        if side.cols == inner:
            return View(side.site)
        return View(side.site, "tile", self.shape.head_dim, inner // side.cols)

    def _weight(self, name: str, rows: int, bits: int = WEIGHT_BITS) -> Weight:
        weight = Weight(name, rows, self.shape.hidden, bits)
        self.weights.append(weight)
        return weight

    def _site(
        self,
        name: str,
        acc: Accumulator,
        rows: int,
        cols: int,
        clamp: int,
        bound: int,
        target: int = CALIBRATION_TARGET,
    ) -> None:
        if clamp < MIN_CLAMP or not fits(bound):
            raise UsageError(
                f"{name}: entries of {clamp.bit_length() + 1} bits are all that stays below p/2",
                hint=f"{MIN_CLAMP.bit_length() + 1} bits are needed: the model is too wide",
            )
        calibration = calibration_rows(rows, cols, clamp)
        self.sites.append(Site(name, acc, rows, cols, clamp, -clamp, bound, calibration, target))

    def finish(self, term_weights: tuple[int, ...]) -> Program:
        """Add the outputs."""
        output = mean_pool(tuple(self.terms), self.p, term_weights)
        return Program(tuple(self.weights), tuple(self.sites), output)
