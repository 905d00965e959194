"""Models whose layers are not all attention: only the attention and FFN that they have gives terms.

Weights of the other mixers are known and left out. A model of these families that has none of them is a dense one.
"""

from __future__ import annotations

from dataclasses import replace

from huref.prover.checkpoint.architectures.config import Config
from huref.prover.checkpoint.architectures.entry import Architecture, Experts
from huref.prover.checkpoint.architectures.experts import GRANITE, QWEN2_EXPERTS
from huref.prover.checkpoint.architectures.llama_like import LLAMA, QWEN3

_SHARED_IN, _SHARED_OUT = "shared_mlp.input_linear", "shared_mlp.output_linear"


def _granite(entry: Architecture, config: Config) -> Architecture:
    """Granite 4: with or without state-space layers, experts and rotary embedding."""
    if config.get("position_embedding_type") not in (None, "rope"):
        entry = replace(entry, rotary=None)
    kinds = config.get("layer_types", "layers_block_type")
    if not isinstance(kinds, list) or any(kind not in ("attention", "full_attention") for kind in kinds):
        entry = replace(entry, family="granite_hybrid", other_mixer="mamba.in_proj", ignored=("mamba.*",))
    if not config.get("num_local_experts"):
        return entry
    return replace(
        entry,
        family="granite_hybrid",
        experts=replace(GRANITE, shared_gate_up=_SHARED_IN, shared_down=_SHARED_OUT),
    )


GRANITE_HYBRID = replace(
    LLAMA,
    family="llama",
    model_types=("granitemoehybrid",),
    up=None,
    gate=None,
    gate_up=_SHARED_IN,
    down=_SHARED_OUT,
    adapt=_granite,
)

JAMBA = replace(
    LLAMA,
    family="jamba",
    model_types=("jamba",),
    up="feed_forward.up_proj",
    gate="feed_forward.gate_proj",
    down="feed_forward.down_proj",
    ffn_norm="pre_ff_layernorm",
    final_norm="final_layernorm",
    rotary=None,
    experts=Experts(
        router="feed_forward.router",
        gate="feed_forward.experts.{e}.gate_proj",
        up="feed_forward.experts.{e}.up_proj",
        down="feed_forward.experts.{e}.down_proj",
    ),
    other_mixer="mamba.in_proj",
    ignored=("mamba.*",),
)

FALCON_H1 = replace(
    LLAMA,
    family="falcon_h1",
    model_types=("falcon_h1",),
    up="feed_forward.up_proj",
    gate="feed_forward.gate_proj",
    down="feed_forward.down_proj",
    ffn_norm="pre_ff_layernorm",
    final_norm="final_layernorm",
    beside=True,
    ignored=("mamba.*",),
)

LFM2 = replace(
    LLAMA,
    family="lfm2",
    model_types=("lfm2",),
    o="self_attn.out_proj",
    up="feed_forward.w3",
    gate="feed_forward.w1",
    down="feed_forward.w2",
    attn_norm="operator_norm",
    final_norm="embedding_norm",
    ffn_norm="ffn_norm",
    q_norm="self_attn.q_layernorm",
    k_norm="self_attn.k_layernorm",
    other_mixer="conv.in_proj",
    ignored=("conv.*",),
)

LFM2_MOE = replace(
    LFM2,
    family="lfm2_moe",
    model_types=("lfm2_moe",),
    experts=Experts(
        router="feed_forward.gate",
        gate="feed_forward.experts.{e}.w1",
        up="feed_forward.experts.{e}.w3",
        down="feed_forward.experts.{e}.w2",
        softmax=False,
    ),
    ignored=("conv.*", "feed_forward.expert_bias"),
)

BAMBA = replace(
    JAMBA, family="bamba", model_types=("bamba",), rotary="half", rotary_fraction=0.5, experts=None
)

# Every head's output is gated entry by entry, so its values cannot be mapped freely, only reordered.
QWEN3_5 = replace(
    QWEN3,
    family="qwen3_5",
    model_types=("qwen3_5_text",),
    gain_offset=1.0,
    rotary_fraction=0.25,
    q_gate=True,
    other_mixer="linear_attn.out_proj",
    ignored=("linear_attn.*",),
)
QWEN3_NEXT = replace(
    QWEN3_5,
    family="qwen3_next",
    model_types=("qwen3_next", "qwen3_5_moe_text"),
    experts=QWEN2_EXPERTS,
    ignored=("linear_attn.*", "mlp.shared_expert_gate.weight"),
)

_MIXER = Experts(
    router="mixer.gate",
    up="mixer.experts.{e}.up_proj",
    down="mixer.experts.{e}.down_proj",
    softmax=False,
    shared_up="mixer.shared_experts.up_proj",
    shared_down="mixer.shared_experts.down_proj",
)
NEMOTRON_H = Architecture(
    family="nemotron_h",
    model_types=("nemotron_h",),
    prefixes=("backbone.", "model."),
    embedding="embeddings",
    block="layers.{i}.",
    q="mixer.q_proj",
    k="mixer.k_proj",
    v="mixer.v_proj",
    o="mixer.o_proj",
    up="mixer.up_proj",
    down="mixer.down_proj",
    norm="rms",
    attn_norm="norm",
    ffn_norm="norm",
    head="lm_head",
    final_norm="norm_f",
    experts=_MIXER,
    alone=True,
    other_mixer="mixer.in_proj",
    ignored=(
        *(f"mixer.{name}" for name in ("A_log", "D", "dt_bias", "conv1d.*", "norm.weight")),
        *("mixer.in_proj.weight", "mixer.out_proj.weight", "mixer.gate.e_score_correction_bias"),
    ),
)

ARCHITECTURES: tuple[Architecture, ...] = (
    *(GRANITE_HYBRID, JAMBA, FALCON_H1, LFM2, LFM2_MOE, BAMBA, QWEN3_5, QWEN3_NEXT, NEMOTRON_H),
)
