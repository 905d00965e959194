"""What prover and verifier of relations derive before the first message (protocol §13.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from huref.circuits.argument.proof import MAX_ROWS, weights_geometry
from huref.circuits.program.digest import canonical
from huref.circuits.relations.layout import RelationLayout, lay_out
from huref.circuits.relations.program import Relations
from huref.common.algebra.field import P
from huref.common.errors import Unsupported
from huref.common.params import Knobs, OpeningGeometry, opening_geometry


@dataclass(frozen=True)
class RelationSetup:
    """A program of relations with its geometry."""

    relations: Relations
    knobs: Knobs
    layout: RelationLayout
    geometry: OpeningGeometry

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of `configuration`; absorbed first, so that every public number is fixed before any challenge."""
        return hashlib.sha256(self.configuration().encode()).digest()

    def configuration(self) -> str:
        """Canonical JSON of program, knobs and geometry."""
        layout = self.layout
        lookups = [
            {
                "label": space.label,
                "runs": space.runs,
                "tables": space.tables,
                "tiles": space.tiles,
                "logs": [space.log_tiles, space.tile_rows],
            }
            for space in layout.spaces
        ]
        places = [layout.weights, layout.placed, layout.offsets, layout.length]
        rows = [layout.pads, layout.pad_start, layout.mask_start, layout.rows]
        return canonical([self.relations, self.knobs, self.geometry, lookups, places, rows])


def prepare_relations(relations: Relations, knobs: Knobs) -> RelationSetup:
    """Derive the geometry.

    Raises:
        Unsupported: more rows or lookups than one proof holds.
    """
    weights = weights_geometry(relations.stack, knobs)
    layout = lay_out(relations, weights.w)
    geometry = opening_geometry(weights, layout.rows, knobs)
    if max(space.entries for space in layout.spaces) >= P or geometry.length > MAX_ROWS:
        raise Unsupported(f"{geometry.length} committed rows and {layout.entries} lookups are too many")
    return RelationSetup(relations, knobs, layout, geometry)
