"""The curves of cost per token: what is divided by what, and results that are only partly there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plot_inference


def entry(seconds: float, proof_bytes: int) -> dict[str, Any]:
    return {"prove": {"wall": seconds, "cpu": 2 * seconds}, "proof_bytes": proof_bytes}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tokens = {"32": entry(8.0, 64_000), "16": entry(6.0, 48_000)}
    (tmp_path / "inference_proof.json").write_text(json.dumps({"model": "SmolLM2", "tokens": tokens}))
    monkeypatch.setattr(plot_inference, "RESULTS", tmp_path)
    return tmp_path


def test_one_model(folder: Path) -> None:
    models = plot_inference.read(folder)
    assert models["SmolLM2"]["parameters"] == 134_515_008
    seconds, _, size = (plot_inference.by_tokens(models, cost) for cost in plot_inference.COSTS)
    assert seconds == {"SmolLM2": ([16.0, 32.0], [6 / 16, 8 / 32])}
    assert size == {"SmolLM2": ([16.0, 32.0], [3.0, 2.0])}


def test_more_models(folder: Path) -> None:
    """Sorted by size; a line per T has the models that were measured with it."""
    scale = {
        "7B": {"parameters": 7 * 10**9, "tokens": {"32": entry(64.0, 1_280_000)}},
        "1B": {"parameters": 10**9, "tokens": {"16": entry(16.0, 10_000), "32": entry(16.0, 10_000)}},
    }
    (folder / "inference_scale.json").write_text(json.dumps({"models": scale}))
    models = plot_inference.read(folder)
    assert list(models) == ["SmolLM2", "1B shape", "7B shape"]
    lines = plot_inference.by_size(models, "prove, wall seconds per token")
    assert lines["16 tokens"] == ([134_515_008.0, 1e9], [6 / 16, 1.0])
    assert lines["32 tokens"] == ([134_515_008.0, 1e9, 7e9], [8 / 32, 0.5, 2.0])
    pytest.importorskip("matplotlib")
    plot_inference.main()
    assert (folder / "inference_proof.png").read_bytes()[:4] == b"\x89PNG"
