"""The committed integers by name, as the executors take them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from huref.circuits.model.tensors import STEP
from huref.prover.canonical.steps import Rounded


def integer_weights(stream: Iterable[Rounded]) -> dict[str, NDArray[np.int8]]:
    """Every tensor, and its steps (1 × rows) under its name with ".step"."""
    weights: dict[str, NDArray[np.int8]] = {}
    for rounded in stream:
        weights[rounded.name] = rounded.values
        weights[rounded.name + STEP] = rounded.steps[None]
    return weights
