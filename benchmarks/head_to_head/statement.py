"""The statement every system proves: M = (X Wq)(X Wk)ᵀ, pooled to 32 outputs.

X is K × d, both weights d × d, with K = d = `size`. Output o pools the entries of M, in row-major order, from
o·K²/32 up to (o+1)·K²/32. The same seeded int8 inputs go to every system.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

POOLED = 32
DEVIATION = 20


def inputs(size: int, seed: int = 0) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int8]]:
    """X, Wq and Wk, each (size, size): rounded Gaussians within [−127, 127]."""
    rng = np.random.default_rng(seed)
    x, wq, wk = np.clip(np.rint(rng.standard_normal((3, size, size)) * DEVIATION), -127, 127).astype(np.int8)
    return x, wq, wk


def pooled_sums(x: NDArray[np.int8], wq: NDArray[np.int8], wk: NDArray[np.int8]) -> NDArray[np.int64]:
    """The exact sums (32,) over each pool."""
    wide = x.astype(np.int64)
    product = (wide @ wq) @ (wide @ wk).T
    return np.asarray(product.reshape(POOLED, -1).sum(axis=1))


def cosine(given: NDArray[np.floating] | NDArray[np.integer], exact: NDArray[np.int64]) -> float:
    """How much of the exact result the proven output keeps: 1 where nothing was rounded."""
    a, b = given.astype(np.float64), exact.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))
