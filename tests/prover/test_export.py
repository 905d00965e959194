"""`huref export`: the integers under a model id as a checkpoint, whole or not there at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from huref.circuits.model.tensors import STEP
from huref.common.errors import ProverError, Unsupported, UsageError
from huref.prover.checkpoint.families import open_model
from huref.prover.commitment import folder as commitment_folder
from huref.prover.demo.checkpoints import find
from huref.prover.export import export
from huref.prover.owner import Options, commit
from huref.prover.run.inference import export as writing
from huref.prover.run.inference.companions import copy_companions, kept_config
from huref.prover.run.inference.units import first_difference
from tests.conftest import Made
from tests.support import tiny_models
from tests.support.command import huref
from tests.support.schemas import validate


def test_what_is_served_is_what_is_committed(tiny: Made, tmp_path: Path) -> None:
    before = (tiny.commitment / "private" / "state").read_bytes()
    done = export(tiny.commitment, tmp_path / "served", tiny.checkpoint)
    opened = commitment_folder.load(tiny.commitment)
    assert done.model_id == opened.public.model_id and "tokenizer.json" in done.copied
    assert (tmp_path / "served" / "commitment.json").read_bytes() == opened.public.encode()
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "served", dtype=torch.float32)
    weights = opened.source.weights
    for name, rows in (("embed", model.model.embed_tokens.weight), ("head", model.lm_head.weight)):
        expected = np.ldexp(weights[name].astype(np.float32), weights[name + STEP].reshape(-1, 1).astype(int))
        assert np.array_equal(rows.detach().numpy(), expected)
    assert model.config.max_position_embeddings == 64
    assert (tiny.commitment / "private" / "state").read_bytes() == before  # nothing of the budget is spent


def test_without_a_checkpoint_there_is_no_tokenizer(tiny: Made, tmp_path: Path) -> None:
    assert export(tiny.commitment, tmp_path / "served").copied == ()
    names = {path.name for path in (tmp_path / "served").iterdir()}
    assert names == {"config.json", "model.safetensors", "commitment.json"}


@pytest.mark.slow
def test_gemma_is_exported_and_committed_again(tmp_path: Path) -> None:
    """Which layers attend to a window is known from the checkpoint beside the commitment alone."""
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    rope = {
        kind: {"rope_type": "default", "rope_theta": theta}
        for kind, theta in zip(kinds[:2], (1e6, 1e4), strict=True)
    }
    checkpoint = tiny_models.build(
        "gemma3", tmp_path / "model", layer_types=kinds, rope_parameters=rope, vocab_size=600
    )
    commit(checkpoint, tmp_path / "c", Options(proofs=1, inference=True), prove_range=False)
    with pytest.raises(Unsupported, match="attend alike turn differently"):
        export(tmp_path / "c", tmp_path / "served")
    assert "tokenizer.json" in export(tmp_path / "c", tmp_path / "served", checkpoint).copied
    config = json.loads((tmp_path / "served" / "config.json").read_text())
    assert config["layer_types"] == kinds and config["model_type"] == "gemma3_text"
    commit(tmp_path / "served", tmp_path / "again", Options(proofs=1, inference=True), prove_range=False)
    one, other = (commitment_folder.load(tmp_path / name).source.inference for name in ("c", "again"))
    assert one is not None and other is not None and first_difference(one, other) is None


def test_a_recipe_knows_its_checkpoint(tmp_path: Path) -> None:
    checkpoint = tiny_models.build("llama", tmp_path / "model")
    commit(checkpoint, tmp_path / "c", Options(proofs=1, keep="recipe"), prove_range=False)
    assert "tokenizer.json" in export(tmp_path / "c", tmp_path / "served").copied


def test_another_checkpoint_is_refused(tiny: Made, other: Made, tmp_path: Path) -> None:
    with pytest.raises(ProverError, match="is not the checkpoint"):
        export(tiny.commitment, tmp_path / "served", other.checkpoint)
    assert not list(tmp_path.iterdir())


def test_changed_integers_are_not_exported(tiny: Made, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny.commitment, tmp_path / "c")
    with (copy / "private" / "weights.npy").open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(ProverError, match="another root"):
        export(copy, tmp_path / "served")
    assert not (tmp_path / "served").exists()


def test_a_commitment_without_a_program_has_nothing_to_serve(tmp_path: Path) -> None:
    checkpoint = tiny_models.build("llama", tmp_path / "model")
    commit(checkpoint, tmp_path / "c", Options(proofs=1, inference=False), prove_range=False)
    run = huref("export", "--commitment", tmp_path / "c", "--out", tmp_path / "served")
    assert (
        run.code == UsageError.exit_code and "--inference" in run.err and not (tmp_path / "served").exists()
    )


def test_a_folder_that_exists_is_left_alone(tiny: Made, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UsageError, match="exists"):
        export(tiny.commitment, tmp_path)
    assert (tmp_path / "mine").read_text() == "x"


def test_an_export_that_fails_leaves_nothing(
    tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_write_tensor", full)
    run = huref("export", "--commitment", tiny.commitment, "--out", tmp_path / "served")
    assert run.code == 4 and "No space left" in run.err and not list(tmp_path.iterdir())


def test_the_command(tiny: Made, tmp_path: Path) -> None:
    place = ("--commitment", tiny.commitment)
    run = huref("export", *place, "--checkpoint", tiny.checkpoint, "--out", tmp_path / "a", "--json")
    assert run.code == 0 and validate(run.json, "exported")["model_id"] == tiny.proved.verdict.model_id
    assert "tokenizer.json" in run.json["copied"]
    run = huref("export", "--commitment", tiny.commitment, "--out", tmp_path / "b")
    assert run.code == 0 and "--checkpoint copies the tokenizer" in run.err


def test_special_tokens_are_kept(tmp_path: Path) -> None:
    tiny_models.build("llama", tmp_path / "model", bos_token_id=3, eos_token_id=[4, 5], pad_token_id=None)
    checkpoint = open_model(tmp_path / "model").checkpoint
    assert kept_config(checkpoint) == {
        "max_position_embeddings": 64,
        "bos_token_id": 3,
        "eos_token_id": [4, 5],
    }


def test_a_gguf_file_brings_its_tokenizer(tmp_path: Path) -> None:
    checkpoint = open_model(find("smollm2")).checkpoint
    kept = kept_config(checkpoint)
    assert kept["max_position_embeddings"] == 8192 and kept["eos_token_id"] == 2
    assert copy_companions(checkpoint, tmp_path) == ["tokenizer.json", "tokenizer_config.json"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.decode(tokenizer.encode("Hello there, 12 ships!")) == "Hello there, 12 ships!"
    assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["type"] == "BPE"
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    said = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert said.endswith("<|im_start|>user\nHi<|im_end|>\n")
