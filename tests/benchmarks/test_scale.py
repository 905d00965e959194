"""The whole models' benchmark: the reference computes what it says, steps are grouped, scaled numbers are named so."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scale
from benchmarks.llama_checkpoint import SIZES, VirtualLlama
from huref.prover.checkpoint.families import open_model


def test_the_reference_is_the_terms_of_all_layers(tmp_path: Path) -> None:
    """In float64 by einsum, heads that share keys and values written out."""
    model = open_model(VirtualLlama(SIZES["tiny"]))
    x = model.embedding_rows(np.arange(model.vocab)).astype(np.float64)
    pooled = np.zeros((3, 32, 32))
    for n in range(model.layers):
        layer = model.layer(n)
        heads = model.shape.heads // model.shape.kv_heads
        wide = [
            np.repeat(y.reshape(-1, model.shape.head_dim, x.shape[1]), heads, 0) for y in (layer.k, layer.v)
        ]
        k, v = (y.reshape(-1, x.shape[1]) for y in wide)
        for place, (a, b) in enumerate(((layer.q, k), (v, layer.o), (layer.up, layer.down))):
            term = np.einsum("ic,dc,de,je->ij", x, a, b, x, optimize=True)
            pooled[place] += term.reshape(32, -1, 32, x.shape[0] // 32).mean((1, 3))
    found = scale.reference(Namespace(model="tiny", layers=0), tmp_path)
    assert found["checksum"] == pytest.approx(np.abs(pooled).sum(), rel=1e-4)
    assert found["layers"] == found["layers_measured"] == 3 and not scale._scaled(found)
    some = scale.reference(Namespace(model="tiny", layers=2), tmp_path)
    assert some["layers_measured"] == 2 and scale._scaled(some)


def test_steps_of_all_shards_are_one() -> None:
    progress = scale.CpuProgress()
    with progress.stage("range") as step:
        for text in ("commit intermediates", "look up 1 of 2", "look up 2 of 2", "open"):
            step(text)
    with progress.stage("quantize") as step:
        step("l0.q")
    steps = ["range: commit intermediates", "range: look up", "range: open"]
    assert [name for name in progress.cpu if name != "range"] == [*steps, "quantize"]


def test_the_table_says_what_was_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"wall": 1.0, "cpu": 2.0, "peak_gb": 3.0}
    stages = {
        "commit": {**row, "entries": 5_000_000},
        "range": {**row, "proof_bytes": 7000},
        "reference": {**row, "layers": 32, "layers_measured": 3},
    }
    content = {"model": "7B", "over_reference": {}, "stages": stages}
    (tmp_path / "whole-7B.json").write_text(json.dumps(content))
    monkeypatch.setattr(scale, "RESULTS", tmp_path)
    scale.table()
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("| 7B | 5 M | 1.0 / 2.0 / 3.0 | 1.0 / 2.0 / 3.0 | – | – | – |")
    assert "(3 of 32 layers, scaled)" in line and "| 7 kB | – |" in line
