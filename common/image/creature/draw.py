"""The embedded generator `creatures`: v in, a portrait of a paper-cut animal out, the same bytes everywhere.

v --standardize--> z --signed Hadamard rows--> projections --bounded--> traits --parts--> 512 x 512 pixels
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from huref.common.image.creature.body import paint_body, paint_mane, paint_scarf
from huref.common.image.creature.coat import MODES, RINGS, Coat, Head, paint_fur
from huref.common.image.creature.curves import ellipse
from huref.common.image.creature.ears import paint_ears, paint_horns
from huref.common.image.creature.eyes import paint_eyes, paint_markings
from huref.common.image.creature.muzzle import paint_muzzle
from huref.common.image.creature.palette import coloured
from huref.common.image.creature.pen import Pen, px
from huref.common.image.creature.raster import SIZE, Canvas
from huref.common.image.creature.traits import NAMES, SEED, read_traits

VERSION = 1
REFERENCE = "ba60a6424c93ba135deb93bc8338fa941b347acfd7c1a8b44291c7e1f5d8040f"
"""sha256 of the pixels of `reference_latent`: part of the digest, so a change of the drawing changes its name."""


@dataclass(frozen=True)
class Creatures:
    """The renderer as a generator; it has no weights but its pinned tables."""

    name: str = "creatures"
    licence: str = "Drawn by huref's own renderer; MIT licence of huref, no third-party artwork."
    resolution: int = SIZE

    @cached_property
    def digest(self) -> str:
        """sha256 of the version, the pinned tables and the reference picture."""
        tables = {
            "format": "huref-creatures",
            "version": VERSION,
            "seed": SEED.decode(),
            "traits": NAMES,
            "modes": MODES,
            "rings": RINGS,
            "reference": REFERENCE,
        }
        encoded = json.dumps(tables, sort_keys=True, separators=(",", ":")).encode()
        return hashlib.sha256(encoded).hexdigest()


def reference_latent() -> NDArray[np.int64]:
    """512 integers of spread about one, in 12 fractional bits, from a pinned stream."""
    stream = np.frombuffer(hashlib.shake_256(b"huref-creatures-reference").digest(2048), dtype=np.uint8)
    return (stream.reshape(512, 4).astype(np.int64).sum(1) - 510) * 4096 // 148


def draw_creature(z: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Picture (512, 512, 3) of a standardized latent with 12 fractional bits, of 512 numbers or more than 128.

    Raises ValueError for a latent with too few directions.
    """
    t = read_traits(z)
    canvas = Canvas(coloured(t.of("wall", 130, 214), t.raw("wall_warm"), t.raw("wall_green"), 130))
    pen = Pen(canvas, t)
    disc = coloured(t.of("disc", 120, 235), t.raw("disc_warm"), t.raw("disc_green"), 160)
    low = coloured(t.of("disc_low", 120, 235), t.raw("disc_warm"), t.raw("disc_green"), 160)
    canvas.fill(pen.on_picture(ellipse(px(256), px(262), px(218), px(218), count=128)), disc, low)
    head, coat = Head(pen), Coat(pen)
    paint_body(pen, head, coat)
    paint_scarf(pen, head)
    paint_mane(pen, head)
    paint_horns(pen, head)
    paint_ears(pen, head)
    paint_fur(pen, head, coat)
    paint_markings(pen, head)
    paint_eyes(pen)
    paint_muzzle(pen)
    return canvas.picture()
