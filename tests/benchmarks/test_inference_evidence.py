"""Scores of the evidence benchmark, on gaps made by hand."""

from __future__ import annotations

import json

import numpy as np

from benchmarks.environment import RESULTS
from benchmarks.inference_evidence import PACKAGED, area, pooled, roc, shown, summary

SAME = [np.zeros(32) for _ in range(8)]
OTHER = [np.where(np.arange(32) == n, 2.0, 0.0) for n in range(8)]


def test_area_counts_ties_half() -> None:
    assert area(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1.0
    assert area(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0.5
    assert area(np.array([2.0]), np.array([1.0])) == 0.0


def test_answers_are_put_together_without_repetition() -> None:
    scores = pooled(OTHER, 128, np.random.default_rng(0))
    assert (scores["largest"] == 2).all()
    np.testing.assert_allclose(scores["mean"], 4 * 2 / 128)  # four different answers of 32 tokens
    np.testing.assert_allclose(scores["no_argmax"], 4 / 128)


def test_a_server_that_is_always_right_and_one_that_never_is() -> None:
    found = roc({"a": SAME, "b": OTHER, "c": SAME}, "a")
    assert found["32 tokens, mean"]["b"] == {"area": 1.0, "caught": 1.0}
    assert found["128 tokens, largest"]["c"] == {"area": 0.5, "caught": 0.0}
    assert found["32 tokens, mean"]["limit"] == 0 and "a" not in found["32 tokens, mean"]


def test_summary() -> None:
    one = summary(OTHER)
    assert one["tokens"] == 256 and one["argmax"] == round(31 / 32, 4) and one["largest"] == 2
    assert one["above_1"] == one["above_0.25"] == round(1 / 32, 4)


def test_the_package_holds_the_stored_results() -> None:
    results = json.loads((RESULTS / "inference_evidence.json").read_text())
    assert json.loads(PACKAGED.read_text()) == shown(results)
