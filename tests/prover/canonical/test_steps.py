"""Rows with a power-of-two step each: the rule, the window of exponents, blocks, gains, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from huref.circuits.model.tensors import LOWEST_STEP
from huref.common.errors import Malformed
from huref.prover.canonical.steps import (
    ALIKE_BELOW,
    BELOW_MEDIAN,
    exponents,
    median,
    round_blocks,
    round_full,
    round_gain,
    round_tensor,
    sizes,
)


def rows(count: int, width: int = 64, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spread = np.exp(rng.normal(size=(count, 1)))
    return (spread * rng.normal(size=(count, width))).astype(np.float32)


def test_the_rule_of_the_step() -> None:
    tensor = rows(300)
    tensor[0, 5] = 1000 * np.abs(tensor[0]).max()  # sticks out beyond 4.5 rms
    size = sizes("t", tensor)
    wide = tensor.astype(np.float64)
    rms = np.sqrt((wide**2).mean(axis=1))
    np.testing.assert_allclose(size, np.minimum(np.abs(wide).max(axis=1), 4.5 * rms), rtol=1e-12)
    assert size[0] < np.abs(wide[0]).max()
    expected = [math.ceil(math.log2(x / 127) - 0.1) for x in size]
    assert exponents(size).tolist() == expected


@pytest.mark.parametrize("e", [-30, -7, 0, 5])
def test_the_rule_at_its_edge(e: int) -> None:
    edge = np.array([127 * 2.0**0.1 * 2.0**e])
    assert exponents(edge * (1 - 1e-12)).tolist() == [e]
    assert exponents(edge * (1 + 1e-12)).tolist() == [e + 1]


def test_values_are_the_nearest_and_clipped() -> None:
    tensor = rows(50)
    found = round_tensor("t", tensor)
    step = np.ldexp(1.0, found.steps.astype(int))[:, None]
    exact = np.clip(np.rint(tensor / step), -127, 127)
    np.testing.assert_array_equal(found.values, exact)
    np.testing.assert_array_equal(found.real(), (exact * step).astype(np.float32))
    assert np.abs(found.values).max() <= 127


def test_small_rows_stay_in_the_window_and_zero_rows_are_zero() -> None:
    tensor = rows(41)
    tensor[3] *= np.float32(1e-5)
    tensor[4] = 0
    tensor[5] *= np.float32(1e6)
    found = round_tensor("t", tensor)
    size = sizes("t", tensor)
    middle = median(exponents(size), size)
    assert found.steps[3] == middle - BELOW_MEDIAN
    assert found.steps[4] == LOWEST_STEP and not found.values[4].any()
    assert found.steps[5] == exponents(size)[5]
    zero = round_tensor("t", np.zeros((3, 8), np.float32))
    assert not zero.values.any() and len(set(zero.steps.tolist())) == 1


def test_blocks_give_what_the_whole_gives() -> None:
    tensor = rows(100)
    tensor[[7, 60]] *= np.float32(1e-4)  # known as too small only when all rows have been seen
    asked: list[list[int]] = []

    def again(ids: np.ndarray) -> np.ndarray:
        asked.append(ids.tolist())
        return tensor[ids]

    whole = round_tensor("t", tensor)
    found = round_blocks("t", tensor.shape, (tensor[i : i + 30] for i in range(0, 100, 30)), again)
    np.testing.assert_array_equal(found.values, whole.values)
    np.testing.assert_array_equal(found.steps, whole.steps)
    assert asked == [[7, 60]]


def test_rows_of_like_size_have_like_steps() -> None:
    """In the head: nothing is far below the median, and zeros are rows like others."""
    tensor = rows(50)
    tensor[[3, 40]] *= np.float32(1e-3)
    tensor[4] = 0
    found = round_blocks("head", tensor.shape, iter([tensor]), lambda ids: tensor[ids], alike=True)
    size = sizes("head", tensor)
    lowest = median(exponents(size), size) - ALIKE_BELOW
    assert found.steps[[3, 4, 40]].tolist() == [lowest] * 3 and found.steps.min() == lowest
    exact = np.rint(tensor[[3, 40]] / np.ldexp(1.0, lowest))
    np.testing.assert_array_equal(found.values[[3, 40]], exact)


def test_rows_of_free_scale_fill_the_range() -> None:
    tensor = rows(40)
    tensor[9] = 0
    found, factor = round_full("t", tensor)
    alive = np.arange(40) != 9
    assert len(set(found.steps[alive].tolist())) == 1 and found.steps[9] == LOWEST_STEP
    assert (np.abs(found.values[alive]).max(axis=1) == 127).all() and factor[9] == 0
    error = found.real().astype(np.float64) * factor[:, None] - tensor
    step = np.ldexp(1.0, int(found.steps[0]))
    clipped = np.abs(found.values) == 127
    assert (np.abs(error) <= 0.5001 * step * factor[:, None])[alive[:, None] & ~clipped].all()
    pairs, shared = round_full("t", tensor, lambda size: np.repeat(size.reshape(-1, 2).max(axis=1), 2))
    assert (shared[0::2] == shared[1::2]).all()
    assert (np.abs(pairs.values).reshape(20, -1).max(axis=1) == 127).all()


def test_a_gain_has_two_rows() -> None:
    gain = np.random.default_rng(1).uniform(-3, 9, 48).astype(np.float32)
    found = round_gain("g", gain)
    assert found.values.shape == (2, 48) and found.steps[1] == found.steps[0] - 7
    assert np.abs(found.real().astype(np.float64).sum(axis=0) - gain).max() <= 2.0 ** (
        int(found.steps[1]) - 1
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_what_is_not_finite_is_refused_by_name(value: float) -> None:
    tensor = rows(5)
    tensor[2, 1:3] = value
    if value == 3e38:
        tensor[2, 1:3] *= np.float32(2)
    for call in (
        lambda: round_tensor("l0.q", tensor),
        lambda: round_full("l0.q", tensor),
        lambda: round_blocks("l0.q", tensor.shape, iter([tensor]), lambda ids: tensor[ids]),
        lambda: round_gain("l0.q", tensor[2]),
    ):
        with pytest.raises(Malformed, match=r"l0\.q holds NaN or infinity"):
            call()
