"""Which terms a model has, in sentences, where its layers are not all one attention and one FFN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huref.circuits.fingerprint.shape import ModelShape

RARE = ("blocks", "other_mixers")
"""Fields of such a shape: the owner's words, since every term sums over all layers and experts."""


def terms_read(said: Mapping[str, Any]) -> list[str]:
    """What the terms sum over, by the shape of a statement that was checked; nothing where all layers are alike."""
    shape = ModelShape.from_dict(said)
    if not shape.blocks:
        return []
    return [
        f"Its terms qk and vo sum over {len(shape.attending) * shape.q_rows} rows of heads and its term ud over "
        f"{shape.neurons} neurons, those of all layers and all experts together."
    ]


def layers_said(said: Mapping[str, Any]) -> list[str]:
    """How these divide into layers, and what the commitment leaves out."""
    shape = ModelShape.from_dict(said)
    lines = []
    if shape.blocks:
        experts = sorted({block.experts for block in shape.blocks if block.experts})
        mixtures = sum(block.experts > 0 for block in shape.blocks)
        among = " to ".join(map(str, (experts[0], *experts[1:][-1:]))) if experts else ""
        lines.append(
            f"How these rows divide into layers: {len(shape.attending)} have attention, {len(shape.feeding)} neurons, "
            f"{mixtures} are mixtures{f' of {among} routed experts' if experts else ''}. Routers are committed; no "
            "term reads them."
        )
    if shape.other_mixers:
        lines.append(
            "What mixes tokens beside attention (state-space blocks, convolutions, linear attention): it is not "
            "committed, and no term depends on it."
        )
    return lines
