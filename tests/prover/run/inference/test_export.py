"""The exported checkpoint holds the committed integers exactly, and its class loads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from huref.common.errors import UsageError
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import open_model
from huref.prover.run.inference.export import export_checkpoint
from huref.prover.run.inference.settings import read_settings
from tests.support import tiny_models
from tests.support.whole_models import load_integers


def test_the_class_loads_it_and_every_number_is_exact(tmp_path: Path) -> None:
    real = tiny_models.random_model("llama", tie_word_embeddings=True)
    real.save_pretrained(tmp_path / "model")
    model = open_model(tmp_path / "model")
    settings = read_settings(model)
    folder = export_checkpoint(whole_model(model), model.shape, settings, 64, tmp_path / "out")
    loaded, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    integers = {rounded.name: rounded for rounded in whole_model(model)}
    expected = load_integers(real, integers)
    state = loaded.state_dict()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    ids = torch.arange(30)[None]
    with torch.no_grad():
        assert torch.allclose(loaded.eval()(ids).logits, expected(ids).logits, atol=1e-5)
    opened = open_model(folder)
    assert opened.shape == model.shape and read_settings(opened) == settings
    np.testing.assert_array_equal(opened.embedding_rows([3, 5]), integers["embed"].real()[[3, 5]])


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    model = open_model(tiny_models.build("llama", tmp_path / "model"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UsageError):
        export_checkpoint(whole_model(model), model.shape, read_settings(model), 64, tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "x"
