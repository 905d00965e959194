"""Sites of models with norms behind attention and FFN, whose stream is not rotated (docs/inference.md §4).

Gains of real models of this kind differ a thousandfold from column to column, and so do the stream's entries. What is
read is brought to columns of one size by the gain of its norm and rotated then; what is written is rotated back behind
its norm and takes its gain there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Protocol

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.facts import Facts, LayerFacts
from huref.circuits.inference.limits import (
    GAIN_LIMIT,
    NORM_CLAMP,
    NORM_LENGTH,
    NORM_UNIT,
    ROTATED_MULTIPLE,
    WIDE_CLAMP,
    StreamSize,
    multiple_high,
    read_clamp,
    rotation_bits,
    rotation_bound,
)
from huref.circuits.inference.plain_sites import Add, HighGain, Lift, LowGain, OutputGain, Rotate, Rows
from huref.circuits.inference.sites import Site
from huref.circuits.model.tensors import ADMITTED, GAIN, GAIN_BITS
from huref.circuits.program.functions import multiples
from huref.common.errors import UsageError

ROW_UNIT = 5
"""Unit of a rotated row of the embedding, in its own steps."""
LIFTED = 4
"""By how much the high limb's product with a gain is lifted."""


def lifted_unit(step: int, limb: int) -> int:
    """Unit of the stream's product with a gain, less that of the stream and more than that of norms."""
    return GAIN_BITS - step + LIFTED - limb + NORM_UNIT


@dataclass(frozen=True)
class Reading:
    """What matrices read: its site, its unit, and a bound of a row's product with it."""

    source: str
    unit: int
    bound: int


class Builder(Protocol):
    """What the plain part needs of the compiler."""

    shape: ModelShape
    facts: Facts
    stream: str
    unit: int
    limit: int
    size: StreamSize

    def add(self, site: Site) -> str: ...
    def norm(
        self, name: str, written: tuple[str, int] = ("", 0), clamp: int = NORM_CLAMP, scaled: str = ""
    ) -> str: ...


class Plain:
    """Adds these sites to a program."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def embedded(self) -> None:
        """The first stream: rows of the embedding, rotated back, times what they stand for."""
        to, facts, d = self.builder, self.builder.facts, self.builder.shape.hidden
        square, high = facts.embedding_square, multiple_high(facts.embedding_square, ROTATED_MULTIPLE)
        rows = to.add(Rows("embedded_rows", d))
        back = self.rotated("embedded_back", rows, ADMITTED * (isqrt(d) + 1), ROW_UNIT, back=True)
        bound = back.largest * int(multiples(square, high)[-1])
        shift = ROW_UNIT + facts.lifted - facts.embedding
        to.add(Lift("embedded", d, back.name, square, high, facts.lifted, shift, to.limit, bound))

    def rotated(
        self, name: str, source: str, length: int, finer: int, *, back: bool, clamp: int = 0
    ) -> Rotate:
        """A rotated vector of norm at most `length`, at a unit finer by so many bits."""
        d = self.builder.shape.hidden
        bits = rotation_bits(d, length)
        bound = rotation_bound(d, length, bits)
        shift = bits - finer
        if shift < 0:
            raise UsageError(f"{name}: these units need a negative shift")
        site = Rotate(name, d, source, back, bits, shift, clamp, (bound >> shift) + 1, bound)
        self.builder.add(site)
        return site

    def read(self, name: str, layer: LayerFacts | None, half: int) -> Reading:
        """The norm of the stream, its gain, and that rotated."""
        to, d = self.builder, self.builder.shape.hidden
        gained, step, unit = (
            to.facts.final if layer is None else (layer.gained[half], layer.read_gain[half], layer.read[half])
        )
        tensor = ("head" if layer is None else name) + GAIN
        limb, limit = to.size.limb, 1 << to.size.narrow
        bound = GAIN_LIMIT << (limb - 1)
        low = to.add(LowGain(f"{name}_low", d, to.stream, tensor, step, limb, limb - LIFTED, bound))
        bound = ((to.limit >> limb) * GAIN_LIMIT << LIFTED) + (bound >> limb - LIFTED) + 1
        shift = lifted_unit(step, limb) - gained
        product = to.add(
            HighGain(f"{name}_gained", d, to.stream, tensor, step, limb, low, LIFTED, shift, limit, bound)
        )
        normed = to.norm(f"{name}_norm", clamp=WIDE_CLAMP, scaled=product)
        length, clamp = WIDE_CLAMP * (isqrt(d) + 1), read_clamp(d)
        source = self.rotated(f"{name}_read", normed, length, unit - gained, back=False, clamp=clamp)
        return Reading(source.name, unit, ADMITTED * d * clamp)

    def added(self, written: str, layer: LayerFacts, half: int) -> str:
        """What is written, behind its norm and gain, added to the stream."""
        to, d = self.builder, self.builder.shape.hidden
        step, unit = layer.write_gain[half], layer.branch[half]
        # ε is that of what was written before it was brought to one size
        normed = to.norm(f"{written}_norm", (written, 2 * layer.written[half] + layer.scaled[half]))
        length = NORM_LENGTH * (isqrt(d) + 1)
        back = self.rotated(f"{written}_back", normed, length, 0, back=True)
        bound = back.largest * GAIN_LIMIT
        shift = NORM_UNIT + GAIN_BITS - step - unit
        branch = to.add(
            OutputGain(f"{written}_branch", d, back.name, f"{written}{GAIN}", step, shift, to.limit, bound)
        )
        finer = max(unit, to.unit)
        lifted, raised = finer - unit, finer - to.unit
        over = to.limit + to.size.over
        bound = (over << lifted) + (over << raised)
        shift = finer - layer.stream[half]
        return to.add(Add(f"{written}_added", d, branch, to.stream, lifted, raised, shift, to.limit, bound))
