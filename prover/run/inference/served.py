"""Of which class the committed integers are an ordinary checkpoint: its config, and its tensors by name.

Where gains are folded in, the stream stays rotated, and integers of at most eight bits times a power of two are exact
in bfloat16. Where norms stand behind attention and FFN, gains stand between stream and matrices, so these are turned
back: sums of d entries of eight bits over the root of d, which are stored in float32, rounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from huref.circuits.fingerprint.shape import ModelShape
from huref.circuits.inference.compile import check_supported
from huref.circuits.model.tensors import BIAS, GAIN, matrices
from huref.common.errors import Unsupported
from huref.prover.run.inference.settings import FULL, SLIDING, Settings, default_kinds

_BLOCKS = {
    **{name: f"self_attn.{name}_proj" for name in ("q", "k", "v", "o")},
    **{name: f"mlp.{name}_proj" for name in ("gate", "up", "down")},
    **{f"{name}_gain": f"self_attn.{name}_norm" for name in ("q", "k")},
    "attn_gain": "input_layernorm",
    "o_gain": "post_attention_layernorm",
    "ffn_gain": "pre_feedforward_layernorm",
    "down_gain": "post_feedforward_layernorm",
}
_OUTER = {"embed": "model.embed_tokens", "head": "lm_head", "head_gain": "model.norm"}
_ATTENTION, _FEED = ("q", "k", "v", "o"), ("gate", "up", "down")
TRANSPOSED = ("o", "down")
_READ = {"attn_gain": ("q", "k", "v"), "ffn_gain": ("gate", "up"), "head_gain": ("head",)}
"""What reads the stream behind a gain."""
VAULT = "vaultgemma"
_NORMED = 2.0**8
"""What rows of q and k are multiplied by where norms follow, so that the class's ε counts for nothing there."""
_THETAS = {FULL: (1000000, 1), SLIDING: (10000, 1)}
"""Those of a kind of attention that no layer has."""

Scaled = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Stored:
    """A tensor of the checkpoint; `source` is the committed one, "" for a gain that is `offset` + 1 everywhere.

    `wide`: in float32; `turned`: rotated back, and times `scale`; `offset`: what is added to a gain. `unit`: a gain
    that is stored in its finer step, as integers, by which what reads behind it is multiplied instead: a class that
    adds one to gains has no digits for small ones.
    """

    name: str
    size: tuple[int, ...]
    source: str
    wide: bool = False
    turned: bool = False
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""

    @property
    def bytes(self) -> int:
        """As it is stored."""
        return (4 if self.wide else 2) * int(np.prod(self.size))


@dataclass(frozen=True)
class Served:
    """A checkpoint's config, and its tensors in order."""

    config: dict[str, Any]
    tensors: list[Stored]


def served(
    shape: ModelShape, settings: Settings, more: Mapping[str, Any], scaled: Scaled | None = None
) -> Served:
    """What to store; `more` goes into the config over what follows from shape and settings.

    `scaled`: of every layer, by how many half-octaves what o and down write was brought to one size.

    Raises:
        Unsupported: no class has such models.
    """
    check_supported(shape)
    if shape.subtracts_mean or not shape.gated:
        what = "norms without means" if shape.subtracts_mean else "a rotated stream"
        what += " and an FFN without a gate" if not shape.gated else ""
        raise Unsupported(
            f"no class that servers load has {what}, as the committed integers of this model need",
            hint="serve the checkpoint itself; its gaps are larger (docs/inference.md)",
        )
    if shape.rotary != "half" or shape.rotary_dim != shape.head_dim:
        raise Unsupported("LLaMA's and Gemma's classes turn whole heads in halves; this model does not")
    gemma = settings.embedding_square == shape.hidden or shape.output_norm
    config = _gemma(shape, settings, more) if gemma else _llama(shape, settings)
    tensors = list(_tensors(shape, -1.0 if gemma else 0.0))
    if shape.output_norm:
        tensors = [_turned(tensor, shape, scaled) for tensor in tensors]
    return Served({**config, **more}, tensors)


def _turned(tensor: Stored, shape: ModelShape, scaled: Scaled | None) -> Stored:
    """The same in float32, matrices turned back and of the size that ε counts beside, gains in front in whole units."""
    layer, _, kind = tensor.source.rpartition(".")
    unit = next((gain for gain, readers in _READ.items() if kind in (gain, *readers)), "")
    unit = f"{layer}.{unit}" if unit and layer else unit
    if kind.endswith(GAIN):
        return replace(tensor, unit=unit)
    scale = _NORMED if kind in ("q", "k") and shape.qk_norm else 1.0
    if kind in TRANSPOSED and scaled is not None:
        scale = 2.0 ** (-scaled[int(layer[1:])][kind == "down"] / 2)
    return replace(tensor, wide=True, turned=True, scale=scale, unit=unit)


def _tensors(shape: ModelShape, offset: float) -> Iterator[Stored]:
    """All of the checkpoint in order: what is committed, and gains of one where they are folded in."""
    for matrix in matrices(shape):
        layer, _, kind = matrix.name.rpartition(".")
        if kind.endswith(BIAS):
            continue
        name = f"model.layers.{layer[1:]}.{_BLOCKS[kind]}" if layer else _OUTER[kind]
        if kind.endswith(GAIN):
            cols = shape.head_dim if kind in ("q_gain", "k_gain") else matrix.cols
            yield Stored(f"{name}.weight", (cols,), matrix.name, wide=True, offset=offset)
            continue
        size = (matrix.rows, matrix.cols)
        yield Stored(f"{name}.weight", size[::-1] if kind in TRANSPOSED else size, matrix.name)
        if (kind in _ATTENTION and _biased(shape, _ATTENTION)) or (kind in _FEED and _biased(shape, _FEED)):
            rows = shape.hidden if kind in TRANSPOSED else matrix.rows
            yield Stored(f"{name}.bias", (rows,), matrix.name + BIAS, wide=True)
    if shape.output_norm:
        return
    for n in range(shape.layers):
        behind = "pre_feedforward" if shape.family == VAULT else "post_attention"
        for norm in ("input_layernorm", f"{behind}_layernorm"):
            yield Stored(f"model.layers.{n}.{norm}.weight", (shape.hidden,), "", offset=offset)
    yield Stored("model.norm.weight", (shape.hidden,), "", offset=offset)


def _biased(shape: ModelShape, names: tuple[str, ...]) -> bool:
    return bool(set(names) & set(shape.biases))


def _llama(shape: ModelShape, settings: Settings) -> dict[str, Any]:
    """LLaMA's class, or Qwen3's where q and k are normed."""
    if settings.embedding_square != 1 or settings.score_cap or settings.logit_cap:
        raise Unsupported("LLaMA's class has no factor of the embedding and no caps; this model does")
    if len(set(settings.turns)) > 1 or settings.score_square != shape.head_dim:
        raise Unsupported(
            "LLaMA's class turns all layers alike and divides scores by the root of a head's size"
        )
    if shape.qk_norm and set(_FEED) & set(shape.biases):
        raise Unsupported("Qwen3's class has no biases in the FFN; this model does")
    return {
        "architectures": ["Qwen3ForCausalLM" if shape.qk_norm else "LlamaForCausalLM"],
        "model_type": "qwen3" if shape.qk_norm else "llama",
        **_sizes(shape, settings),
        **_rope(*settings.turns[0]),
        "hidden_act": _activation(settings),
        "mlp_bias": _biased(shape, _FEED),
        "torch_dtype": "bfloat16",
    }


def _gemma(shape: ModelShape, settings: Settings, more: Mapping[str, Any]) -> dict[str, Any]:
    """The classes of Gemma 1, 2 and 3 by where norms stand, and VaultGemma's."""
    kind, name = ("vaultgemma", "VaultGemma") if shape.family == VAULT else ("gemma", "Gemma")
    if shape.output_norm:
        kind, name = ("gemma3_text", "Gemma3") if shape.qk_norm else ("gemma2", "Gemma2")
    first = kind == "gemma"
    wanted = {
        "embedding times the root of its width": settings.embedding_square == shape.hidden,
        "no biases in the FFN": not _biased(shape, _FEED),
        "no capped scores": not settings.score_cap or kind in ("gemma2", VAULT),
        "no capped logits": not settings.logit_cap or not first,
        "scores divided by the root of a head's size": settings.score_square == shape.head_dim or not first,
        "layers that turn alike": len(set(settings.turns)) == 1 or kind == "gemma3_text",
        "no norms on q and k": not shape.qk_norm or kind == "gemma3_text",
    }
    missing = [what for what, there in wanted.items() if not there]
    if missing:
        raise Unsupported(f"{name}'s class has {missing[0]}; this model is another")
    config = {
        "architectures": [f"{name}ForCausalLM"],
        "model_type": kind,
        **_sizes(shape, settings),
        "hidden_activation": _activation(settings),
        "torch_dtype": "float32" if shape.output_norm else "bfloat16",
    }
    if first:
        return {**config, **_rope(*settings.turns[0]), "hidden_act": _activation(settings)}
    kinds = more.get("layer_types", default_kinds(shape))
    config |= {
        "layer_types": kinds,
        "sliding_window": settings.window or None,
        "query_pre_attn_scalar": settings.score_square,
        "attn_logit_softcapping": float(settings.score_cap) if settings.score_cap else None,
        "final_logit_softcapping": float(settings.logit_cap) if settings.logit_cap else None,
    }
    turns = {kind: set[tuple[int, int]]() for kind in (FULL, SLIDING)}
    for each, turn in zip(kinds, settings.turns, strict=True):
        turns[each].add(turn)
    if any(len(found) > 1 for found in turns.values()):
        raise Unsupported(
            "layers that attend alike turn differently",
            hint="--checkpoint: its config says which layers attend to a window",
        )
    if kind != "gemma3_text":
        return {**config, **_rope(*settings.turns[0])}
    found = {name: _rope(*next(iter(turn), _THETAS[name]))["rope_parameters"] for name, turn in turns.items()}
    local = {"rope_theta": found[FULL]["rope_theta"], "rope_local_base_freq": found[SLIDING]["rope_theta"]}
    return {**config, **local, "rope_parameters": found}


def _activation(settings: Settings) -> str:
    return {"gelu_tanh": "gelu_pytorch_tanh"}.get(settings.activation, settings.activation)


def _rope(theta: int, stretch: int) -> dict[str, Any]:
    turn: dict[str, Any] = (
        {"rope_type": "default"} if stretch == 1 else {"rope_type": "linear", "factor": float(stretch)}
    )
    return {"rope_theta": float(theta), "rope_parameters": {**turn, "rope_theta": float(theta)}}


def _sizes(shape: ModelShape, settings: Settings) -> dict[str, Any]:
    return {
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.ffn,
        "vocab_size": shape.vocab,
        "rms_norm_eps": float(settings.epsilon),
        "attention_bias": _biased(shape, _ATTENTION),
        "tie_word_embeddings": False,
    }
