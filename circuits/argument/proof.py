"""What a proof is about: the public inputs, and the geometry that follows from them (protocol §2, §5)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from huref.circuits.argument.layout import Layout, build_layout
from huref.circuits.argument.placed import place_weights
from huref.circuits.program.bounds import site_height
from huref.circuits.program.digest import canonical
from huref.circuits.program.influence import Cap
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

MAX_OCTAVE = 1 << 9
"""No influence is larger: it is a sum of at most three bytes."""
MAX_ROWS = 1 << 27
"""Largest k'_W + k'_A. A verifier's memory grows with the rows of the tensors, not with these, but both are one in a
hostile statement whose tensors are no wider than w: about 100 bytes a row.
"""


@dataclass(frozen=True)
class PublicInputs:
    """Per site the shift and its calibration sums (L_s, L_{s−1} or None at s = 0), and the vector v; the cap of every
    row of multipliers and the two sums of every ratio, where the program has them.
    """

    shifts: Mapping[str, int]
    sums: Mapping[str, tuple[int, int | None]]
    v: Sequence[int]
    caps: Mapping[str, Cap] = field(default_factory=dict)
    ratios: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """Everything that prover and verifier derive from the statement before the first message."""

    program: Program
    public: PublicInputs
    knobs: Knobs
    layout: Layout
    geometry: OpeningGeometry

    @property
    def ratio_weights(self) -> dict[str, int]:
        """The integer that follows from every ratio's sums."""
        return {name: self.program.ratio[name].weight(sums) for name, sums in self.public.ratios.items()}

    @cached_property
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
            "influences": [layout.rows_of, layout.octaves],
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
        Malformed: a missing or impossible shift, a sum that breaks the canonical-shift rule, counts of influences
            that do not show a cap, v or a ratio's sum out of bounds.
        Unsupported: more rows than `MAX_ROWS`, or p lookups or more, whose multiplicities could wrap.
    """
    numbers = [*public.shifts.values(), *(x for pair in public.sums.values() for x in pair), *public.v]
    if any(type(x) is not int and x is not None for x in numbers):
        raise Malformed("shifts, calibration sums and v must be integers")
    check_measured(program, public)
    heights = {}
    if set(public.shifts) != set(program.site) or set(public.sums) != set(program.site):
        raise Malformed("shifts and calibration sums must be given for exactly the program's sites")
    for site in program.sites:
        shift = public.shifts[site.name]
        heights[site.name] = site_height(site, shift)
        coarse, fine = public.sums[site.name]
        count = site.cols
        if site.multipliers:
            count = max(1, public.caps[program.counting(site.multipliers).name].alive)
        limit = site.target * site.calibration_rows * count
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
    layout = build_layout(program, public.shifts, heights, weights.w, public.caps)
    geometry = opening_geometry(weights, layout.rows, knobs)
    if max(space.entries for space in layout.spaces) >= P or geometry.length > MAX_ROWS:
        raise Unsupported(f"{geometry.length} committed rows and {layout.entries} lookups are too many")
    return Setup(program, public, knobs, layout, geometry)


def check_measured(program: Program, public: PublicInputs) -> None:
    """Caps and ratios are there, and possible (protocol §3.6). Raises `Malformed`."""
    if set(public.caps) != set(program.influence) or set(public.ratios) != set(program.ratio):
        raise Malformed("caps and ratios must be given for exactly the program's influences and ratios")
    for name, cap in public.caps.items():
        counts = (cap.above, cap.at, cap.alive)
        if any(type(x) is not int for x in (*counts, cap.octave)) or list(counts) != sorted(counts):
            raise Malformed(f"{name}: counts of influences must be integers, each at most the one before")
        if cap.above < 0 or cap.alive > program.influence[name].cols:
            raise Malformed(f"{name}: counts of influences must be 0 to {program.influence[name].cols}")
        if not cap.canonical(program.influence[name].quarters) or abs(cap.octave) > MAX_OCTAVE:
            raise Malformed(f"{name}: octave {cap.octave} is not where the cap of the influences lies")
    for name, sums in public.ratios.items():
        if any(type(x) is not int or 2 * abs(x) >= P for x in sums) or sums[1] < 0:
            raise Malformed(
                f"{name}: the sums of a ratio must be integers below p/2, the second not negative"
            )
