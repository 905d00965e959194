"""The benchmark of one transformer block: what is computed, what counts, what is said where EZKL is not there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

from benchmarks.ezkl_block import __main__ as driver
from benchmarks.ezkl_block.block import EPSILON, THETA, Block, forward, inputs, weights
from benchmarks.ezkl_block.huref_tool import OneLayer, measure
from benchmarks.ezkl_block.table import table
from benchmarks.head_to_head.stages import Limits, StageFailed
from benchmarks.inference_proof import Prepared
from huref.circuits.inference.compile import compile_inference
from huref.prover.checkpoint.families import open_model
from huref.prover.run.inference.executor import execute_inference

TINY = Block(16, 32, 4)


def test_the_block_is_that_of_llama() -> None:
    """The class of transformers, with the same weights, to the precision that the mask's e^-16 leaves."""
    block = Block(32, 48, 6)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_attention_heads=block.heads, num_hidden_layers=1,
        rms_norm_eps=EPSILON, rope_parameters={"rope_type": "default", "rope_theta": THETA}, vocab_size=8,
        attn_implementation="eager",
    )  # fmt: skip
    layer = LlamaDecoderLayer(config, 0).double()
    own = {name: torch.tensor(value.T.copy()) for name, value in weights(block).items()}
    with torch.no_grad():
        for name in ("q", "k", "v", "o"):
            getattr(layer.self_attn, f"{name}_proj").weight.copy_(own[name])
        for name in ("gate", "up", "down"):
            getattr(layer.mlp, f"{name}_proj").weight.copy_(own[name])
        layer.input_layernorm.weight.copy_(own["attn_gain"])
        layer.post_attention_layernorm.weight.copy_(own["ffn_gain"])
        x = torch.tensor(inputs(block)["x"])[None]
        places = torch.arange(block.tokens)[None]
        turn = LlamaRotaryEmbedding(config)(x, places)
        mask = torch.triu(torch.full((block.tokens, block.tokens), -torch.inf), 1)[None, None]
        found = layer(x, attention_mask=mask, position_ids=places, position_embeddings=turn)
    exact = (found[0] if isinstance(found, tuple) else found).reshape(block.tokens, block.width).numpy()
    np.testing.assert_allclose(forward(block), exact, atol=1e-4)


def test_sizes_are_read_and_counted() -> None:
    block = Block.parse("64x192x8")
    assert block == Block(64, 192, 8) and str(block) == "64x192x8" and block.heads == 4
    assert block.parameters == sum(value.size for value in weights(block).values())
    assert block.products == 8 * (4 * 64 * 64 + 3 * 64 * 192) + 2 * 8 * 8 * 64
    sizes = [Block.parse(size).products for size in driver.LADDER]
    assert sizes == sorted(set(sizes))
    for wrong in ("64x192", "20x192x8", "64x192x0", "a"):
        with pytest.raises(ValueError):
            Block.parse(wrong)


def test_the_same_block_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint with the block's own weights, whose range is proven and whose program runs; proofs of programs are
    tested elsewhere.
    """
    shape = (TINY.tokens, 64)

    def run(self: Prepared, lengths: tuple[int, ...], start: int = 0, attempts: int = 2) -> dict[str, Any]:
        program = compile_inference(self.shape, self.facts, *lengths)
        logits = execute_inference(program, self.weights, list(self.ids)).values[program.logits]
        return {"logits": logits, "attempts": attempts}

    monkeypatch.setattr(Prepared, "measure", run)
    layer = open_model(OneLayer(TINY)).layer(0)
    np.testing.assert_allclose(layer.q, weights(TINY)["q"].T, rtol=2**-8)
    np.testing.assert_allclose(layer.down, weights(TINY)["down"], rtol=2**-8)
    found = measure(TINY, attempts=1)
    assert found["logits"].shape == shape and found["attempts"] == 1 and found["range_proof_bytes"] > 0
    assert found["weights"] > TINY.parameters - 2 * TINY.width and found["commit"]["cpu"] >= 0
    stream = forward(TINY)
    normed = stream / np.sqrt((stream**2).mean(axis=1, keepdims=True))
    head = OneLayer(TINY).read("lm_head.weight").astype(np.float64)
    exact = (normed @ head.T).ravel()
    assert np.corrcoef(found["logits"].ravel(), exact)[0, 1] > 0.99


def test_what_does_not_fit_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference string does not count; what is left of the time is every stage's limit; the row keeps what ran."""
    left: dict[str, Limits] = {}

    def stage(
        command: list[str], folder: Path, name: str, _: dict[str, str], limits: Limits
    ) -> dict[str, Any]:
        left[name] = limits
        if name == "prove":
            raise StageFailed("prove stopped at 20 GB")
        found = {"process": {"wall": 100.0, "cpu": 1.0, "peak_gb": 3.0}, "call": {"wall": 99.0, "cpu": 1.0}}
        return {**found, "proving_key_bytes": 7} if name == "setup" else found

    monkeypatch.setattr(driver, "run_stage", stage)
    row = driver.ezkl_row(TINY, "python", "private", "direct", tmp_path)
    assert row["does_not_fit"] == "prove stopped at 20 GB" and row["wall"] == 500.0 and row["peak_gb"] == 3.0
    assert row["proving_key_bytes"] == 7 and "verify" not in left
    assert left["prove"].wall_seconds == 100.0 and left["setup"].wall_seconds == 300.0
    assert left["srs"].wall_seconds > 1e6 and left["prove"].memory_gb == 20.0
    assert not any(tmp_path.iterdir())


def test_the_first_way_that_fits_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second way is tried only where the first does not fit, and a block fits if either does. What is known not to
    fit is how many rows the first way took.
    """

    def row(fitting: str, known: list[int | None]) -> Any:
        def tried(
            block: Any, python: str, weights: str, products: str, work: Path, too_many: int | None
        ) -> Any:
            known.append(too_many)
            return {"products": products, "logrows": 19} | (
                {"does_not_fit": "stopped"} if products != fitting else {}
            )

        return tried

    monkeypatch.setattr(driver, "huref_row", lambda block, work: {})
    for fitting, expected in (("freivalds", [None]), ("direct", [None, 19]), ("none", [None, 19])):
        known: list[int | None] = []
        monkeypatch.setattr(driver, "ezkl_row", row(fitting, known))
        found = driver.rows_of(TINY, "python", "private", tmp_path)
        assert len(found["ezkl"]) == len(known) and found["fits"] == (fitting != "none")
        assert known == expected


def test_a_way_that_needs_as_many_rows_as_do_not_fit_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stages end when its rows are known."""
    called: list[str] = []

    def stage(command: list[str], folder: Path, name: str, *_: Any) -> dict[str, Any]:
        called.append(name)
        return {"process": {"wall": 1.0, "peak_gb": 1.0}} | ({"logrows": 20} if name == "calibrate" else {})

    monkeypatch.setattr(driver, "run_stage", stage)
    row = driver.ezkl_row(TINY, "python", "private", "direct", tmp_path, 19)
    assert called == ["settings", "calibrate"] and "2^20" in row["does_not_fit"]
    called.clear()
    assert "does_not_fit" not in driver.ezkl_row(TINY, "python", "private", "direct", tmp_path, 21)
    assert called == list(driver.STAGES)


def test_stored_blocks_are_kept_where_a_run_starts_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same visibility only."""
    monkeypatch.setattr(driver, "RESULTS", tmp_path)
    assert driver.stored_before(driver.LADDER[1], "private") == []
    rows = [{"block": block} for block in driver.LADDER[:3]]
    (tmp_path / "ezkl_block.json").write_text(json.dumps({"weights": "private", "rows": rows}))
    assert driver.stored_before(driver.LADDER[2], "private") == rows[:2]
    assert driver.stored_before(driver.LADDER[2], "hashed") == []


def test_the_table_has_what_was_measured_and_says_what_was_not() -> None:
    """Setup is all before the witness; a stage that was not reached has no number."""

    def call(seconds: float) -> dict[str, Any]:
        return {"call": {"wall": seconds, "cpu": 2 * seconds}}

    stages = {name: call(1.0) for name in ("settings", "calibrate", "compile", "setup", "witness")}
    stopped = {
        "products": "direct",
        "stages": stages,
        "logrows": 19,
        "peak_gb": 20.0,
        "does_not_fit": "stopped at 20 GB",
    }
    fitting = {**stopped, "stages": {**stages, "prove": call(5.0), "verify": call(0.5)}, "proof_bytes": 8000}
    fitting |= {"error_over_output": 0.0158, "proving_key_bytes": 10**9, "verification_key_bytes": 437_639}
    del fitting["does_not_fit"]
    own = {name: call(1.0)["call"] for name in ("commit", "range", "run", "prove", "verify")}
    own |= {"proof_bytes": 237_244, "peak_gb": 0.8}
    rows = [{"block": "16x32x4", "parameters": 2592, "ezkl": [stopped, fitting], "huref": own}]
    _, _, first, second, third = table({"rows": rows}).splitlines()
    assert "| 4.0 s (8.0) | – | – | – |" in first and first.endswith("| stopped at 20 GB |")
    assert (
        "| 4.0 s (8.0) | 6.0 s (12.0) | 0.5 s (1.0) | 8.0 kB | 1.00 GB, 0.44 MB | 20.0 GB | 1.6% |" in second
    )
    assert third.startswith(
        "| 16x32x4 | 2592 | huref | – | 2.0 s (4.0) | 2.0 s (4.0) | 1.0 s (2.0) | 237 kB |"
    )


def test_an_interpreter_without_ezkl(capsys: pytest.CaptureFixture[str]) -> None:
    """One line with the command that helps."""
    told = driver.missing(sys.executable)
    assert told.endswith("-m pip install ezkl==23.0.5 onnx==1.23.2 numpy==2.4.6") and "\n" not in told
    assert "No such file" in driver.missing("/no/such/python")
