"""The quantizer: range, rounding, clip rule, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from huref.common.errors import Malformed
from huref.prover.canonical.quantize import quantize


def test_rounds_to_nearest_within_the_range() -> None:
    tensor = np.random.default_rng(0).normal(size=(60, 70)).astype(np.float32)
    found = quantize("t", tensor, 8, 1000.0)
    assert found.values.dtype == np.int8 and np.abs(found.values.astype(int)).max() == 127
    assert found.step == np.float32(float(np.abs(tensor).max()) / 127)
    assert np.abs(found.values * found.step - tensor).max() <= found.step / 2 * (1 + 1e-5)


@pytest.mark.parametrize("bits", [5, 7, 8])
def test_clip_rule_and_width(bits: int) -> None:
    tensor = np.random.default_rng(1).normal(size=(50, 50)).astype(np.float32)
    tensor[4, 5] = -200.0
    found = quantize("t", tensor, bits, 3.0)
    largest = 2 ** (bits - 1) - 1
    assert int(found.values.min()) == -largest == found.values[4, 5]
    np.testing.assert_allclose(found.step, 3.0 * np.sqrt((tensor**2).mean()) / largest, rtol=1e-6)


def test_zero_tensor() -> None:
    found = quantize("t", np.zeros((3, 4), np.float32), 8, 8.0)
    assert not found.values.any() and found.step > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonsense_is_named(bad: float) -> None:
    tensor = np.ones((3, 4), np.float32)
    tensor[1, 1] = bad
    with pytest.raises(Malformed, match=r"l3\.up"):
        quantize("l3.up", tensor, 8, 8.0)


def test_scale_of_the_tensor_does_not_matter() -> None:
    tensor = np.random.default_rng(2).normal(size=(40, 40)).astype(np.float32)
    assert np.array_equal(
        quantize("t", tensor, 8, 8.0).values, quantize("t", tensor * np.float32(1024), 8, 8.0).values
    )
