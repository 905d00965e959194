"""Model types that people have and that are not read, each with what differs from those that are."""

from __future__ import annotations

_STATE_SPACE = "its layers are state-space blocks, which have neither attention nor FFN terms"
_HYBRID = "some of its layers are recurrent, in a layout that is not read"
_LOW_RANK = "every layer gets further inputs per token from a second embedding, through maps of their own"

REFUSED: dict[str, str] = {
    "bart": "it has an encoder and a decoder; only the encoder of T5 is read",
    "bitnet": "its ternary weights have a norm inside attention and FFN",
    "dbrx": "a mixture of experts whose experts lie in one tensor of a layout that is not read",
    "falcon_mamba": _STATE_SPACE,
    "gemma3n": _LOW_RANK,
    "gemma3n_text": _LOW_RANK,
    "gemma4": _LOW_RANK,
    "gemma4_text": _LOW_RANK,
    "jetmoe": "its attention heads are themselves a mixture of experts",
    "kimi_linear": _HYBRID,
    "longcat_flash": "two attentions and two FFNs per layer around a mixture of experts",
    "mamba": _STATE_SPACE,
    "mamba2": _STATE_SPACE,
    "mllama_text_model": "some of its layers attend to images instead of tokens",
    "olmo_hybrid": _HYBRID,
    "openelm": "the number of heads and the width of the FFN change from layer to layer",
    "decilm": "the number of heads and the width of the FFN change from layer to layer",
    "nemotron-nas": "the number of heads and the width of the FFN change from layer to layer",
    "phi4_multimodal": "its layers carry adapters for images and speech that are not merged",
    "phi4mm": "its layers carry adapters for images and speech that are not merged",
    "recurrent_gemma": _HYBRID,
    "rwkv": "a recurrent network without attention",
    "rwkv5": "a recurrent network without attention",
    "rwkv6": "a recurrent network without attention",
    "rwkv7": "a recurrent network without attention",
    "whisper": "it reads sound, and its tokens are a decoder's",
    "xlnet": "it attends in permuted order with positions of its own",
    "zamba": _HYBRID,
    "zamba2": _HYBRID,
}
"""model_type (of Hugging Face or GGUF) → what differs."""

_HUGGING_FACE_ONLY = "its GGUF layout is not read; its Hugging Face files are"

REFUSED_GGUF: dict[str, str] = {
    **dict.fromkeys(
        (
            *("granitehybrid", "t5", "t5encoder", "nomic-bert", "modern-bert", "falcon-h1", "glm-dsa"),
            *("qwen3next", "qwen35", "qwen35moe", "nemotron_h", "nemotron_h_moe"),
        ),
        _HUGGING_FACE_ONLY,
    ),
    "clip": "it is the image side of a multimodal model, without the language model",
    "gemma3n": REFUSED["gemma3n"],
    "gemma4": REFUSED["gemma4"],
    "kimi-linear": REFUSED["kimi_linear"],
    "rwkv6": REFUSED["rwkv6"],
    "rwkv7": REFUSED["rwkv7"],
}
"""The same for GGUF's names of architectures."""
