"""What a checkpoint's config says about inference beyond its shape; what the program does not know is refused."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

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
_FAMILIES = ("llama",)


@dataclass(frozen=True)
class Settings:
    """Activation, ε of the norms as a decimal, θ of the rotary embedding."""

    activation: Activation
    epsilon: str
    theta: int


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
    biased = [name for name in checkpoint.names() if name.endswith("bias")]
    if biased:
        raise Unsupported(f"{checkpoint.path}: no inference program yet for biases, such as {biased[0]}")
    values = _gguf(checkpoint) if isinstance(checkpoint, GgufCheckpoint) else _hugging_face(checkpoint)
    return Settings("silu", *values)


def _gguf(checkpoint: GgufCheckpoint) -> tuple[str, int]:
    architecture = checkpoint.metadata["general.architecture"]
    prefix = f"{architecture}."
    if architecture != "llama" or any(
        name.startswith(f"{prefix}rope.scaling") or name.endswith("_scale") for name in checkpoint.metadata
    ):
        raise Unsupported(f"{checkpoint.path}: no inference program yet for scaled {architecture} models")
    if any(name.startswith("rope_f") for name in checkpoint.names()):
        raise Unsupported(f"{checkpoint.path}: no inference program yet for scaled rotary frequencies")
    epsilon = checkpoint.metadata.get(f"{prefix}attention.layer_norm_rms_epsilon")
    if not isinstance(epsilon, float):
        raise Malformed(f"{checkpoint.path}: no epsilon of the norms")
    return _decimal(np.float32(epsilon)), _theta(
        checkpoint, checkpoint.metadata.get(f"{prefix}rope.freq_base", 1e4)
    )


def _hugging_face(checkpoint: Checkpoint) -> tuple[str, int]:
    config = checkpoint.config
    if config.get("hidden_act", "silu") != "silu":
        raise Unsupported(f"{checkpoint.path}: no inference program yet for {config['hidden_act']!r}")
    there = [name for name in _MULTIPLIERS if config.get(name) is not None]
    if config.get("sliding_window") is not None and config.get("use_sliding_window", True):
        there.append("sliding_window")
    if there or config.get("model_type") not in ("llama", "mistral", "ministral"):
        what = there[0] if there else config.get("model_type")
        raise Unsupported(f"{checkpoint.path}: no inference program yet for {what}")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise Malformed(f"{checkpoint.path}: config rope_parameters must be an object")
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise Unsupported(f"{checkpoint.path}: no inference program yet for scaled rotary frequencies")
    epsilon = config.get("rms_norm_eps", 1e-6)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float):
        raise Malformed(f"{checkpoint.path}: config rms_norm_eps must be a number")
    return _decimal(epsilon), _theta(checkpoint, rope.get("rope_theta", config.get("rope_theta", 1e4)))


def _decimal(value: Any) -> str:
    return str(value)


def _theta(checkpoint: Checkpoint, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or Fraction(value).denominator != 1:
        raise Unsupported(f"{checkpoint.path}: a rotary base of {value!r} is no integer")
    return int(value)
