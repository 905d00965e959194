"""Load a checkpoint as a real `transformers` model, and save a derived model as a Hugging Face folder."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from huref.common.errors import InputOutputError, Malformed, Unsupported, UsageError
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.formats.base import Float32
from huref.prover.checkpoint.formats.gguf_reader import GgufCheckpoint
from huref.prover.demo.checkpoints import find
from huref.prover.derivatives.binding import read_body, write_body
from huref.prover.derivatives.body import Body
from huref.prover.vocabulary.files import find_tokenizer_file
from huref.prover.vocabulary.tokens import load_vocabulary


def load_model(path: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A `transformers` model in eval mode, from a Hugging Face folder or a LLaMA-type GGUF file.

    Attention is computed by plain matrix products, so that two runs give the same numbers.

    Raises:
        InputOutputError, Malformed, Unsupported: what `open_checkpoint` raises; a class that
            `transformers` does not have; a GGUF file of another family.
    """
    import transformers

    if path.is_file() and path.suffix == ".gguf":
        checkpoint = open_checkpoint(path)
        assert isinstance(checkpoint, GgufCheckpoint)
        model = _load_gguf(checkpoint)
    else:
        if not (path / "config.json").is_file():
            raise InputOutputError(f"{path}: not a Hugging Face folder")
        config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
        name = (config.architectures or [None])[0]
        maker = getattr(transformers, name or "", None)
        if maker is None:
            raise Unsupported(f"{path}: transformers has no class {name!r}")
        model = maker.from_pretrained(path, dtype=dtype, local_files_only=True, use_safetensors=True)
    model.config._attn_implementation = "eager"
    return model.to(dtype).eval()


def load_smollm2_model(dtype: torch.dtype = torch.float32) -> Any:
    """The installed SmolLM2-135M-Instruct, dequantized, as a `LlamaForCausalLM`."""
    return load_model(find("smollm2"), dtype)


def load_minilm_model(dtype: torch.dtype = torch.float32) -> Any:
    """The installed all-MiniLM-L6-v2 as a `BertModel`."""
    return load_model(find("minilm"), dtype)


def keep_layers(model: Any, layers: list[int]) -> Any:
    """A copy of the model with only these layers, in this order."""
    config = copy.deepcopy(model.config)
    count = config.num_hidden_layers
    if not layers or not all(0 <= layer < count for layer in layers):
        raise UsageError(f"layers {layers} of a model with {count}")
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[layer] for layer in layers]
    config.num_hidden_layers = len(layers)
    body = read_body(model)
    body.blocks = [body.blocks[layer] for layer in layers]
    return rebuild(model, config, body)


def rebuild(model: Any, config: Any, body: Body) -> Any:
    """A fresh model of the same class with a new config and a body of matching shapes."""
    attention = model.config._attn_implementation
    new = type(model)(config).to(next(model.parameters()).dtype).eval()
    new.config._attn_implementation = attention
    inside = _block_parameters(model)
    outside = {k: v for k, v in model.state_dict().items() if k not in inside}
    new.load_state_dict(outside, strict=False)
    write_body(new, body)
    return new


def save_model(model: Any, folder: Path, tokenizer_from: Path | None = None) -> Path:
    """Write config.json, model.safetensors and, when given a source, its tokenizer; return the folder.

    The folder appears complete or not at all.

    Raises:
        InputOutputError: the folder exists already or cannot be written.
    """
    if folder.exists():
        raise InputOutputError(f"{folder}: exists already")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        model.save_pretrained(temporary)
        if tokenizer_from is not None:
            _save_tokenizer(tokenizer_from, temporary)
        temporary.rename(folder)
    except OSError as error:
        raise InputOutputError(f"{folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _save_tokenizer(source: Path, folder: Path) -> None:
    file = find_tokenizer_file(source) if source.is_dir() else None
    if file is not None:
        for extra in (file, file.with_name("merges.txt")):
            if extra == file or file.name == "vocab.json":
                shutil.copyfile(extra, folder / extra.name)
        return
    vocabulary = load_vocabulary(source)
    if vocabulary is not None:
        (folder / "tokenizer.json").write_text(
            json.dumps(json.loads(vocabulary.tokenizer.to_str()), ensure_ascii=False), encoding="utf-8"
        )


def _block_parameters(model: nn.Module) -> set[str]:
    """Names of the state below a list of layers."""
    lists = [name for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    return {key for key in model.state_dict() if any(key.startswith(f"{name}.") for name in lists)}


def _load_gguf(checkpoint: GgufCheckpoint) -> Any:
    import transformers

    config: Any = checkpoint.config
    if config["model_type"] != "llama":
        raise Unsupported(f"{checkpoint.path}: only LLaMA-type GGUF files can be run here")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim", config["hidden_size"] // heads)
    tied = "output.weight" not in checkpoint
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=checkpoint.shape("token_embd.weight")[0],
            hidden_size=config["hidden_size"],
            intermediate_size=config["intermediate_size"],
            num_hidden_layers=config["num_hidden_layers"],
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            head_dim=head_dim,
            max_position_embeddings=checkpoint.metadata.get("llama.context_length", 2048),
            rms_norm_eps=checkpoint.metadata.get("llama.attention.layer_norm_rms_epsilon", 1e-5),
            rope_parameters={
                "rope_type": "default",
                "rope_theta": checkpoint.metadata.get("llama.rope.freq_base", 10000.0),
            },
            tie_word_embeddings=tied,
        )
    )
    parts = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    stored = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    if not tied:
        stored["lm_head"] = "output"
    for layer in range(config["num_hidden_layers"]):
        stored |= {f"model.layers.{layer}.{hf}": f"blk.{layer}.{gguf}" for hf, gguf in parts.items()}
    for name, source in stored.items():
        values = checkpoint.read(f"{source}.weight")
        if source.endswith(("attn_q", "attn_k")):
            values = _halves(values, head_dim)
        parameter: Any = model.get_submodule(name).weight
        if tuple(parameter.shape) != values.shape:
            raise Malformed(f"{checkpoint.path}: tensor {source}.weight has shape {values.shape}")
        parameter.data = torch.from_numpy(values)
    model.tie_weights()
    return model


def _halves(rows: Float32, head_dim: int) -> Float32:
    """GGUF's interleaved rotary planes (2i, 2i+1) back to halves (i, i + head_dim/2), per head."""
    planes = rows.reshape(-1, head_dim // 2, 2, rows.shape[1])
    return np.ascontiguousarray(planes.swapaxes(1, 2)).reshape(rows.shape)
