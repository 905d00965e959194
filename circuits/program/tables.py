"""Lookup tables, each named by all of its parameters (protocol §6.5).

Kinds, with parameters and the tuples they hold in order of the table index:
- clamp (H, C, low): h ∈ [−H, H) → (h, min(max(h, low), C))
- absclamp (H, C, low): h → (h, |min(max(h, low), C)|)
- abs (C, low): out ∈ [low, C] → (out, |out|)
- remainder (s₁, s₂, …): all (s, ℓ) with 0 ≤ ℓ < 2^s, shift after shift
- digits (bits, g): all g-tuples of signed `bits`-bit integers
- scaled (H, C, b, μ₁, μ₂, …): for every μ, h ∈ [−H, H) → (h, μ, ⌊(h·μ + 2^(b−1)) / 2^b⌋ brought into [−C, C])
- absscaled (H, C, b, μ₁, …): the same with the absolute value of the last
- octaves (n, m, r, b, low, high): x ∈ [low, high] → (x, μ), where μ is `octaves` of x with octave m and root r;
  octaves (n, m, r, b, low, high, y₁, y₂, …): for every y → (x, y, μ), where `lost` of y is added to x first
- shares (n, y₁, y₂, …): for every y, a ∈ [0, n] → (a, y, `shared` of y and a)
- bounds (n, r, u, y₁, y₂, …): for every y, a ∈ [0, n] → (a, y, `bounded` of y and a with root r and unit u)
- likeness (H, F, C): h ∈ [−H, H) → (h, C·(h/F)^4, rounded, with h brought into [0, F])
- those of wide_tables.py
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from huref.circuits.program import wide_tables
from huref.circuits.program.influence import bounded, likeness, lost, octaves, shared

Kind = Literal[
    "abs", "absclamp", "absscaled", "bounds", "clamp", "digits", "likeness", "octaves", "remainder", "scaled", "shares",
    "limbs", "power", "coarse", "powers", "quads", "reciprocals", "roots", "shifted", "silu",
    "gelu", "gelu_tanh", "scales", "odds", "multiples", "joined", "score_caps", "logit_caps",
]  # fmt: skip


@lru_cache(maxsize=64)
def _wide(kind: Kind, parameters: tuple[int, ...]) -> wide_tables.Kind:
    return wide_tables.KINDS[kind][1](*parameters)


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
            case "clamp" | "absclamp" | "likeness":
                return 2 * self.parameters[0]
            case "shares" | "bounds":
                return (self.parameters[0] + 1) * len(self._before)
            case "scaled" | "absscaled":
                return 2 * self.parameters[0] * len(self.parameters[3:])
            case "octaves":
                low, high, *gates = self.parameters[4:]
                return (high - low + 1) * max(1, len(gates))
            case "abs":
                return self.parameters[0] - self.parameters[1] + 1
            case "digits":
                return 1 << self.parameters[0] * self.parameters[1]
            case "remainder":
                return sum(1 << shift for shift in self.parameters)
            case _:
                return _wide(self.kind, self.parameters).size

    @property
    def arity(self) -> int:
        """Length of the tuples."""
        if self.kind == "digits":
            return self.parameters[1]
        if self.kind in wide_tables.KINDS:
            return wide_tables.KINDS[self.kind][0]
        gated = self.kind == "octaves" and len(self.parameters) > 6
        return 3 if gated or self.kind in ("scaled", "absscaled", "shares", "bounds") else 2

    @property
    def straight(self) -> bool:
        """Whether `lines` describes it in a few pieces."""
        return self.kind in ("abs", "absclamp", "clamp", "remainder")

    def columns(self, start: int = 0, stop: int | None = None) -> tuple[NDArray[np.int32], ...]:
        """Every tuple component for entries start … stop − 1 (all by default), each shape (stop − start,)."""
        index = np.arange(start, self.size if stop is None else stop, dtype=np.int32)
        match self.kind:
            case "clamp" | "absclamp":
                height, clamp, low = self.parameters
                h = index - np.int32(height)
                out = np.clip(h, low, clamp)
                return h, (np.abs(out) if self.kind == "absclamp" else out)
            case "scaled" | "absscaled":
                height, clamp, bits, *values = self.parameters
                which, h = np.divmod(index, np.int32(2 * height))
                h, factor = h - np.int32(height), np.array(values, np.int32)[which]
                out = np.clip((h * factor + np.int32(1 << bits >> 1)) >> bits, -clamp, clamp)
                return h, factor, (np.abs(out) if self.kind == "absscaled" else out)
            case "likeness":
                height, full, clamp = self.parameters
                h = index - np.int32(height)
                return h, likeness(h, full, clamp).astype(np.int32)
            case "shares" | "bounds":
                which, number = np.divmod(index.astype(np.int64), self.parameters[0] + 1)
                divided = np.array(self._before, np.int64)[which]
                parts = (number, divided, self.divided(divided, number))
                return tuple(part.astype(np.int32) for part in parts)
            case "octaves":
                return self._octaves(index)
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
            case _:
                found = _wide(self.kind, self.parameters).columns(index.astype(np.int64))
                return tuple(column.astype(np.int32) for column in found)

    @property
    def _before(self) -> tuple[int, ...]:
        """The multipliers that a table of shares or bounds divides."""
        return self.parameters[1 if self.kind == "shares" else 3 :]

    def divided(self, before: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
        """The last components of a table of shares or bounds, given the others."""
        return (
            shared(before, count) if self.kind == "shares" else bounded(before, count, *self.parameters[1:3])
        )

    def influences(self) -> NDArray[np.int64]:
        """Of an octave table: the influence of every entry, (size,)."""
        number, gate = self._influence(np.arange(self.size, dtype=np.int32))
        return number + lost(gate, self.parameters[3])

    def _influence(self, index: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """x and y of entries; y is the largest there can be where the table has none."""
        bits, low, high, *gates = self.parameters[3:]
        which, place = np.divmod(index.astype(np.int64), high - low + 1)
        return place + low, np.array(gates or [1 << bits], np.int64)[which]

    def _octaves(self, index: NDArray[np.int32]) -> tuple[NDArray[np.int32], ...]:
        _, octave, root, bits = self.parameters[:4]
        number, gate = self._influence(index)
        found = octaves(number + lost(gate, bits), octave, root, bits)
        parts = (number, gate, found) if self.arity == 3 else (number, found)
        return tuple(part.astype(np.int32) for part in parts)

    def lines(self) -> tuple[list[Line], ...]:
        """Every tuple component as straight pieces over the table index; only if it is `straight`."""
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
            case _:
                raise ValueError(f"{self.kind} is not straight in the table index")

    def index(self, values: tuple[NDArray[np.int32] | int, ...]) -> NDArray[np.int64]:
        """Table index of honest tuples, from the components that determine it (no check)."""
        match self.kind:
            case "clamp" | "absclamp" | "likeness":
                return np.asarray(values[0], np.int64) + self.parameters[0]
            case "shares" | "bounds":
                which = np.searchsorted(np.array(self._before), np.asarray(values[1]))
                return which * np.int64(self.parameters[0] + 1) + np.asarray(values[0], np.int64)
            case "abs":
                return np.asarray(values[0], np.int64) - self.parameters[1]
            case "digits":
                bits = self.parameters[0]
                index = np.zeros(1, np.int64)
                for value in values:
                    index = (index << bits) + (np.asarray(value, np.int64) + (1 << (bits - 1)))
                return index
            case "scaled" | "absscaled":
                height, _, _, *factors = self.parameters
                which = np.searchsorted(np.array(factors), np.asarray(values[1]))
                return which * np.int64(2 * height) + np.asarray(values[0], np.int64) + height
            case "octaves":
                low, high, *gates = self.parameters[4:]
                place = np.asarray(values[0], np.int64) - low
                if not gates:
                    return place
                return np.searchsorted(np.array(gates), np.asarray(values[1])) * (high - low + 1) + place
            case "remainder":
                shift, remainder = values
                starts = np.cumsum([0, *(1 << s for s in self.parameters)])
                run = np.searchsorted(np.array(self.parameters), np.asarray(shift))
                return starts[run] + np.asarray(remainder, np.int64)
            case _:
                wide = tuple(np.asarray(value, np.int64) for value in values)
                return _wide(self.kind, self.parameters).index(wide)
