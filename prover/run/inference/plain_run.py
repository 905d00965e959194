"""The same run where norms stand behind attention and FFN: the stream is not rotated (docs/inference.md §4, §5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huref.circuits.inference.limits import (
    LIMB,
    NORM_UNIT,
    WIDE_CLAMP,
    lift_high,
    read_clamp,
    rotation_bits,
)
from huref.circuits.inference.plain import GAIN_BITS, ROW_UNIT, lifted_unit
from huref.circuits.model.rotation import rotation
from huref.circuits.model.tensors import GAIN, LOWEST_STEP
from huref.common.errors import ProverError
from huref.prover.run.inference.float_run import (
    FINEST_STREAM,
    WIDE_MARGIN,
    FloatRun,
    Floats,
    peak,
    unit_for,
    unit_rows,
)
from huref.prover.run.inference.weights import real_sum

_BITS = 14
_ROOM = 28
"""The bits that stream and branch may have where they are added at the finer of their units."""


class PlainRun(FloatRun):
    """Gains and rotations between the stream and what matrices see."""

    def rotation(self) -> Floats:
        """Q."""
        return np.ldexp(rotation(self.shape.hidden, _BITS).astype(np.float32), -_BITS)

    def embed(self, ids: NDArray[np.int64], texts: Sequence[Sequence[int]]) -> None:
        square, steps = self.settings.embedding_square, self.steps("embed")
        self.found: dict[str, list[int]] = {}
        self.x = self.rows("embed", ids) @ self.rotation().T * np.float32(math.sqrt(square))
        alive = steps[steps > LOWEST_STEP]
        if not len(alive):
            raise ProverError("inference: an embedding of zeros")
        lifted = lift_high(square) - int(alive.max())
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
        found = np.asarray(found @ self.rotation(), np.float32)
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

    def write(self, name: str, y: Floats, unit: int) -> int:
        found, (gain, step) = self.product(name, y), self.gain(name)
        self.note("written", min(unit - LIMB, unit_for(1 << self.size.narrow, peak(found), WIDE_MARGIN)))
        found = np.asarray(unit_rows(found, 0) @ self.rotation().T * gain, np.float32)
        self.x += found
        largest = unit_for(1 << self.bits, peak(found), WIDE_MARGIN)
        apart = _ROOM - self.bits
        branch = self.note("branch", min(largest, NORM_UNIT + GAIN_BITS - step, self.unit + apart))
        if branch < self.unit - apart:
            raise ProverError(f"inference: {name} adds far more to the stream than it had")
        self.note("write_gain", step)
        self.unit = min(self.unit, unit_for(1 << self.bits, peak(self.x), WIDE_MARGIN))
        return self.unit
