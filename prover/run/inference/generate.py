"""Greedy answers of the integer program, token by token, of several prompts at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.evaluate import Weights
from huref.circuits.inference.facts import Facts
from huref.circuits.inference.sites import InferenceProgram, Mix, Scores
from huref.circuits.inference.trace import Past
from huref.prover.run.inference.executor import FastEvaluator


def generate(
    shape: ModelShape,
    facts: Facts,
    weights: Weights,
    prompts: Sequence[Sequence[int]],
    count: int,
    progress: Callable[[str], None] | None = None,
) -> list[list[int]]:
    """For every prompt the `count` tokens with the largest logits behind it, the first of equal ones.

    Raises:
        ProverError: a value that no proof can hold.
    """
    past = [Past() for _ in prompts]
    made: list[list[int]] = [[] for _ in prompts]
    new = [list(prompt) for prompt in prompts]
    programs: dict[tuple[int, ...], InferenceProgram] = {}
    for step in range(count):
        lengths = tuple(map(len, new))
        if lengths not in programs:
            programs[lengths] = compile_inference(shape, facts, *lengths)
        program = programs[lengths]
        run = FastEvaluator(program, weights, list(chain.from_iterable(new)), past)
        values = run.run().values
        _remember(run, past)
        ends = np.cumsum(program.lengths) - 1
        last = values[program.logits][ends]
        new = [[int(best)] for best in last.argmax(axis=1)]
        for own, token in zip(made, new, strict=True):
            own += token
        if progress is not None:
            progress(f"token {step + 1} of {count}")
    return made


def _remember(run: FastEvaluator, past: Sequence[Past]) -> None:
    """Add the turned keys and the values of a run's tokens to what each sequence has before the next ones."""
    kept = [
        site.key if isinstance(site, Scores) else site.value
        for site in run.program.sites
        if isinstance(site, Scores | Mix)
    ]
    for start, length, before in run.places:
        for name in kept:
            own = run.value(name)[start : start + length]
            old = before.values.get(name)
            before.values[name] = own if old is None else np.concatenate([old, own])
        before.tokens += length
