"""Lookup tables, each named by all of its parameters (protocol §6.5).

Kinds, with parameters and the tuples they hold in order of the table index:
- clamp (H, C, low): h ∈ [−H, H) → (h, min(max(h, low), C))
- absclamp (H, C, low): h → (h, |min(max(h, low), C)|)
- abs (C, low): out ∈ [low, C] → (out, |out|)
- remainder (s₁, s₂, …): all (s, ℓ) with 0 ≤ ℓ < 2^s, shift after shift
- digits (bits, g): all g-tuples of signed `bits`-bit integers
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["abs", "absclamp", "clamp", "digits", "remainder"]


@dataclass(frozen=True)
class Line:
    """A tuple component on table entries start … stop − 1: slope · index + offset."""

    start: int
    stop: int
    slope: int
    offset: int


@dataclass(frozen=True, order=True)
class Table:
    """A lookup table by kind and parameters; equal keys are one table."""

    kind: Kind
    parameters: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of entries."""
        match self.kind:
            case "clamp" | "absclamp":
                return 2 * self.parameters[0]
            case "abs":
                return self.parameters[0] - self.parameters[1] + 1
            case "digits":
                return 1 << self.parameters[0] * self.parameters[1]
            case "remainder":
                return sum(1 << shift for shift in self.parameters)

    @property
    def arity(self) -> int:
        """Length of the tuples."""
        return self.parameters[1] if self.kind == "digits" else 2

    def columns(self, start: int = 0, stop: int | None = None) -> tuple[NDArray[np.int32], ...]:
        """Every tuple component for entries start … stop − 1 (all by default), each shape (stop − start,)."""
        index = np.arange(start, self.size if stop is None else stop, dtype=np.int32)
        match self.kind:
            case "clamp" | "absclamp":
                height, clamp, low = self.parameters
                h = index - np.int32(height)
                out = np.clip(h, low, clamp)
                return h, (np.abs(out) if self.kind == "absclamp" else out)
            case "abs":
                value = index + np.int32(self.parameters[1])
                return value, np.abs(value)
            case "digits":
                bits, count = self.parameters
                mask, half = (1 << bits) - 1, 1 << (bits - 1)
                return tuple((index >> bits * (count - 1 - m) & mask) - half for m in range(count))
            case "remainder":
                starts = np.cumsum([0, *(1 << shift for shift in self.parameters)], dtype=np.int32)
                run = np.searchsorted(starts, index, side="right") - 1
                return np.array(self.parameters, np.int32)[run], index - starts[run]

    def lines(self) -> tuple[list[Line], ...]:
        """Every tuple component as straight pieces over the table index; not for digit tables."""
        match self.kind:
            case "clamp" | "absclamp":
                height, clamp, low = self.parameters
                first, last = height + low, height + clamp  # where clamping stops and starts again
                ends = [Line(0, first, 0, low), Line(last, self.size, 0, clamp)]
                inside = Line(first, last, 1, -height)
                out = [ends[0], inside, ends[1]]
                if self.kind == "absclamp":
                    out = [
                        Line(0, first, 0, -low),
                        Line(first, height, -1, height),
                        Line(height, last, 1, -height),
                        ends[1],
                    ]
                return [Line(0, self.size, 1, -height)], out
            case "abs":
                low = self.parameters[1]
                magnitude = [Line(0, -low, -1, -low), Line(-low, self.size, 1, low)]
                return [Line(0, self.size, 1, low)], magnitude
            case "remainder":
                shifts, remainders, start = [], [], 0
                for shift in self.parameters:
                    stop = start + (1 << shift)
                    shifts.append(Line(start, stop, 0, shift))
                    remainders.append(Line(start, stop, 1, -start))
                    start = stop
                return shifts, remainders
            case "digits":
                raise ValueError("digits are not straight in the table index")

    def index(self, values: tuple[NDArray[np.int32] | int, ...]) -> NDArray[np.int64]:
        """Table index of honest tuples, from the components that determine it (no check)."""
        match self.kind:
            case "clamp" | "absclamp":
                return np.asarray(values[0], np.int64) + self.parameters[0]
            case "abs":
                return np.asarray(values[0], np.int64) - self.parameters[1]
            case "digits":
                bits = self.parameters[0]
                index = np.zeros(1, np.int64)
                for value in values:
                    index = (index << bits) + (np.asarray(value, np.int64) + (1 << (bits - 1)))
                return index
            case "remainder":
                shift, remainder = values
                start = sum(1 << s for s in self.parameters if s < int(shift))
                return np.asarray(remainder, np.int64) + start
