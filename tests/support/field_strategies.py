"""Hypothesis strategies for field elements that favour the edges of the representation."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from huref.common.algebra.field import P

EDGES = [0, 1, 2, P - 1, P - 2, (P - 1) // 2, (P + 1) // 2, 32768, P - 32768, (1 << 32) % P, 31]

base_elements = st.one_of(st.sampled_from(EDGES), st.integers(0, P - 1))


def base_arrays(min_size: int = 1, max_size: int = 40) -> st.SearchStrategy[np.ndarray]:
    """F arrays of shape (n,)."""
    return st.lists(base_elements, min_size=min_size, max_size=max_size).map(
        lambda values: np.array(values, dtype=np.uint64)
    )


def k_arrays(min_size: int = 1, max_size: int = 20) -> st.SearchStrategy[np.ndarray]:
    """K arrays of shape (n, 5)."""
    limbs = st.lists(base_elements, min_size=5, max_size=5)
    return st.lists(limbs, min_size=min_size, max_size=max_size).map(
        lambda values: np.array(values, dtype=np.uint64)
    )


def k_pairs(max_size: int = 20) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Two K arrays of one shape (n, 5)."""
    return k_arrays(2, 2 * max_size).map(lambda a: (a[: len(a) // 2], a[-(len(a) // 2) :]))


def random_k(rng: np.random.Generator, n: int) -> np.ndarray:
    """Random K array (n, 5), about a quarter of whose limbs are edge values."""
    values = rng.integers(0, P, (n, 5), dtype=np.uint64)
    edges = rng.choice(np.array(EDGES, dtype=np.uint64), (n, 5))
    return np.where(rng.random((n, 5)) < 0.25, edges, values)
