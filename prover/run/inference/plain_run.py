"""The same run where norms stand behind attention and FFN: the stream is not rotated (docs/inference.md §4, §5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.facts import Outliers
from huref.circuits.inference.limits import (
    LIMB,
    NORM_UNIT,
    ROTATED_MULTIPLE,
    WIDE_CLAMP,
    multiple_high,
    read_clamp,
    rotation_bits,
)
from huref.circuits.inference.plain import ROW_UNIT, lifted_unit
from huref.circuits.model.tensors import GAIN, GAIN_BITS, LOWEST_STEP
from huref.circuits.program.rotation import rotation
from huref.common.errors import ProverError
from huref.prover.run.inference.fit import WIDE_MARGIN, unit_for
from huref.prover.run.inference.float_run import (
    FINEST_STREAM,
    FloatRun,
    Floats,
    Weights,
    peak,
    unit_rows,
)
from huref.prover.run.inference.products import OwnProducts, attention_product, feed_product
from huref.prover.run.inference.settings import Settings
from huref.prover.run.inference.weights import real_sum

_BITS = 14
_ROOM = 28
"""The bits that stream and branch may have where they are added at the finer of their units."""


class PlainRun(FloatRun):
    """Gains and rotations between the stream and what matrices see."""

    def __init__(
        self,
        shape: ModelShape,
        settings: Settings,
        weights: Weights,
        texts: Sequence[Sequence[int]],
        own: OwnProducts | None = None,
    ) -> None:
        self.own = own
        super().__init__(shape, settings, weights, texts)

    def matrix(self, name: str) -> Floats:
        """All of a matrix as real numbers."""
        return np.concatenate([real for _, real in self.blocks(name)])

    def scaled(self, name: str) -> int:
        """Half-octaves by which what `name` writes was brought to one size."""
        if self.own is None:
            return 0
        tag, _, tensor = name.rpartition(".")
        layer = int(tag[1:])
        if tensor == "o":
            before = self.own.attention(layer, self.gain(f"{tag}.attn")[0])
            after = attention_product(self.matrix(f"{tag}.v"), self.matrix(name), self.shape)
        else:
            before = self.own.feed_forward(layer, self.gain(f"{tag}.ffn")[0])
            after = feed_product(self.matrix(f"{tag}.up") if self.shape.gated else None, self.matrix(name))
        return round(math.log2(after / before)) if before > 0 and after > 0 else 0

    @cached_property
    def rotation(self) -> Floats:
        """Q."""
        return np.ldexp(rotation(self.shape.hidden, _BITS).astype(np.float32), -_BITS)

    def embed(self, ids: NDArray[np.int64], texts: Sequence[Sequence[int]]) -> None:
        square, steps = self.settings.embedding_square, self.steps("embed")
        self.found: dict[str, list[int]] = {}
        self.x = self.rows("embed", ids) @ self.rotation.T * np.float32(math.sqrt(square))
        alive = steps[steps > LOWEST_STEP]
        if not len(alive):
            raise ProverError("inference: an embedding of zeros")
        lifted = multiple_high(square, ROTATED_MULTIPLE) - int(alive.max())
        if lifted + int(alive.min()) < 0:
            raise ProverError("inference: rows of the embedding are too different in size")
        largest = unit_for(1 << self.bits, peak(self.x), WIDE_MARGIN)
        self.first = self.unit = min(FINEST_STREAM, largest, ROW_UNIT + lifted)
        self.more |= {"lifted": lifted}

    def note(self, name: str, unit: int) -> int:
        """Put down a unit, of attention or of the FFN."""
        self.found.setdefault(name, []).append(unit)
        return unit

    def pairs(self) -> dict[str, Any]:
        found = {name: (units[0], units[1]) for name, units in self.found.items()}
        self.found = {}
        return found

    def gain(self, name: str) -> tuple[Floats, int]:
        """A gain and its step."""
        return real_sum(self.weights, name + GAIN).astype(np.float32), int(self.steps(name + GAIN)[0])

    def reading(self, name: str) -> Floats:
        gain, step = self.gain(name)
        found: Floats = self.normed() * gain
        gained = min(unit_for(WIDE_CLAMP, peak(found)), lifted_unit(step, self.size.limb))
        # the stream times the gain, at the unit of the stream and `gained` less that of norms
        product = unit_for(1 << self.size.narrow, peak(self.x * gain), WIDE_MARGIN)
        gained = min(gained, product - self.unit + NORM_UNIT)
        found = np.asarray(found @ self.rotation, np.float32)
        d = self.shape.hidden
        bits = rotation_bits(d, WIDE_CLAMP * (isqrt(d) + 1))
        self.reads = min(unit_for(read_clamp(d), peak(found)), gained + bits)
        units = {"gained": gained, "read_gain": step, "read": self.reads}
        if name == "head":
            self.more |= {"final": tuple(units.values())}
        else:
            for unit, value in units.items():
                self.note(unit, value)
        return found

    def write(self, name: str, y: Floats, unit: int, outliers: Outliers = ()) -> int:
        found, (gain, step) = self.product(name, y), self.gain(name)
        self.note("written", min(unit - LIMB, unit_for(1 << self.size.narrow, peak(found), WIDE_MARGIN)))
        half_octaves = self.note("scaled", self.scaled(name))
        epsilon = float(self.settings.epsilon) * 2.0**half_octaves
        found = np.asarray(unit_rows(found, epsilon) @ self.rotation.T * gain, np.float32)
        self.x += found
        largest = unit_for(1 << self.bits, peak(found), WIDE_MARGIN)
        apart = _ROOM - self.bits
        branch = self.note("branch", min(largest, NORM_UNIT + GAIN_BITS - step, self.unit + apart))
        if branch < self.unit - apart:
            raise ProverError(f"inference: {name} adds far more to the stream than it had")
        self.note("write_gain", step)
        self.unit = min(self.unit, unit_for(1 << self.bits, peak(self.x), WIDE_MARGIN))
        return self.unit
