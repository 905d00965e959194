"""Shape + profile + encoder + sizes → the integer program (protocol §3.2), with every static bound checked.

The verifier runs this on the public statement, so nothing here may depend on a weight's value. Clamps follow
the rule of protocol §3.3: the largest that every consumer's bound admits, shared by the two factors of a
product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from huref.circuits.fingerprint.clamps import calibration_rows, largest_clamp
from huref.circuits.fingerprint.encoder import TERMS, encode, term_clamp
from huref.circuits.fingerprint.profiles import LAYERS, Profile, check_encoder
from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.fingerprint.sketch import block_sketch, signed_sketch
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


def compile_program(
    shape: ModelShape,
    profile: Profile,
    encoder: str,
    k: int,
    p: int,
    term_weights: tuple[int, ...] = EQUAL_TERM_WEIGHTS,
) -> Program:
    """The fingerprint program of a model of this shape with k tokens in p blocks.

    `term_weights` (meanpool only) are the six public integers in 0..127 that bring the terms to a common
    scale; the other encoders need none and accept only the default.

    Raises:
        UsageError: sizes or encoder do not suit the profile, or a static bound reaches p/2 (the message
            names the site and the widths that would fit).
    """
    check_encoder(profile, encoder)
    if encoder != "meanpool" and term_weights != EQUAL_TERM_WEIGHTS:
        raise UsageError(f"encoder {encoder} takes no term weights")
    if not 1 <= k <= shape.vocab:
        raise UsageError(f"K = {k} tokens of a vocabulary of {shape.vocab}", hint="choose a smaller K")
    if p < 1 or p & (p - 1):
        raise UsageError(f"P = {p} is not a power of two")
    if shape.layers < LAYERS:
        raise UsageError(f"the fingerprint reads {LAYERS} layers, this model has {shape.layers}")
    builder = _Builder(shape, profile, encoder, k, p)
    builder.sketches()
    for layer in range(shape.layers - LAYERS, shape.layers):
        builder.layer(layer)
    return builder.finish(term_weights)


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

    def __init__(self, shape: ModelShape, profile: Profile, encoder: str, k: int, p: int) -> None:
        self.shape, self.profile, self.encoder, self.k, self.p = shape, profile, encoder, k, p
        self.gated = profile.gated_term and shape.gated
        self.weights: list[Weight] = []
        self.sites: list[Site] = []
        self.terms: list[str] = []
        self.gate_bits, self.up_bits = self._gated_bits()

    def _gated_bits(self) -> tuple[int, int]:
        """Widths of gate and up: three factors multiply, so they may have to be narrower (protocol §3.4)."""
        bits = self.profile.weight_bits
        if not self.gated:
            return bits, bits
        for gate, up in self.profile.gated_bits:
            factor = self.shape.hidden << (gate + up - 2)
            if largest_clamp(self.profile, linear=factor) >= self.profile.gated_clamp:
                return gate, up
        raise UsageError(f"gate and up of width {self.shape.hidden} have no bit widths that stay below p/2")

    def sketches(self) -> None:
        """X and its two sketches: ys feeds the left factors of every term, yt the right ones."""
        bits = self.profile.weight_bits
        self._weight("x", self.k, bits)
        if self.profile.pooling == "signed":
            left = signed_sketch("x", "S", self.k, self.p)
            right = signed_sketch("x", "T", self.k, self.p)
        else:
            left, right = block_sketch("x", self.k, self.p), block_sketch("x", self.k, 1)
        plain = self.shape.hidden << (bits - 1)
        gated = self.shape.hidden << (self.gate_bits + self.up_bits - 2) if self.gated else 0
        self._sketch("ys", left, self.p, max(plain, gated))
        self._sketch("yt", right, self.p if self.profile.pooling == "signed" else 1, plain)

    def _sketch(self, name: str, acc: SketchSum, rows: int, consumer: int) -> None:
        entries = int(np.bincount(acc.row).max())
        bound = entries << (self.profile.weight_bits - 1)
        clamp = largest_clamp(self.profile, linear=consumer)
        self._site(name, acc, rows, self.shape.hidden, clamp, bound)

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
        gate = (self._weight(f"{tag}.gate", shape.ffn, self.gate_bits),) if self.gated else ()
        up = self._weight(f"{tag}.up", shape.ffn, self.up_bits)
        down = self._weight(f"{tag}.down", shape.ffn)
        heads, ffn = shape.q_rows, shape.ffn
        self._term(f"{tag}.qk", _Side(f"{tag}.qa", (q,)), _Side(f"{tag}.ka", (k,)), heads)
        self._term(f"{tag}.vo", _Side(f"{tag}.va", (v,)), _Side(f"{tag}.oa", (o,)), heads)
        self._term(f"{tag}.ud", _Side(f"{tag}.ua", (*gate, up)), _Side(f"{tag}.da", (down,)), ffn)

    def _term(self, name: str, left: _Side, right: _Side, inner: int) -> None:
        clamp = largest_clamp(self.profile, square=inner)
        target = self.profile.gated_target if len(left.weights) == 2 else CALIBRATION_TARGET
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
        out = term_clamp(self.profile, self.encoder, self.p)
        self._site(name, product, rows, cols, out, inner * clamp * clamp)
        self.terms.append(name)

    def _view(self, side: _Side, inner: int) -> View:
        if side.cols == inner:
            return View(side.site)
        return View(side.site, self.profile.kv_view, self.shape.head_dim, inner // side.cols)

    def _weight(self, name: str, rows: int, bits: int | None = None) -> Weight:
        weight = Weight(name, rows, self.shape.hidden, self.profile.weight_bits if bits is None else bits)
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
        if clamp < self.profile.min_clamp or not fits(bound):
            raise UsageError(
                f"{name}: entries of {clamp.bit_length() + 1} bits are all that stays below p/2",
                hint=f"{self.profile.min_clamp.bit_length() + 1} bits are needed: the model is too wide",
            )
        calibration = calibration_rows(self.profile, rows, cols, clamp)
        self.sites.append(Site(name, acc, rows, cols, clamp, -clamp, bound, calibration, target))

    def finish(self, term_weights: tuple[int, ...]) -> Program:
        """Add the encoder."""
        clamp = term_clamp(self.profile, self.encoder, self.p)
        sites, output = encode(self.encoder, tuple(self.terms), clamp, self.p, term_weights)
        return Program(tuple(self.weights), (*self.sites, *sites), output)
