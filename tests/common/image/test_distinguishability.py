"""The embedded generator keeps what it was made for: related models look alike, and strangers never do."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.distinguishability import LADDER, ladder, pairs  # noqa: E402
from benchmarks.picture_views import NAMES, high_frequencies, look  # noqa: E402
from huref.common.image.registry import embedded  # noqa: E402


@pytest.mark.slow
def test_related_and_unrelated_pictures_do_not_overlap() -> None:
    """In every view, crop and distance, strangers are 1.5 times as far apart as the farthest relatives."""
    related, unrelated, shares = pairs([0.95] * 4 + [0.96, 0.97, 0.98], np.random.default_rng(77), embedded())
    assert related.shape == unrelated.shape == (7, len(NAMES)) and len(NAMES) == 16
    ratios = unrelated.min(0) / related.max(0)
    assert ratios.min() >= 1.5, dict(zip(NAMES, ratios.round(2), strict=True))
    assert np.mean(shares) >= 0.04


@pytest.mark.slow
def test_distance_grows_as_the_cosine_falls() -> None:
    steps = ladder(2, np.random.default_rng(78), embedded())
    assert steps.shape == (2, len(LADDER), len(NAMES))
    assert (np.diff(steps, axis=1) > 0).all()


def test_views_see_what_they_should() -> None:
    rows, columns = np.indices((256, 256))
    checks = np.where((rows // 2 + columns // 2) % 2, 255, 0).astype(np.uint8)
    assert high_frequencies(np.repeat(checks[..., None], 3, axis=2)) > 0.99
    waves = (128 + 100 * np.sin(rows / 40)).astype(np.uint8)
    assert high_frequencies(np.repeat(waves[..., None], 3, axis=2)) < 0.01
    red, green = np.zeros((2, 256, 256, 3), dtype=np.uint8)
    red[..., 0], green[..., 1] = 150, 80
    apart = dict(zip(NAMES, look(red).distances(look(green)), strict=True))
    assert apart["deuteranopia, whole, pixel"] < 0.6 * apart["colour, whole, pixel"]
    assert apart["grey, whole, pixel"] < 0.1 * apart["colour, whole, pixel"]
    assert look(red).distances(look(red)) == [0.0] * len(NAMES)
    corner = red.copy()
    corner[:40, :40] = 255
    apart = dict(zip(NAMES, look(red).distances(look(corner)), strict=True))
    assert apart["colour, head, pixel"] == 0 < apart["colour, whole, pixel"]
