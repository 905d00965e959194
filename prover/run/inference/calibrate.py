"""The public units of an inference program, from a run of the committed integers in float (docs/inference.md §5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.facts import MAX_SHIFT, SHIFTED, Facts
from huref.common.errors import ProverError
from huref.prover.run.inference.float_run import FloatRun, Weights
from huref.prover.run.inference.plain_run import PlainRun
from huref.prover.run.inference.products import OwnProducts
from huref.prover.run.inference.settings import Settings


def calibrate(
    shape: ModelShape,
    settings: Settings,
    weights: Weights,
    texts: Sequence[Sequence[int]],
    progress: Callable[[str], None] | None = None,
    own: OwnProducts | None = None,
) -> Facts:
    """Units for a model's committed integers, from a float run on token ids; `progress` hears of every layer.

    `own` tells how large what is written was before it was brought to one size; without it, it was of that size.

    Raises:
        ProverError: values so large or so small that no units fit.
    """
    if shape.output_norm:
        run: FloatRun = PlainRun(shape, settings, weights, texts, own)
    else:
        run = FloatRun(shape, settings, weights, texts)
    layers = []
    for n in range(shape.layers):
        if progress is not None:
            progress(f"layer {n + 1} of {shape.layers}")
        layers.append(run.layer(n))
    logits = run.logits()
    layers = run.settled(layers)
    for name, (low, high) in run.shifts.items():
        if low < 0 or high > MAX_SHIFT:
            raise ProverError(f"inference: secret shifts of {low} to {high} of {name} do not fit a table")
    return Facts(
        activation=settings.activation,
        epsilon=settings.epsilon,
        window=settings.window,
        embedding_square=settings.embedding_square,
        score_square=settings.score_square,
        score_cap=settings.score_cap,
        logit_cap=settings.logit_cap,
        embedding=run.first,
        logits=logits,
        shifts=tuple((name, run.shifts[name]) for name in SHIFTED if name in run.shifts),
        layers=tuple(layers),
        **run.more,
    )
