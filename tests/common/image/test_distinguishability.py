"""The embedded generator keeps what it was made for: related models look alike, and strangers never do."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.distinguishability import KINDS, LADDER, distances, ladder  # noqa: E402
from huref.common.image.registry import embedded  # noqa: E402


@pytest.mark.slow
def test_related_and_unrelated_pictures_do_not_overlap() -> None:
    rng = np.random.default_rng(77)
    related = distances([0.95] * 9, rng, embedded())
    unrelated = distances([0.15, -0.15] + [0.0] * 7, rng, embedded())
    for kind in KINDS:
        assert related[kind].max() < unrelated[kind].min()


@pytest.mark.slow
def test_distance_grows_as_the_cosine_falls() -> None:
    steps = ladder(2, np.random.default_rng(78), embedded())
    for kind in KINDS:
        means = steps[kind].mean(0)
        assert means.shape == (len(LADDER),) and (np.diff(means) > 0).all()
