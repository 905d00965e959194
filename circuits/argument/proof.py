"""What a proof is about: the public inputs, and the geometry that follows from them (protocol §2, §5)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from huref.circuits.argument.layout import Layout, build_layout
from huref.circuits.argument.placed import place_weights
from huref.circuits.program.bounds import table_height
from huref.circuits.program.digest import canonical
from huref.circuits.program.program import Program, Weight
from huref.common.algebra.field import P
from huref.common.errors import Malformed, Unsupported
from huref.common.params import (
    Knobs,
    OpeningGeometry,
    WeightGeometry,
    choose_rate,
    choose_width,
    opening_geometry,
    weight_geometry,
)

MAX_ROWS = 1 << 27
"""Largest k'_W + k'_A. A verifier's memory grows with the rows of the tensors, not with these, but both are one in a
hostile statement whose tensors are no wider than w: about 100 bytes a row.
"""


@dataclass(frozen=True)
class PublicInputs:
    """Per site the shift and its calibration sums (L_s, L_{s−1} or None at s = 0), and the vector v."""

    shifts: Mapping[str, int]
    sums: Mapping[str, tuple[int, int | None]]
    v: Sequence[int]


@dataclass(frozen=True)
class Setup:
    """Everything that prover and verifier derive from the statement before the first message."""

    program: Program
    public: PublicInputs
    knobs: Knobs
    layout: Layout
    geometry: OpeningGeometry

    def digest(self) -> bytes:
        """SHA-256 of `configuration`; absorbed first.

        Program and public inputs are in it, so that no challenge can be drawn before they are fixed, whatever
        the statement's bytes say.
        """
        return hashlib.sha256(self.configuration().encode()).digest()

    def configuration(self) -> str:
        """Canonical JSON of all of the above and of what was derived (protocol §5.1)."""
        layout = self.layout
        geometry = {
            "opening": self.geometry,
            "sites": {name: [s.shift, s.height, s.out.start, s.tile] for name, s in layout.sites.items()},
            "weights": layout.weights,
            "lookups": [
                {
                    "label": space.label,
                    "tables": space.tables,
                    "digits": space.weight_blocks,
                    "tiles": space.tiles,
                    "logs": [space.log_tiles, space.tile_rows],
                }
                for space in layout.spaces
            ],
            "inner": [layout.inner, layout.log_inner],
            "rows": [layout.pads, layout.pad_start, layout.mask_start, layout.rows],
        }
        return canonical([self.program, self.public, self.knobs, geometry])


def weights_geometry(committed: Sequence[Weight], knobs: Knobs) -> WeightGeometry:
    """Geometry of the weights' commitment, a function of the tensors' shapes alone."""
    tensors = [(weight.rows, weight.cols) for weight in committed]
    rate_inv = choose_rate(sum(rows * cols for rows, cols in tensors), knobs)
    w = choose_width(tensors, rate_inv, knobs)
    _, rows = place_weights(committed, w)
    return weight_geometry(rows, w, rate_inv, knobs)


def prepare(program: Program, public: PublicInputs, knobs: Knobs) -> Setup:
    """Check the public inputs' form and derive the geometry.

    Raises:
        Malformed: a missing or impossible shift, a sum that breaks the canonical-shift rule, v out of bounds.
        Unsupported: more rows than `MAX_ROWS`, or p lookups or more, whose multiplicities could wrap.
    """
    numbers = [*public.shifts.values(), *(x for pair in public.sums.values() for x in pair), *public.v]
    if any(type(x) is not int and x is not None for x in numbers):
        raise Malformed("shifts, calibration sums and v must be integers")
    heights = {}
    if set(public.shifts) != set(program.site) or set(public.sums) != set(program.site):
        raise Malformed("shifts and calibration sums must be given for exactly the program's sites")
    for site in program.sites:
        shift = public.shifts[site.name]
        if not 0 <= shift <= 30:
            raise Malformed(f"{site.name}: shift {shift} is not between 0 and 30")
        heights[site.name] = table_height(site.bound, shift)
        if heights[site.name] < 4 * site.clamp:
            raise Malformed(f"{site.name}: no sound clamp table at shift {shift}")
        coarse, fine = public.sums[site.name]
        limit = site.target * site.calibration_rows * site.cols
        if not 0 <= coarse < limit:
            raise Malformed(f"{site.name}: calibration sum {coarse} is not below {limit}: shift too small")
        if (fine is None) != (shift == 0):
            raise Malformed(f"{site.name}: a finer calibration sum belongs to every shift but 0")
        if fine is not None and not limit <= fine <= site.calibration_rows * site.cols * site.clamp:
            raise Malformed(
                f"{site.name}: calibration sum {fine} at shift − 1: the shift is not the smallest"
            )
    if len(public.v) != program.length or any(abs(x) > program.output.bound for x in public.v):
        raise Malformed(
            f"v must be {program.length} integers of absolute value at most {program.output.bound}"
        )
    weights = weights_geometry(program.committed, knobs)
    layout = build_layout(program, public.shifts, heights, weights.w)
    geometry = opening_geometry(weights, layout.rows, knobs)
    if max(space.entries for space in layout.spaces) >= P or geometry.length > MAX_ROWS:
        raise Unsupported(f"{geometry.length} committed rows and {layout.entries} lookups are too many")
    return Setup(program, public, knobs, layout, geometry)
