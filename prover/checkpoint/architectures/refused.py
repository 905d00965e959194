"""Model types that people have and that are not read, each with what differs from those that are."""

from __future__ import annotations

_MIXTURE = "a mixture of experts of a layout that is not read"
_UNTRIED = "its layout is not read, though it is near one that is"
_TWO_SIZES = "its heads have two sizes, and small versions get further inputs per token and layer"
_CHANGING = "the number of heads and the width of the FFN change from layer to layer"
_RECURRENT = "a recurrent network without attention"
_STATE_SPACE = "its layers are state-space blocks, which have neither attention nor FFN terms"
_HYBRID = "some of its layers are recurrent, in a layout that is not read"
_LOW_RANK = "every layer gets further inputs per token from a second embedding, through maps of their own"
_IN_MODEL = "its layers carry adapters for images and speech that are not merged"
_POOLED = "it pools, groups or mixes tokens otherwise than by attention of plain heads"
_GLOBAL = "it attends in blocks or through memory, with maps of its own for some tokens"
_OTHER_INPUT = "it reads pictures, sound or molecules instead of text"


def _table(*rows: tuple[str, str]) -> dict[str, str]:
    """Reason by type, from rows of a reason and the types that have it."""
    return {name: reason for reason, names in rows for name in names.split()}


REFUSED: dict[str, str] = _table(
    (_STATE_SPACE, "mamba mamba2 falcon_mamba"),
    (_RECURRENT, "rwkv rwkv5 rwkv6 rwkv7 xlstm"),
    (_HYBRID, "bailing_hybrid kimi_linear olmo_hybrid recurrent_gemma zamba zamba2"),
    (_LOW_RANK, "gemma3n gemma3n_text"),
    (_TWO_SIZES, "gemma4 gemma4_text gemma4_unified gemma4_unified_text"),
    (_IN_MODEL, "phi4_multimodal phi4mm"),
    (_CHANGING, "openelm decilm nemotron-nas"),
    (
        _MIXTURE,
        "afmoe arctic aria_text bailing_moe bailing_moe_v2 cohere2_moe dbrx deepseek deepseek_v4 doge",
    ),
    (
        _MIXTURE,
        "ernie4_5_vl_moe_text flex_olmo glm4v_moe_text grok-1 mimo_v2_flash minimax_m3_vl_text mistral4",
    ),
    (_MIXTURE, "nllb-moe qwen3_omni_moe_text step3p5 switch_transformers"),
    ("its attention heads are themselves a mixture of experts", "jetmoe"),
    ("two attentions and two FFNs per layer around a mixture of experts", "longcat_flash"),
    ("its ternary weights have a norm inside attention and FFN", "bitnet"),
    ("its heads subtract one attention from another", "diffllama"),
    ("its names are its own (version 3 and 3.5); exaone4 is read", "exaone"),
    ("q, k and v of a head follow each other in one tensor; deberta-v2, which v3 is too, is read", "deberta"),
    ("some of its layers attend to images instead of tokens", "mllama_text_model"),
    ("it attends in permuted order with positions of its own", "xlnet"),
    ("it has an encoder and a decoder; only the encoder of T5 is read", "bart"),
    ("it reads sound, and its tokens are a decoder's", "whisper"),
    (_UNTRIED, "biogpt codegen ctrl data2vec-text ernie esm eurobert flaubert glm4v glm4v_text glm_ocr_text"),
    (
        _UNTRIED,
        "gpt_neox_japanese gte ibert jais layoutlm layoutlmv3 luke megatron-bert modernbert-decoder new",
    ),
    (
        _UNTRIED,
        "openai-gpt orion paddleocr_vl_text persimmon phi3small qwen2_5_omni_text rembert roberta-prelayernorm",
    ),
    (_UNTRIED, "roc_bert roformer telechat xglm xlm xlm-roberta-xl xmod xverse"),
    (_POOLED, "convbert fnet funnel mobilebert nystromformer squeezebert yoso"),
    (_GLOBAL, "big_bird longformer reformer transfo-xl"),
    (
        _OTHER_INPUT,
        "align blip blip-2 chinese_clip clip clip_text_model clip_vision_model convnext detr dinov2",
    ),
    (
        _OTHER_INPUT,
        "hubert musicgen owlvit resnet sam segformer siglip siglip_text_model siglip_vision_model",
    ),
    (_OTHER_INPUT, "speecht5 swin vit wav2vec2"),
)
"""model_type (of Hugging Face or GGUF) → what differs."""

REFUSED_GGUF: dict[str, str] = _table(
    (
        "its GGUF layout is not read; its Hugging Face files are",
        "granitehybrid t5 t5encoder nomic-bert modern-bert",
    ),
    (
        "its GGUF layout is not read; its Hugging Face files are",
        "falcon-h1 glm-dsa nemotron_h nemotron_h_moe",
    ),
    ("its GGUF layout is not read; its Hugging Face files are", "qwen3next qwen35 qwen35moe gemma-embedding"),
    ("it is the image side of a multimodal model, without the language model", "clip"),
    (_CHANGING, "deci"),
    (_HYBRID, "kimi-linear plamo2"),
    (_LOW_RANK, "gemma3n"),
    (_TWO_SIZES, "gemma4"),
    (_MIXTURE, "bailingmoe bailingmoe2 grok llada-moe nomic-bert-moe"),
    (_UNTRIED, "codeshell jina-bert-v2 jina-bert-v3 llada plamo refact"),
)
"""The same for GGUF's names of architectures."""
