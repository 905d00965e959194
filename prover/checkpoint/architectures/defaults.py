"""What `transformers` classes take for granted when a config leaves it out (checked against them by a test).

Diff-style configs, such as the text_config of a multimodal model, hold only what differs from these.
"""

from __future__ import annotations

from typing import NamedTuple


class Defaults(NamedTuple):
    """heads; kv heads (None: as many as heads); head size (None: hidden size / heads); embedding and head tied."""

    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    tied: bool = False


DEFAULTS: dict[str, Defaults] = {
    "albert": Defaults(64, None, None, True),
    "apertus": Defaults(32, None, None, False),
    "arcee": Defaults(32, None, None, False),
    "bert": Defaults(12, None, None, True),
    "bloom": Defaults(8, None, None, True),
    "camembert": Defaults(12, None, None, True),
    "cohere": Defaults(64, None, None, True),
    "cohere2": Defaults(64, None, None, True),
    "deberta-v2": Defaults(24, None, None, True),
    "deepseek_v2": Defaults(32, None, None, False),
    "deepseek_v3": Defaults(128, None, None, False),
    "distilbert": Defaults(12, None, None, True),
    "electra": Defaults(4, None, None, True),
    "ernie4_5": Defaults(16, 2, 128, True),
    "ernie4_5_moe": Defaults(20, 4, None, True),
    "exaone4": Defaults(32, 32, None, False),
    "falcon": Defaults(71, None, None, True),
    "falcon_h1": Defaults(32, 8, None, False),
    "gemma": Defaults(16, 16, 256, True),
    "gemma2": Defaults(8, 4, 256, True),
    "gemma3_text": Defaults(8, 4, 256, True),
    "glm": Defaults(32, 2, 128, False),
    "glm4": Defaults(32, 2, 128, False),
    "glm4_moe": Defaults(96, 8, None, False),
    "gpt2": Defaults(12, None, None, True),
    "gpt_bigcode": Defaults(12, 1, None, True),
    "gpt_neo": Defaults(16, None, None, True),
    "gpt_neox": Defaults(64, None, None, False),
    "gpt_oss": Defaults(64, 8, 64, False),
    "gptj": Defaults(16, None, None, False),
    "granite": Defaults(32, None, None, False),
    "granitemoe": Defaults(32, None, None, False),
    "granitemoehybrid": Defaults(32, None, None, False),
    "helium": Defaults(20, 20, 128, False),
    "hunyuan_v1_dense": Defaults(32, None, None, False),
    "hunyuan_v1_moe": Defaults(32, None, None, False),
    "internlm3": Defaults(32, 2, 128, False),
    "jamba": Defaults(32, 8, None, False),
    "lfm2": Defaults(32, 8, None, True),
    "llama": Defaults(32, None, None, False),
    "llama4_text": Defaults(40, 8, 128, False),
    "minicpm3": Defaults(40, None, None, True),
    "minimax": Defaults(32, 8, None, False),
    "ministral": Defaults(32, 8, None, False),
    "ministral3": Defaults(32, 8, 128, False),
    "mistral": Defaults(32, 8, None, False),
    "mixtral": Defaults(32, 8, None, False),
    "modernbert": Defaults(12, None, None, True),
    "mpnet": Defaults(12, None, None, True),
    "mpt": Defaults(16, None, None, True),
    "nanochat": Defaults(6, None, None, False),
    "nemotron": Defaults(48, None, None, False),
    "nomic_bert": Defaults(12, None, None, True),
    "olmo": Defaults(32, None, None, False),
    "olmo2": Defaults(32, None, None, False),
    "olmo3": Defaults(32, None, None, False),
    "olmoe": Defaults(16, None, None, False),
    "opt": Defaults(12, None, None, True),
    "phi": Defaults(32, None, None, False),
    "phi3": Defaults(32, None, None, False),
    "phimoe": Defaults(32, 8, None, False),
    "qwen2": Defaults(32, 32, None, False),
    "qwen2_5_vl_text": Defaults(64, 8, None, False),
    "qwen2_moe": Defaults(16, 16, None, False),
    "qwen2_vl_text": Defaults(64, 8, None, False),
    "qwen3": Defaults(32, 32, 128, False),
    "qwen3_moe": Defaults(32, 4, None, False),
    "qwen3_vl_text": Defaults(32, 32, 128, False),
    "roberta": Defaults(12, None, None, True),
    "seed_oss": Defaults(80, 8, 128, False),
    "smollm3": Defaults(16, 4, None, True),
    "stablelm": Defaults(32, 32, None, False),
    "starcoder2": Defaults(24, 2, None, True),
    "t5": Defaults(8, None, 64, True),
    "xlm-roberta": Defaults(12, None, None, True),
}
