"""The committed integers by name, as the executors take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from huref.circuits.model.tensors import BIAS, STEP, kind_of
from huref.prover.canonical.steps import Rounded


def integer_weights(stream: Iterable[Rounded]) -> dict[str, NDArray[np.int8]]:
    """Every tensor, and its steps (1 × rows) under its name with ".step"."""
    weights: dict[str, NDArray[np.int8]] = {}
    for rounded in stream:
        weights[rounded.name] = rounded.values
        weights[rounded.name + STEP] = rounded.steps[None]
    return weights


def real_sum(weights: Mapping[str, NDArray[np.int8]], name: str) -> NDArray[np.float64]:
    """The real numbers (cols,) that the rows of a gain or of a bias's digits add up to."""
    steps = weights[name + STEP].reshape(-1).astype(np.int32)
    return np.asarray(np.ldexp(weights[name].astype(np.float64), steps[:, None]).sum(axis=0))


def real_bias(weights: Mapping[str, NDArray[np.int8]], name: str) -> NDArray[np.float64]:
    """The bias of a matrix (circuits/model/tensors.py), real numbers; of what is read it counts steps of its row."""
    real = real_sum(weights, name + BIAS)
    if kind_of(name) in ("o", "down"):
        return real
    return np.ldexp(real, weights[name + STEP].reshape(-1).astype(np.int32))
