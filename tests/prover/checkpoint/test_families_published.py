"""Families without a `transformers` class, against torch mimics of their published layouts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from huref.prover.checkpoint.families import open_model
from tests.prover.checkpoint.test_families import run_blocks
from tests.support import published_layouts, tiny_models
from tests.support.reference_block import Extras, block, kept_block


@pytest.mark.parametrize("family", published_layouts.PUBLISHED)
def test_block_outputs_are_reproduced(family: str, tmp_path: Path) -> None:
    published = published_layouts.PUBLISHED[family]
    blocks = published_layouts.build(family, tmp_path)
    model = open_model(tmp_path)
    extras = Extras(
        published.activation, published_layouts.EPS, None, published.alibi, True, published.residual
    )
    x = torch.randn(7, published_layouts.HIDDEN, generator=torch.Generator().manual_seed(3)).double()
    for i, weights in enumerate(blocks):
        expected = published.forward(weights, x).numpy()
        if family == "chatglm-6b":
            got = kept_block(x.numpy(), model.layer(i), model.shape, extras)
        else:
            got = block(x.numpy(), model.layer(i), None, model.shape, extras)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_internlm_is_llama_with_biases(tmp_path: Path) -> None:
    reference = tiny_models.random_model("llama", biases=False, attention_bias=True)
    reference.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "internlm"}))
    model, (inputs, outputs) = open_model(tmp_path), run_blocks(reference)
    for i in range(model.shape.layers):
        got = block(inputs[i], model.layer(i), None, model.shape, Extras("silu", 1e-6, None, 0.0, True))
        np.testing.assert_allclose(got, outputs[i], rtol=0, atol=2e-5 * np.abs(outputs[i]).max())
