"""Greedy answers of the integer program, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.claim import odds_of
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.evaluate import Ints, Weights
from huref.circuits.inference.facts import Facts
from huref.circuits.inference.sites import Mix, Scores
from huref.prover.run.inference.executor import FastEvaluator


def generate(
    shape: ModelShape,
    facts: Facts,
    weights: Weights,
    prompt: Sequence[int],
    count: int,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[int], int]:
    """The `count` tokens with the largest logits behind `prompt`, the first of equal ones, and their odds
    (`huref.circuits.inference.claim.odds_of`) in all.

    Raises:
        ProverError: a value that no proof can hold.
    """
    past: dict[str, Ints] = {}
    made, new, start, found = list[int](), list(prompt), 0, 0
    while len(made) < count:
        program = compile_inference(shape, facts, len(new))
        run = FastEvaluator(program, weights, new, past, start)
        values = run.run().values
        for site in program.sites:
            name = site.key if isinstance(site, Scores) else site.value if isinstance(site, Mix) else None
            if name is not None:
                past[name] = np.concatenate([past[name], values[name]]) if name in past else values[name]
        start += len(new)
        last = values[program.logits][-1]
        found += int(odds_of((last.max() - last)[None], facts.logits)[0])
        new = [int(last.argmax())]
        made += new
        if progress is not None:
            progress(f"token {len(made)} of {count}")
    return made, found
