"""Tiny random-weight checkpoints in the real layout of every family, made with the `transformers` classes.

All weights are random and large enough that attention is far from uniform; norm gains are random too, so
that a reader which forgets them is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers

from huref.prover.checkpoint.families import open_model
from tests.support.tiny_tokenizer import write_tokenizer

LAYERS, HEADS, KV_HEADS, HIDDEN, FFN, VOCAB = 3, 4, 2, 64, 88, 384
_LLAMA_SIZES = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "intermediate_size": FFN,
    "max_position_embeddings": 64,
}
_MHA_SIZES = {key: value for key, value in _LLAMA_SIZES.items() if key != "num_key_value_heads"}
_GPT2_SIZES = {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 64}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}


@dataclass(frozen=True)
class TinyFamily:
    """Config of a tiny model, and what a reference forward needs beyond the extracted tensors.

    `scale`: factor on q·k (None: head_dim^-1/2); `alibi`: ALiBi slopes are added to the scores, times this.
    """

    model_type: str
    config: dict[str, Any] = field(default_factory=dict)
    activation: str = "silu"
    eps: float = 1e-6
    scale: float | None = None
    alibi: float = 0.0
    masked_lm: bool = False
    maker: str = ""  # a class of transformers, where it is not the auto class for language models
    zeroed: tuple[str, ...] = ()  # parts of names of parameters that the reference forward leaves out
    whole_norm: bool = False  # q and k are normed over all heads at once
    norm_after: bool = False  # q and k are normed after the rotation
    raw: tuple[int, ...] = ()  # layers that read the stream without a norm
    turn: float = 1.0  # sign of the rotation


def _llama(model_type: str, activation: str = "silu", **config: Any) -> TinyFamily:
    sizes = {**_LLAMA_SIZES, "rms_norm_eps": 1e-6, "rope_parameters": dict(_ROPE)}
    return TinyFamily(model_type, {**sizes, **config}, activation)


def _gemma(model_type: str, **config: Any) -> TinyFamily:
    return _llama(model_type, "gelu_tanh", head_dim=24, query_pre_attn_scalar=24, **config)


def _partial(fraction: float) -> dict[str, Any]:
    return {**_ROPE, "partial_rotary_factor": fraction}


def _falcon(**config: Any) -> TinyFamily:
    alibi = 0.25 if config.get("alibi") else 0.0  # Falcon scales the bias with the scores: head_dim^-1/2
    return TinyFamily(
        "falcon",
        {**_MHA_SIZES, "ffn_hidden_size": FFN, "rope_parameters": dict(_ROPE), **config},
        "gelu",
        eps=1e-5,
        alibi=alibi,
    )


def _opt(**config: Any) -> TinyFamily:
    sizes = {**_MHA_SIZES, "ffn_dim": FFN}
    return TinyFamily("opt", {**sizes, "do_layer_norm_before": True, **config}, "relu", eps=1e-5)


def _neox(**config: Any) -> TinyFamily:
    sizes = {**_MHA_SIZES, "rope_parameters": _partial(0.25), "layer_norm_eps": 1e-6}
    return TinyFamily("gpt_neox", {**sizes, **config}, "gelu")


def _stablelm(**config: Any) -> TinyFamily:
    sizes = {**_LLAMA_SIZES, "rope_parameters": _partial(0.25), "layer_norm_eps": 1e-6}
    return TinyFamily("stablelm", {**sizes, **config})


def _encoder(model_type: str) -> TinyFamily:
    return TinyFamily(model_type, {**_MHA_SIZES, "layer_norm_eps": 1e-6}, "gelu", masked_lm=True)


_SPECS: dict[str, TinyFamily] = {
    "llama": _llama("llama"),
    "mistral": _llama("mistral", sliding_window=None),
    "qwen2": _llama("qwen2"),
    "qwen3": _llama("qwen3", head_dim=24),
    "smollm3": _llama("smollm3", no_rope_layers=[1] * LAYERS, pad_token_id=0),
    "granite": _llama("granite", attention_multiplier=0.25),
    "gemma": _llama("gemma", "gelu_tanh", head_dim=24),
    "vaultgemma": _gemma("vaultgemma", attn_logit_softcapping=None),
    "gemma2": _gemma("gemma2", attn_logit_softcapping=None),
    "gemma3": _gemma(
        "gemma3_text",
        rope_parameters={"full_attention": dict(_ROPE), "sliding_attention": dict(_ROPE)},
    ),
    "phi3": _llama("phi3", pad_token_id=0),
    "glm": _llama("glm", head_dim=24, rope_parameters=_partial(0.5), pad_token_id=0),
    "glm4": _llama("glm4", head_dim=24, rope_parameters=_partial(0.5), pad_token_id=0),
    "gpt2": TinyFamily("gpt2", {**_GPT2_SIZES, "n_inner": FFN}, "gelu_tanh", eps=1e-5),
    "gpt_bigcode": TinyFamily("gpt_bigcode", {**_GPT2_SIZES, "n_inner": FFN}, "gelu_tanh", eps=1e-5),
    "gpt_bigcode-mha": TinyFamily(
        "gpt_bigcode", {**_GPT2_SIZES, "n_inner": FFN, "multi_query": False}, "gelu_tanh", eps=1e-5
    ),
    "gpt_neo": TinyFamily(
        "gpt_neo",
        {
            "hidden_size": HIDDEN,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "intermediate_size": FFN,
            "max_position_embeddings": 64,
            "attention_types": [[["global"], LAYERS]],
        },
        "gelu_tanh",
        eps=1e-5,
        scale=1.0,
    ),
    "gptj": TinyFamily("gptj", {**_GPT2_SIZES, "n_inner": FFN, "rotary_dim": 8}, "gelu_tanh", eps=1e-5),
    "gpt_neox": _neox(),
    "gpt_neox-sequential": _neox(use_parallel_residual=False),
    "opt": _opt(),
    "opt-350m": _opt(do_layer_norm_before=False, word_embed_proj_dim=40),
    "bloom": TinyFamily(
        "bloom", {"hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": HEADS}, "gelu_tanh", eps=1e-5, alibi=1.0
    ),
    "falcon-7b": _falcon(multi_query=True, parallel_attn=True),
    "falcon-rw": _falcon(multi_query=False, parallel_attn=False, alibi=True),
    "falcon-40b": _falcon(new_decoder_architecture=True, num_kv_heads=KV_HEADS),
    "falcon-11b": _falcon(new_decoder_architecture=True, num_kv_heads=KV_HEADS, num_ln_in_parallel_attn=1),
    "mpt": TinyFamily(
        "mpt",
        {"d_model": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "max_seq_len": 64},
        "gelu",
        eps=1e-5,
        alibi=1.0,
    ),
    "stablelm": _stablelm(),
    "stablelm-12b": _stablelm(use_parallel_residual=True, qk_layernorm=True),
    "starcoder2": TinyFamily(
        "starcoder2",
        {**_LLAMA_SIZES, "rope_parameters": dict(_ROPE), "norm_epsilon": 1e-6, "sliding_window": None},
        "gelu_tanh",
    ),
    "phi": TinyFamily(
        "phi", {**_LLAMA_SIZES, "rope_parameters": _partial(0.5), "layer_norm_eps": 1e-6}, "gelu_tanh"
    ),
    "cohere": TinyFamily(
        "cohere", {**_LLAMA_SIZES, "rope_parameters": dict(_ROPE), "layer_norm_eps": 1e-6, "pad_token_id": 0}
    ),
    "cohere-qknorm": TinyFamily(
        "cohere",
        {
            **_LLAMA_SIZES,
            "rope_parameters": dict(_ROPE),
            "layer_norm_eps": 1e-6,
            "pad_token_id": 0,
            "use_qk_norm": True,
        },
    ),
    "bert": _encoder("bert"),
    "roberta": _encoder("roberta"),
}

_WINDOWED = {
    "sliding_window": 64,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
_ENCODER = {**_MHA_SIZES, "layer_norm_eps": 1e-6}


def _bert_like(model_type: str, activation: str = "gelu", eps: float = 1e-6, **config: Any) -> TinyFamily:
    return TinyFamily(model_type, {**_ENCODER, **config}, activation, eps, masked_lm=True)


def _t5(feed_forward: str, activation: str) -> TinyFamily:
    sizes = {"d_model": HIDDEN, "d_kv": 24, "d_ff": FFN, "num_layers": LAYERS, "num_heads": HEADS}
    return TinyFamily(
        "t5",
        {**sizes, "feed_forward_proj": feed_forward},
        activation,
        scale=1.0,
        masked_lm=True,
        maker="T5EncoderModel",
        zeroed=("relative_attention_bias",),
    )


_SPECS |= {
    "smollm3-unrotated": _llama("smollm3", no_rope_layers=[1, 0, 0], pad_token_id=0),
    "qwen2_vl": replace(
        _llama("qwen2_vl_text", rope_parameters={**_ROPE, "mrope_section": [2, 3, 3]}), maker="AutoModel"
    ),
    "qwen2_5_vl": replace(
        _llama("qwen2_5_vl_text", rope_parameters={**_ROPE, "mrope_section": [2, 3, 3]}), maker="AutoModel"
    ),
    "qwen3_vl": replace(
        _llama("qwen3_vl_text", head_dim=24, rope_parameters={**_ROPE, "mrope_section": [4, 4, 4]}),
        maker="AutoModel",
    ),
    "ministral": _llama("ministral", head_dim=24, sliding_window=64),
    "ministral3": _llama(
        "ministral3",
        head_dim=24,
        rope_parameters={**_ROPE, "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 64},
    ),
    "internlm3": _llama("internlm3", head_dim=24),
    "cwm": _llama("cwm", head_dim=16),
    "iquestcoder": _llama("iquestcoder", head_dim=16),
    "seed_oss": _llama("seed_oss", head_dim=24),
    "ernie4_5": _llama("ernie4_5", head_dim=24, pad_token_id=0),
    "helium": _llama("helium", head_dim=16),
    "arcee": _llama("arcee", "relu2"),
    "nemotron": _llama("nemotron", "relu2", rope_parameters=_partial(0.5), norm_eps=1e-6),
    "apertus": _llama("apertus", "xielu"),
    "nanochat": replace(_llama("nanochat", "relu2"), norm_after=True, turn=-1.0),
    "hunyuan": replace(_llama("hunyuan_v1_dense", head_dim=24), norm_after=True),
    "olmo": replace(_llama("olmo", pad_token_id=0), eps=1e-5),
    "olmo2": replace(_llama("olmo2"), whole_norm=True, raw=(0, 1, 2)),
    "olmo3": replace(
        _llama(
            "olmo3", rope_parameters={name: dict(_ROPE) for name in ("full_attention", "sliding_attention")}
        ),
        whole_norm=True,
        raw=(0, 1, 2),
    ),
    "exaone4": replace(_llama("exaone4", **_WINDOWED), raw=(0, 1, 2)),
    "cohere2": _llama("cohere2", layer_norm_eps=1e-6, pad_token_id=0, **_WINDOWED),
    "granitemoehybrid": _llama(
        "granitemoehybrid",
        num_local_experts=0,
        shared_intermediate_size=FFN,
        layer_types=["attention"] * LAYERS,
        position_embedding_type="rope",
        attention_multiplier=0.25,
    ),
    "distilbert": TinyFamily(
        "distilbert",
        {
            "dim": HIDDEN,
            "n_layers": LAYERS,
            "n_heads": HEADS,
            "hidden_dim": FFN,
            "max_position_embeddings": 64,
        },
        "gelu",
        eps=1e-12,
        masked_lm=True,
    ),
    "modernbert": TinyFamily(
        "modernbert",
        {
            **_MHA_SIZES,
            "norm_eps": 1e-6,
            "pad_token_id": 0,
            "rope_parameters": {name: dict(_ROPE) for name in ("full_attention", "sliding_attention")},
        },
        "gelu",
        masked_lm=True,
        raw=(0,),
    ),
    "mpnet": replace(_bert_like("mpnet"), zeroed=("relative_attention_bias",)),
    "nomic_bert": _bert_like("nomic_bert", "silu", rope_parameters=dict(_ROPE)),
    "electra": _bert_like("electra", embedding_size=40),
    "electra-base": _bert_like("electra", embedding_size=HIDDEN),
    "albert": _bert_like("albert", "gelu_tanh", embedding_size=40),
    "deberta-v2": _bert_like("deberta-v2", relative_attention=False, pos_att_type=None),
    "t5": _t5("relu", "relu"),
    "t5-gated": _t5("gated-gelu", "gelu_tanh"),
}

FAMILIES: tuple[str, ...] = tuple(_SPECS)


def spec(family: str) -> TinyFamily:
    """The tiny model's description."""
    return _SPECS[family]


def random_model(family: str, seed: int = 0, *, biases: bool = True, **overrides: Any) -> Any:
    """A `transformers` model in eval mode; `overrides` go to its config (under the family's own keys)."""
    tiny = _SPECS[family]
    tokens = {"bos_token_id": 1, "eos_token_id": 2}
    config = transformers.AutoConfig.for_model(
        tiny.model_type, **{"vocab_size": VOCAB, **tokens, **tiny.config, **overrides}
    )
    auto = "AutoModelForMaskedLM" if tiny.masked_lm else "AutoModelForCausalLM"
    maker = getattr(transformers, tiny.maker or auto)
    model = (maker.from_config if tiny.maker in ("", "AutoModel") else maker)(config).eval()
    _randomize(model, seed, biases)
    for name, parameter in model.named_parameters():
        if any(part in name for part in tiny.zeroed):
            parameter.data.zero_()
    return model


def build(
    family: str,
    folder: Path,
    seed: int = 0,
    *,
    biases: bool = True,
    dtype: torch.dtype = torch.float32,
    max_shard_size: str = "1GB",
    **overrides: Any,
) -> Path:
    """Write config.json, safetensors and tokenizer of a random tiny model into `folder`, and return the folder."""
    model = random_model(family, seed, biases=biases, **overrides).to(dtype)
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    write_tokenizer(folder, open_model(folder).vocab)
    return folder


@torch.no_grad()
def _randomize(model: Any, seed: int, biases: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    transposed = transformers.pytorch_utils.Conv1D
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            values = torch.randn(parameter.shape, generator=generator)
            if name == "bias":
                values = 0.1 * values if biases else torch.zeros_like(values)
            elif "Norm" in type(module).__name__:
                values = parameter.flatten()[0] + 0.3 * values.clamp(-2.5, 2.5)
            elif parameter.ndim < 2:
                continue  # scalars of an activation, sinks
            elif not isinstance(module, torch.nn.Embedding):
                values = 1.2 * values / parameter.shape[0 if isinstance(module, transposed) else 1] ** 0.5
            parameter.copy_(values)
