"""What a checkpoint's config says about inference beyond its shape; what the program does not know is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.compile import check_supported
from huref.circuits.inference.facts import MAX_CAP, Activation, Facts
from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.families import Model
from huref.prover.checkpoint.formats.base import Checkpoint
from huref.prover.checkpoint.formats.gguf_reader import GgufCheckpoint

_MULTIPLIERS = (
    *("embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling", "logit_scale"),
    *("scale_emb", "scale_depth", "dim_model_base"),
)
_CAPS = ("attn_logit_softcapping", "final_logit_softcapping")
_BOTH: dict[str, Any] = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
_FINAL: dict[str, Any] = {"final_logit_softcapping": None}
_CAPPED: dict[str, dict[str, Any]] = {
    "gemma2": _BOTH,
    "vaultgemma": _BOTH,
    "gemma3": _FINAL,
    "gemma3_text": _FINAL,
}
"""What classes cap, and by how much where their config does not say."""
_FAMILIES = ("llama", "qwen3", "phi3", "gpt2", "gemma", "vaultgemma", "gemma2", "gemma3")
_GEMMA = ("gemma", "vaultgemma", "gemma2", "gemma3", "gemma3_text")
_TYPES = ("llama", "mistral", "ministral", "qwen2", "qwen3", "phi3", "gpt2", *_GEMMA)
_GGUF = ("llama", "qwen2", "qwen3", "phi3", "gpt2", "gemma", "gemma2", "gemma3")
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
_LOCAL = 10000
"""θ of Gemma 3's layers that attend to a window, unless its config says another."""
_PATTERN = 6
"""One of so many layers of Gemma 3 attends to all tokens, unless its config says otherwise."""
_ALTERNATING = 2
"""Likewise in Gemma 2 and VaultGemma."""
WINDOWED = ("vaultgemma", "gemma2", "gemma3")
"""Families in which only some layers attend to a window."""
SLIDING, FULL = "sliding_attention", "full_attention"
_LARGEST_GEMMA = {"gemma2": 46, "gemma3": 62}
"""Layers of the 27B models."""


@dataclass(frozen=True)
class Settings:
    """Activation, ε of the norms as a decimal, (θ, by what positions are divided) of every layer's rotary embedding,
    how many tokens attention sees at most (0: all of them), the squares of what the embedding is multiplied by and of
    what scores are divided by, and the caps of scores and logits (0: none).
    """

    activation: Activation
    epsilon: str
    turns: tuple[tuple[int, int], ...]
    score_square: int
    window: int = 0
    embedding_square: int = 1
    score_cap: int = 0
    logit_cap: int = 0

    @classmethod
    def alike(cls, shape: ModelShape, activation: Activation, epsilon: str, theta: int = 10000) -> Settings:
        """Those of a model whose layers turn alike and which has no multipliers."""
        return cls(activation, epsilon, ((theta, 1),) * shape.layers, shape.head_dim)

    @classmethod
    def of(cls, facts: Facts) -> Settings:
        """What the facts of a commitment repeat."""
        turns = tuple((layer.theta, layer.stretch) for layer in facts.layers)
        return cls(
            facts.activation, facts.epsilon, turns, facts.score_square, facts.window, facts.embedding_square,
            facts.score_cap, facts.logit_cap,
        )  # fmt: skip


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
    if isinstance(checkpoint, GgufCheckpoint):
        return _gguf(checkpoint, shape)
    return _hugging_face(checkpoint, shape)


def _gguf(checkpoint: GgufCheckpoint, shape: ModelShape) -> Settings:
    metadata, architecture = checkpoint.metadata, checkpoint.metadata["general.architecture"]
    prefix, gemma = f"{architecture}.", architecture in _GEMMA
    scaled = [
        name for name in metadata if name.startswith(f"{prefix}rope.scaling") or name.endswith("_scale")
    ]
    linear = metadata.get(f"{prefix}rope.scaling.type") == "linear"
    stretch = _stretch(checkpoint, metadata.get(f"{prefix}rope.scaling.factor", 1.0) if linear else 1.0)
    plain = {f"{prefix}rope.scaling.{name}" for name in ("type", "factor")} if linear else set[str]()
    if architecture not in _GGUF or not set(scaled) <= plain:
        raise Unsupported(f"{checkpoint.path}: no inference program yet for scaled {architecture} models")
    if any(name.startswith("rope_f") for name in checkpoint.names()):
        raise Unsupported(f"{checkpoint.path}: no inference program yet for scaled rotary frequencies")
    found = (f"{prefix}attention.layer_norm_rms_epsilon", f"{prefix}attention.layer_norm_epsilon")
    epsilon = next((metadata[name] for name in found if name in metadata), None)
    if not isinstance(epsilon, float):
        raise Malformed(f"{checkpoint.path}: no epsilon of the norms")
    window = _window(checkpoint, metadata.get(f"{prefix}attention.sliding_window", 0))
    main = (_theta(checkpoint, metadata.get(f"{prefix}rope.freq_base", _UNTURNED)), stretch)
    if shape.rotary is None:  # whatever the file says of what it has not
        main = (_UNTURNED, 1)
    local = (_theta(checkpoint, metadata.get(f"{prefix}rope.freq_base_swa", _LOCAL)), 1)
    kinds = default_kinds(shape) if architecture == "gemma3" and window else [FULL] * shape.layers
    activation: Activation = "gelu_tanh" if architecture == "gpt2" or gemma else "silu"
    return Settings(
        activation,
        _decimal(np.float32(epsilon)),
        tuple(local if kind == SLIDING else main for kind in kinds),
        # the models whose scores are not divided by the root of their heads' size
        shape.hidden // shape.heads if shape.layers == _LARGEST_GEMMA.get(architecture) else shape.head_dim,
        window,
        shape.hidden if gemma else 1,
        *_caps(checkpoint, architecture, metadata, prefix),
    )


def _hugging_face(checkpoint: Checkpoint, shape: ModelShape) -> Settings:
    read = Config(checkpoint.config, str(checkpoint.path))
    config, kind = read.values, read.model_type()
    learned, gemma = shape.positions > 0, kind in _GEMMA
    name = config.get("activation_function", "gelu_new") if learned else config.get("hidden_act", "silu")
    if gemma:
        name = config.get("hidden_activation") or "gelu_pytorch_tanh"
    if name not in _ACTIVATIONS:
        raise Unsupported(f"{checkpoint.path}: no inference program yet for {name!r}")
    there = [name for name in _MULTIPLIERS if config.get(name) is not None]
    if config.get("scale_attn_by_inverse_layer_idx") or config.get("scale_attn_weights") is False:
        there.append("scaled attention weights")
    if config.get("use_bidirectional_attention"):
        there.append("attention to what follows")
    there += [name for name in (checkpoint.config.get("model_type", kind), kind) if name not in _TYPES]
    if there:
        raise Unsupported(f"{checkpoint.path}: no inference program yet for {there[0]}")
    by_default = not kind.startswith("qwen")
    used = config.get("sliding_window") is not None and config.get("use_sliding_window", by_default)
    window = _window(checkpoint, config["sliding_window"] if used else 0)
    key, default = ("layer_norm_epsilon", 1e-5) if learned else ("rms_norm_eps", 1e-6)
    epsilon = config.get(key, default)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float):
        raise Malformed(f"{checkpoint.path}: config {key} must be a number")
    turns = ((_UNTURNED, 1),) * shape.layers if learned else _turns(checkpoint, config, shape)
    divided = gemma and kind != "gemma"
    square = config.get("query_pre_attn_scalar", 256) if divided else shape.head_dim
    return Settings(
        _ACTIVATIONS[name],
        _decimal(epsilon),
        turns,
        _theta(checkpoint, square),
        window,
        shape.hidden if gemma else 1,
        *_caps(checkpoint, kind, config),
    )


def _caps(checkpoint: Checkpoint, kind: str, config: Mapping[str, Any], prefix: str = "") -> tuple[int, int]:
    """The caps of scores and logits, 0 for none."""
    known = _CAPPED.get(kind, {})
    found = {name: config.get(f"{prefix}{name}", known.get(name)) for name in _CAPS}
    for name, value in found.items():
        if value is None:
            continue
        if name not in known:
            raise Unsupported(f"{checkpoint.path}: no inference program yet for {name}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 1 <= value <= MAX_CAP or value != int(value):
            raise Unsupported(f"{checkpoint.path}: a {name} of {value!r} is no integer from 1 to {MAX_CAP}")
    scores, logits = (int(found[name] or 0) for name in _CAPS)
    return scores, logits


def layer_kinds(checkpoint: Checkpoint, shape: ModelShape) -> list[str]:
    """What every layer of a Gemma model attends to, as `transformers` names it. Raises `Malformed`."""
    if isinstance(checkpoint, GgufCheckpoint):
        return default_kinds(shape)
    return _kinds(checkpoint, Config(checkpoint.config, str(checkpoint.path)).values, shape)


def default_kinds(shape: ModelShape, pattern: int | None = None) -> list[str]:
    """The same where nothing is said, or one of so many layers attends to all tokens."""
    pattern = pattern or (_PATTERN if shape.family == "gemma3" else _ALTERNATING)
    return [SLIDING if (n + 1) % pattern else FULL for n in range(shape.layers)]


def _kinds(checkpoint: Checkpoint, config: Mapping[str, Any], shape: ModelShape) -> list[str]:
    kinds = config.get("layer_types")
    if kinds is None:
        pattern = config.get("sliding_window_pattern", config.get("_sliding_window_pattern"))
        if pattern is not None and (type(pattern) is not int or pattern < 1):
            raise Malformed(f"{checkpoint.path}: config sliding_window_pattern must be a positive integer")
        kinds = default_kinds(shape, pattern)
    if not isinstance(kinds, list) or len(kinds) != shape.layers or not set(kinds) <= {SLIDING, FULL}:
        raise Malformed(f"{checkpoint.path}: config layer_types must name the attention of every layer")
    return kinds


def _turns(
    checkpoint: Checkpoint, config: Mapping[str, Any], shape: ModelShape
) -> tuple[tuple[int, int], ...]:
    """Of every layer the base of the rotary embedding, and by what positions are divided."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise Malformed(f"{checkpoint.path}: config rope_parameters must be an object")
    if shape.family != "gemma3":
        return (_turn(checkpoint, rope, config.get("rope_theta", 1e4)),) * shape.layers
    kinds = _kinds(checkpoint, config, shape)
    if not {SLIDING, FULL} & set(rope):
        local = {"rope_theta": config.get("rope_local_base_freq", _LOCAL)}
        rope = {FULL: {"rope_theta": config.get("rope_theta", 1e6), **rope}, SLIDING: local}
    for kind in set(kinds):
        if not isinstance(rope.get(kind), dict):
            raise Malformed(f"{checkpoint.path}: config rope_parameters says nothing of {kind}")
    found = {kind: _turn(checkpoint, rope[kind], None) for kind in set(kinds)}
    return tuple(found[kind] for kind in kinds)


def _turn(checkpoint: Checkpoint, rope: dict[str, Any], base: Any) -> tuple[int, int]:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "linear"):
        raise Unsupported(f"{checkpoint.path}: no inference program yet for scaled rotary frequencies")
    stretch = _stretch(checkpoint, rope.get("factor") if kind == "linear" else 1)
    return _theta(checkpoint, rope.get("rope_theta", base)), stretch


def _stretch(checkpoint: Checkpoint, value: Any) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or value != int(value)
        or not 0 < value <= 1024
    ):
        raise Unsupported(f"{checkpoint.path}: positions divided by {value!r}, which is no integer")
    return int(value)


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
