"""What a checkpoint's config says about inference beyond its shape; what the program does not know is refused."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.compile import check_supported
from huref.circuits.inference.facts import Activation
from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.families import Model
from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.checkpoint.formats.gguf_reader import GgufCheckpoint

_MULTIPLIERS = (
    *("embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling", "logit_scale"),
    *("scale_emb", "scale_depth", "dim_model_base", "attn_logit_softcapping", "final_logit_softcapping"),
)
_FAMILIES = ("llama", "qwen3", "phi3", "gpt2")
_TYPES = ("llama", "mistral", "ministral", "qwen2", "qwen3", "phi3", "gpt2")
_GGUF = ("llama", "qwen2", "qwen3", "phi3", "gpt2")
_ACTIVATIONS: dict[Any, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}
_UNTURNED = 10000
"""What stands for θ where nothing is turned."""


@dataclass(frozen=True)
class Settings:
    """Activation, ε of the norms as a decimal, θ of the rotary embedding, and how many tokens attention sees at most
    (0: all of them).
    """

    activation: Activation
    epsilon: str
    theta: int
    window: int = 0


def read_settings(model: Model) -> Settings:
    """The settings of a model that the inference program knows.

    Raises:
        Unsupported: it has something that the program has not. Malformed: a config value of a wrong type.
    """
    shape, checkpoint = model.shape, model.checkpoint
    check_supported(shape)
    if shape.family not in _FAMILIES or any(model.layer_shape(n) != shape for n in range(shape.layers)):
        raise Unsupported(
            f"{checkpoint.path}: no inference program yet for {shape.family} models of this kind"
        )
    return _gguf(checkpoint) if isinstance(checkpoint, GgufCheckpoint) else _hugging_face(checkpoint, shape)


def _gguf(checkpoint: GgufCheckpoint) -> Settings:
    architecture = checkpoint.metadata["general.architecture"]
    prefix = f"{architecture}."
    if architecture not in _GGUF or any(
        name.startswith(f"{prefix}rope.scaling") or name.endswith("_scale") for name in checkpoint.metadata
    ):
        raise Unsupported(f"{checkpoint.path}: no inference program yet for scaled {architecture} models")
    if any(name.startswith("rope_f") for name in checkpoint.names()):
        raise Unsupported(f"{checkpoint.path}: no inference program yet for scaled rotary frequencies")
    found = (f"{prefix}attention.layer_norm_rms_epsilon", f"{prefix}attention.layer_norm_epsilon")
    epsilon = next((checkpoint.metadata[name] for name in found if name in checkpoint.metadata), None)
    if not isinstance(epsilon, float):
        raise Malformed(f"{checkpoint.path}: no epsilon of the norms")
    window = checkpoint.metadata.get(f"{prefix}attention.sliding_window", 0)
    theta = _theta(checkpoint, checkpoint.metadata.get(f"{prefix}rope.freq_base", _UNTURNED))
    activation: Activation = "gelu_tanh" if architecture == "gpt2" else "silu"
    return Settings(activation, _decimal(np.float32(epsilon)), theta, _window(checkpoint, window))


def _hugging_face(checkpoint: Checkpoint, shape: ModelShape) -> Settings:
    config = checkpoint.config
    learned = shape.positions > 0
    name = config.get("activation_function", "gelu_new") if learned else config.get("hidden_act", "silu")
    if name not in _ACTIVATIONS:
        raise Unsupported(f"{checkpoint.path}: no inference program yet for {name!r}")
    there = [name for name in _MULTIPLIERS if config.get(name) is not None]
    if config.get("scale_attn_by_inverse_layer_idx") or config.get("scale_attn_weights") is False:
        there.append("scaled attention weights")
    if there or config.get("model_type") not in _TYPES:
        what = there[0] if there else config.get("model_type")
        raise Unsupported(f"{checkpoint.path}: no inference program yet for {what}")
    by_default = not str(config.get("model_type")).startswith("qwen")
    used = config.get("sliding_window") is not None and config.get("use_sliding_window", by_default)
    window = _window(checkpoint, config["sliding_window"] if used else 0)
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise Malformed(f"{checkpoint.path}: config rope_parameters must be an object")
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise Unsupported(f"{checkpoint.path}: no inference program yet for scaled rotary frequencies")
    key, default = ("layer_norm_epsilon", 1e-5) if learned else ("rms_norm_eps", 1e-6)
    epsilon = config.get(key, default)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float):
        raise Malformed(f"{checkpoint.path}: config {key} must be a number")
    base = _UNTURNED if learned else rope.get("rope_theta", config.get("rope_theta", 1e4))
    return Settings(_ACTIVATIONS[name], _decimal(epsilon), _theta(checkpoint, base), window)


def _window(checkpoint: Checkpoint, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 24:
        raise Malformed(f"{checkpoint.path}: a sliding window of {value!r} tokens")
    return value


def _decimal(value: Any) -> str:
    return str(value)


def _theta(checkpoint: Checkpoint, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or Fraction(value).denominator != 1:
        raise Unsupported(f"{checkpoint.path}: a rotary base of {value!r} is no integer")
    return int(value)
