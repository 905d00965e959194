"""The values that bind hidden prompts to what opens them, from the committed integers (protocol §13.9)."""

from __future__ import annotations

import numpy as np

from huref.circuits.relations.program import Prompts
from huref.common.algebra.field import DEGREE, kpowers, kscale, ksum, to_field
from huref.common.algebra.kscalar import KS
from huref.prover.relations.values import Values


def prompt_values(values: Values, prompts: Prompts, point: KS) -> list[KS]:
    """Σ_j point^(j+1)·(id of token j) + mask, of every hidden prompt."""
    chosen = values.plain(prompts.chosen)
    index = np.arange(chosen.shape[1])
    ids = to_field(np.array([row.astype(np.int64) @ index for row in chosen]))
    masks = values.flat(prompts.mask).reshape(-1, DEGREE)
    powers = kpowers(point.array(), max(prompts.lengths) + 1)[1:]
    ends, found = np.cumsum(prompts.lengths), []
    for own, mask in zip(np.split(ids, ends[:-1]), masks, strict=True):
        found.append(KS.from_array(ksum(kscale(powers[: len(own)], own))) + KS(mask.tolist()))
    return found
