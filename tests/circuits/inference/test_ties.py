"""A limit that every verdict on an answer names (huref.verifier.inference.TIES): equal logits leave no gap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref.circuits.inference.relate_head import Claims
from huref.common.errors import ProverError
from tests.support.inference_runs import make_run


def test_a_head_of_zeros_gives_every_token_and_another_does_not() -> None:
    run = make_run(gap=0)
    positions = run.claims.positions
    any_tokens = tuple((token + 1) % run.shape.vocab for token in run.claims.tokens)
    claims = Claims(positions, any_tokens, (0,) * len(positions))
    with pytest.raises(ProverError):
        _ = replace(run, claims=claims).found
    flat = {**run.weights, "head": np.zeros_like(run.weights["head"])}
    assert replace(run, weights=flat, claims=claims).wrong() == []
