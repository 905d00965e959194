"""Dense decoders of 2024 to 2026 whose blocks differ from LLaMA's in a norm, an activation or the rotary embedding."""

from __future__ import annotations

from dataclasses import replace

from huref.common.errors import Malformed
from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.architectures.entry import Architecture, Latent
from huref.prover.checkpoint.architectures.gpt_like import COHERE
from huref.prover.checkpoint.architectures.llama_like import LLAMA, QWEN3

_ROTARY_EVERY = 4


def listed_unrotated(config: Config, index: int) -> bool:
    """SmolLM3 and Llama 4: `no_rope_layers` has 0 for a layer without rotary embedding, else every fourth is one."""
    listed = config.get("no_rope_layers")
    if listed:
        if not isinstance(listed, list) or index >= len(listed) or listed[index] not in (0, 1):
            raise Malformed(f"{config.source}: config no_rope_layers must list 0 or 1 for every layer")
        return listed[index] == 0
    every = config.integer("no_rope_layer_interval") or _ROTARY_EVERY
    return (index + 1) % every == 0


def full_unrotated(config: Config, index: int) -> bool:
    """Cohere 2 and EXAONE 4: layers that attend to everything have no rotary embedding, if others have a window."""
    if config.get("sliding_window") is None:
        return False
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and index < len(kinds):
        return bool(kinds[index] == "full_attention")
    pattern = config.get("sliding_window_pattern")
    if isinstance(pattern, str) and pattern:
        return pattern[index % len(pattern)] != "L"
    every = pattern if isinstance(pattern, int) and pattern > 0 else _ROTARY_EVERY
    return (index + 1) % every == 0


_PLAIN_FFN = replace(LLAMA, gate=None)

SMOLLM3 = replace(LLAMA, family="llama", model_types=("smollm3",), unrotated=listed_unrotated)
INTERLEAVED = replace(LLAMA, family="ernie4_5", model_types=("ernie4_5", "helium"), rotary="interleaved")
ARCEE = replace(_PLAIN_FFN, family="arcee", model_types=("arcee",))
NEMOTRON = replace(
    _PLAIN_FFN,
    family="nemotron",
    model_types=("nemotron",),
    norm="layer",
    gain_offset=1.0,
    rotary_fraction=0.5,
)
APERTUS = replace(
    _PLAIN_FFN,
    family="apertus",
    model_types=("apertus",),
    attn_norm="attention_layernorm",
    ffn_norm="feedforward_layernorm",
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
    ignored=("mlp.act_fn.*",),
)
NANOCHAT = replace(
    _PLAIN_FFN,
    family="nanochat",
    model_types=("nanochat",),
    up="mlp.fc1",
    down="mlp.fc2",
    attn_norm=None,
    ffn_norm=None,
    final_norm=None,
    qk_normed=True,
    row_norm="norm",
    optional=("norm",),
)
HUNYUAN = replace(
    LLAMA,
    family="hunyuan",
    model_types=("hunyuan_v1_dense",),
    q_norm="self_attn.query_layernorm",
    k_norm="self_attn.key_layernorm",
)
OLMO = replace(
    LLAMA, family="olmo", model_types=("olmo",), norm="layer", attn_norm=None, ffn_norm=None, final_norm=None
)
OLMO2 = replace(
    LLAMA,
    family="olmo2",
    model_types=("olmo2", "olmo3"),
    attn_norm=None,
    ffn_norm=None,
    attn_output_norm="post_attention_layernorm",
    ffn_output_norm="post_feedforward_layernorm",
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
    whole_norm=True,
)
EXAONE4 = replace(
    OLMO2, family="exaone4", model_types=("exaone4",), whole_norm=False, unrotated=full_unrotated
)
COHERE2 = replace(COHERE, family="cohere2", model_types=("cohere2",), adapt=None, unrotated=full_unrotated)
MINICPM3 = replace(
    LLAMA,
    family="minicpm3",
    model_types=("minicpm3",),
    q=None,
    k=None,
    v=None,
    latent=Latent(),
)


def _youtu(entry: Architecture, config: Config) -> Architecture:
    return entry if config.flag("rope_interleave", True) else replace(entry, rotary="half")


YOUTU = replace(MINICPM3, family="youtu", model_types=("youtu",), rotary="interleaved", adapt=_youtu)
# LLaMA's and Mistral's own names, with interleaved rotary planes: consolidated.safetensors
CONSOLIDATED = replace(
    LLAMA,
    model_types=("llama", "mistral", "ministral", "ministral3"),
    prefixes=("",),
    embedding="tok_embeddings",
    q="attention.wq",
    k="attention.wk",
    v="attention.wv",
    o="attention.wo",
    up="feed_forward.w3",
    gate="feed_forward.w1",
    down="feed_forward.w2",
    attn_norm="attention_norm",
    ffn_norm="ffn_norm",
    head="output",
    rotary_permuted=True,
)

ARCHITECTURES: tuple[Architecture, ...] = (
    *(SMOLLM3, INTERLEAVED, ARCEE, NEMOTRON, APERTUS, NANOCHAT, HUNYUAN, OLMO, OLMO2, EXAONE4, COHERE2),
    *(MINICPM3, YOUTU, CONSOLIDATED),
    replace(QWEN3, model_types=("qwen3_vl", "qwen3_vl_text")),
)
