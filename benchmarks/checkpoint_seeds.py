"""Tiny checkpoints of many layouts and formats, written with numpy alone: what `fuzz_checkpoint` mutates."""

from __future__ import annotations

import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np

Files = dict[str, bytes]
D, FFN, VOCAB, HEADS, KV, SIZE, EXPERTS = 16, 8, 24, 2, 1, 8, 3
_SIZES = {
    "hidden_size": D,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV,
    "head_dim": SIZE,
    "num_hidden_layers": 1,
    "intermediate_size": FFN,
}


def _projections() -> dict[str, tuple[int, ...]]:
    q, kv = HEADS * SIZE, KV * SIZE
    return {"q_proj": (q, D), "k_proj": (kv, D), "v_proj": (kv, D), "o_proj": (D, q)}


def _attention() -> dict[str, tuple[int, ...]]:
    return {f"self_attn.{name}.weight": size for name, size in _projections().items()}


def _ffn(prefix: str) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}.{n}_proj.weight": (D, FFN) if n == "down" else (FFN, D) for n in ("gate", "up", "down")
    }


def _model(block: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    norms = {f"{name}_layernorm.weight": (D,) for name in ("input", "post_attention")}
    layer = {f"model.layers.0.{name}": size for name, size in {**block, **norms}.items()}
    return {"model.embed_tokens.weight": (VOCAB, D), "model.norm.weight": (D,), **layer}


def _floats(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[str, np.ndarray]]:
    draw = np.random.default_rng(1)
    return {name: ("F32", draw.normal(size=size).astype("<f4")) for name, size in shapes.items()}


def _safetensors(tensors: dict[str, tuple[str, np.ndarray]]) -> bytes:
    header: dict[str, Any] = {}
    data = b""
    for name, (dtype, values) in tensors.items():
        blob = values.tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(blob)],
        }
        data += blob
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _folder(model_type: str, tensors: dict[str, tuple[str, np.ndarray]], **config: Any) -> Files:
    text = json.dumps({"model_type": model_type, **_SIZES, **config}).encode()
    return {"config.json": text, "model.safetensors": _safetensors(tensors)}


def _sharded() -> Files:
    tensors = _floats(_model({**_attention(), **_ffn("mlp")}))
    names, files = sorted(tensors), _folder("smollm3", {}, no_rope_layers=[1], sliding_window=8)
    del files["model.safetensors"]
    homes = {}
    for number, part in enumerate((names[:5], names[5:])):
        files[f"model-{number}.safetensors"] = _safetensors({name: tensors[name] for name in part})
        homes |= dict.fromkeys(part, f"model-{number}.safetensors")
    return files | {"model.safetensors.index.json": json.dumps({"weight_map": homes}).encode()}


def _latent() -> Files:
    sizes = {"q_a_proj": (6, D), "q_a_layernorm": (6,), "q_b_proj": (HEADS * 8, 6), "o_proj": (D, HEADS * 5)}
    sizes |= {"kv_a_proj_with_mqa": (4 + 2, D), "kv_a_layernorm": (4,), "kv_b_proj": (HEADS * 11, 4)}
    block = {f"self_attn.{name}.weight": size for name, size in sizes.items()}
    for number in range(EXPERTS):
        block |= _ffn(f"mlp.experts.{number}")
    block |= {
        "mlp.gate.weight": (EXPERTS, D),
        "mlp.gate.e_score_correction_bias": (EXPERTS,),
        **_ffn("mlp.shared_experts"),
    }
    ranks = {
        "q_lora_rank": 6,
        "kv_lora_rank": 4,
        "qk_nope_head_dim": 6,
        "qk_rope_head_dim": 2,
        "v_head_dim": 5,
    }
    return _folder(
        "deepseek_v3", _floats(_model(block)), n_routed_experts=EXPERTS, num_nextn_predict_layers=1, **ranks
    )


def _hybrid() -> Files:
    """A short convolution, then attention and experts."""
    experts = {
        f"feed_forward.experts.{n}.{w}.weight": (D, FFN) if w == "w2" else (FFN, D)
        for n in range(EXPERTS)
        for w in ("w1", "w2", "w3")
    }
    names = {"out_proj" if name == "o_proj" else name: size for name, size in _projections().items()}
    norms = {f"self_attn.{name}_layernorm.weight": (SIZE,) for name in ("q", "k")}
    attention = {f"self_attn.{name}.weight": size for name, size in names.items()} | norms
    convolution = {
        "conv.conv.weight": (D, 1, 3),
        "conv.in_proj.weight": (3 * D, D),
        "conv.out_proj.weight": (D, D),
    }
    dense = {f"feed_forward.{w}.weight": (D, FFN) if w == "w2" else (FFN, D) for w in ("w1", "w2", "w3")}
    sparse = {**experts, "feed_forward.gate.weight": (EXPERTS, D), "feed_forward.expert_bias": (EXPERTS,)}
    tensors = {"model.embed_tokens.weight": (VOCAB, D), "model.embedding_norm.weight": (D,)}
    for number, block in enumerate(({**convolution, **dense}, {**attention, **sparse})):
        block |= {f"{name}_norm.weight": (D,) for name in ("operator", "ffn")}
        tensors |= {f"model.layers.{number}.{name}": size for name, size in block.items()}
    return _folder(
        "lfm2_moe", _floats(tensors), num_hidden_layers=2, num_experts=EXPERTS, routed_scaling_factor=1.5
    )


def _alone() -> Files:
    """Layers of one attention, one FFN, one mixture or one state-space block, and nothing else."""
    blocks = (
        {f"mixer.{name}.weight": size for name, size in _projections().items()},
        {"mixer.up_proj.weight": (FFN, D), "mixer.down_proj.weight": (D, FFN)},
        {
            **{f"mixer.experts.{n}.up_proj.weight": (FFN, D) for n in range(EXPERTS)},
            **{f"mixer.experts.{n}.down_proj.weight": (D, FFN) for n in range(EXPERTS)},
            "mixer.gate.weight": (EXPERTS, D),
        },
        {"mixer.in_proj.weight": (3 * D, D), "mixer.out_proj.weight": (D, D), "mixer.A_log": (HEADS,)},
    )
    tensors = {"backbone.embeddings.weight": (VOCAB, D), "backbone.norm_f.weight": (D,)}
    for number, block in enumerate(blocks):
        tensors |= {
            f"backbone.layers.{number}.{name}": size for name, size in {**block, "norm.weight": (D,)}.items()
        }
    kinds = ["attention", "mlp", "moe", "mamba"]
    return _folder(
        "nemotron_h",
        _floats(tensors),
        num_hidden_layers=4,
        layers_block_type=kinds,
        tie_word_embeddings=True,
    )


def _nested() -> Files:
    """The text part of a multimodal model whose experts lie in two tensors, inputs before outputs."""
    experts = {"mlp.experts.gate_up_proj": (EXPERTS, D, 2 * FFN), "mlp.experts.down_proj": (EXPERTS, FFN, D)}
    norms = {f"self_attn.{name}_norm.weight": (SIZE,) for name in ("q", "k")}
    block = {**_attention(), **norms, **experts, "mlp.gate.weight": (EXPERTS, D)}
    tensors = {name.replace("model.", "model.language_model."): size for name, size in _model(block).items()}
    files = _folder("qwen3_vl_moe_text", _floats(tensors), num_experts=EXPERTS)
    text = json.loads(files["config.json"])
    outer = {"model_type": "qwen3_vl_moe", "text_config": text, "tie_word_embeddings": True}
    return files | {"config.json": json.dumps(outer).encode()}


def _quantized() -> Files:
    tensors = _floats(_model({**_attention(), **_ffn("mlp")}))
    draw = np.random.default_rng(2)
    base = "model.layers.0.mlp.up_proj"
    del tensors[f"{base}.weight"]
    words = {"qweight": (D // 8, FFN), "qzeros": (2, FFN // 8), "g_idx": (D,)}
    for name, size in words.items():
        high = 2 if name == "g_idx" else 1 << 30
        tensors[f"{base}.{name}"] = ("I32", draw.integers(0, high, size).astype("<i4"))
    tensors[f"{base}.scales"] = ("F16", draw.random((2, FFN)).astype("<f2"))
    base = "model.layers.0.self_attn"
    for name, scale in (("q_proj", (1, D)), ("k_proj", (KV * SIZE, 1)), ("v_proj", ())):
        size = tensors[f"{base}.{name}.weight"][1].shape
        tensors[f"{base}.{name}.weight"] = ("F8_E4M3", draw.integers(0, 100, size).astype("u1"))
        tensors[f"{base}.{name}.weight_scale"] = ("F32", draw.random(scale).astype("<f4"))
    outer = {"quant_method": "gptq", "bits": 4, "weight_block_size": [16, 1]}
    return _folder("llama", tensors, quantization_config=outer)


def _mxfp4() -> Files:
    draw = np.random.default_rng(3)
    names = {"gate_up_proj": (EXPERTS, 64, 1), "down_proj": (EXPERTS, D, 1)}
    tensors = _floats(
        _model({**_attention(), "self_attn.sinks": (HEADS,), "mlp.router.weight": (EXPERTS, D)})
    )
    for name, (experts, out, groups) in names.items():
        width = 16 if name == "down_proj" else 8
        full = f"model.layers.0.mlp.experts.{name}"
        tensors[f"{full}_blocks"] = ("U8", draw.integers(0, 256, (experts, out, groups, width)).astype("u1"))
        tensors[f"{full}_scales"] = ("U8", draw.integers(120, 130, (experts, out, groups)).astype("u1"))
    return _folder("gpt_oss", tensors, num_local_experts=EXPERTS)


def _gguf(architecture: gguf.MODEL_ARCH, block: dict[str, tuple[int, ...]], **numbers: Any) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
        for name, value in {
            "embedding_length": D,
            "block_count": 1,
            "head_count": HEADS,
            "head_count_kv": KV,
            "key_length": SIZE,
            **numbers,
        }.items():
            getattr(writer, f"add_{name}")(value)
        names = gguf.get_tensor_name_map(architecture, 1)
        for name, (_, values) in _floats(_model(block)).items():
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return {"m.gguf": path.read_bytes()}


def seeds() -> list[Files]:
    """The checkpoints that are mutated; each opens and reads as it is."""
    dense = _floats(_model({**_attention(), **_ffn("mlp")}))
    text = {"model_type": "llama", **_SIZES}
    nested = {
        **_folder("llava", dense),
        "config.json": json.dumps({"model_type": "llava", "text_config": text}).encode(),
    }
    latent = {
        "self_attn.q_proj.weight": (HEADS * 8, D),
        "self_attn.kv_a_proj_with_mqa.weight": (4 + 2, D),
        "self_attn.kv_a_layernorm.weight": (4,),
        "self_attn.k_b_proj.weight": (HEADS, 4, 6),
        "self_attn.v_b_proj.weight": (HEADS, 5, 4),
        "self_attn.o_proj.weight": (D, HEADS * 5),
        **_ffn("mlp"),
    }
    sizes = {"kv_lora_rank": 4, "key_length_mla": 8, "value_length_mla": 5, "rope_dimension_count": 2}
    return [
        *(
            _folder("llama", dense),
            nested,
            _sharded(),
            _latent(),
            _hybrid(),
            _alone(),
            _nested(),
            _quantized(),
            _mxfp4(),
        ),
        _gguf(gguf.MODEL_ARCH.LLAMA, {**_attention(), **_ffn("mlp")}),
        _gguf(gguf.MODEL_ARCH.DEEPSEEK2, latent, **sizes),
    ]
