"""Where all logits are alike every token is a largest one: what is claimed of how likely it is tells that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.support.inference_runs import make_run
from tests.support.relations import Checker


def test_a_head_of_zeros_gives_every_token_and_says_how_unlikely_each_is() -> None:
    run = make_run(gap=0)
    vocabulary, count = run.shape.vocab, len(run.claims.tokens)
    flat = replace(run, weights={**run.weights, "head": np.zeros_like(run.weights["head"])})
    tokens = tuple((token + 1) % vocabulary for token in run.claims.tokens)
    claims = flat.claimed(tokens, (0,) * count)
    assert claims.odds == (4 * vocabulary * count,)
    flat = replace(flat, claims=claims)
    assert flat.wrong() == []
    better = replace(flat, claims=replace(claims, odds=run.claims.odds))
    assert Checker(better.relations, flat.found, flat.weights).wrong() == ["odds.total"]
