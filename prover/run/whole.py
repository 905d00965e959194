"""A whole model's integers, from the checkpoint to where they are committed."""

from __future__ import annotations

from collections.abc import Callable

from huref.circuits.model.tensors import STEP
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import Model
from huref.prover.commitment.stacked import StackedWeights


def fill_whole(model: Model, space: StackedWeights, progress: Callable[[str], None] | None = None) -> None:
    """Write every tensor and its steps into `space`, tensor after tensor; the checkpoint is read once.

    Raises:
        Malformed: a tensor is missing, or holds NaN or infinity; names it. Unsupported: the model has another layout.
    """
    for tensor in whole_model(model):
        space.fill(tensor.name, tensor.values)
        space.fill(tensor.name + STEP, tensor.steps[None])
        if progress is not None:
            progress(tensor.name)
