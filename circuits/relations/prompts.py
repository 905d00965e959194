"""The values that bind hidden prompts to what opens them, as a functional of what is committed (protocol §13.9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from huref.circuits.argument.functional import Claim, Columns, Functional
from huref.circuits.argument.runs import flat_term
from huref.circuits.relations.layout import RelationLayout
from huref.circuits.relations.program import Prompts
from huref.circuits.relations.weights import ONES
from huref.common.algebra.field import DEGREE, embed, kmul, kone, kouter, kpowers
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import Form

_INDEX = "index"


def prompts_claim(
    layout: RelationLayout, prompts: Prompts, point: KS, eta: KS, values: Sequence[KS], columns: Columns
) -> Claim:
    """Σ_s η^s·(Σ_j point^(j+1)·(id of token j of prompt s) + mask of s) = Σ_s η^s·values[s]."""
    into = Functional(columns)
    scales = kpowers(eta.array(), len(values))
    powers = kpowers(point.array(), max(prompts.lengths) + 1)[1:]
    rows = np.concatenate(
        [kmul(powers[:length], scale) for length, scale in zip(prompts.lengths, scales, strict=True)]
    )
    place, w = layout.placed[prompts.chosen.name], layout.w
    # the id of a row is Σ_c c·entry, and column c of block b is number b·w + c
    columns.add(_INDEX, embed(np.arange(w, dtype=np.uint64)))
    into.tensor(place, rows, embed(w * np.arange(place.blocks, dtype=np.uint64)), ONES)
    into.tensor(place, rows, kone((place.blocks,)), _INDEX)
    limbs = np.eye(DEGREE, dtype=np.uint64)
    flat_term(into, layout.placed[prompts.mask.name].start, kouter(scales, limbs).reshape(-1, DEGREE))
    total = sum((KS.from_array(s) * value for s, value in zip(scales, values, strict=True)), KS(0))
    return Claim("prompts", into, Form.public(total))
