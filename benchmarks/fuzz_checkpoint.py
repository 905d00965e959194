"""Random mutations of checkpoints' headers and configs: one line and a typed error, or a model, but never a crash.

    python -m benchmarks.fuzz_checkpoint [--count 20000] [--seed 1] [--json FILE]

Seeds are tiny checkpoints of several layouts and formats, written here with numpy alone. A mutation changes bytes of a
header, or values of a header or config as JSON. Every model that still opens is read as a whole. Prints one JSON object
with the number of mutations by their outcome; anything but a `HurefError` propagates.
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from huref.common.errors import HurefError, Unsupported
from huref.common.output import result_json
from huref.prover.checkpoint.families import Model, open_model

Files = dict[str, bytes]
D, FFN, VOCAB, HEADS, KV, SIZE, EXPERTS = 16, 8, 24, 2, 1, 8, 3
JUNK: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        7,
        1 << 24,
        1 << 40,
        1 << 70,
        1.5,
        1e308,
        "",
        "x",
        "llama",
        "F32",
        "I8",
    ),
    *(
        [],
        [0],
        [1, 2, 3],
        ["full_attention"],
        [[]],
        {},
        {"a": 1},
        {"model_type": "llama"},
        [8, 16],
        [1 << 62],
    ),
)
_SIZES = {
    "hidden_size": D,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV,
    "head_dim": SIZE,
    "num_hidden_layers": 1,
    "intermediate_size": FFN,
}


def _attention() -> dict[str, tuple[int, ...]]:
    q, kv = HEADS * SIZE, KV * SIZE
    sizes = {"q_proj": (q, D), "k_proj": (kv, D), "v_proj": (kv, D), "o_proj": (D, q)}
    return {f"self_attn.{name}.weight": size for name, size in sizes.items()}


def _ffn(prefix: str) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}.{n}_proj.weight": (D, FFN) if n == "down" else (FFN, D) for n in ("gate", "up", "down")
    }


def _model(block: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    norms = {f"{name}_layernorm.weight": (D,) for name in ("input", "post_attention")}
    layer = {f"model.layers.0.{name}": size for name, size in {**block, **norms}.items()}
    return {"model.embed_tokens.weight": (VOCAB, D), **layer}


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


def _gguf() -> Files:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        for name, value in (
            ("embedding_length", D),
            ("block_count", 1),
            ("head_count", HEADS),
            ("head_count_kv", KV),
        ):
            getattr(writer, f"add_{name}")(value)
        writer.add_key_length(SIZE)
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 1)
        for name, (_, values) in _floats(_model({**_attention(), **_ffn("mlp")})).items():
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
    return [_folder("llama", dense), nested, _sharded(), _latent(), _quantized(), _mxfp4(), _gguf()]


def mutate(files: Files, draw: random.Random) -> Files:
    """One to three random changes of headers and configs."""
    files = dict(files)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        name = draw.choice(sorted(files))
        data = files[name]
        if name.endswith(".json"):
            files[name] = _json(data, draw) if draw.random() < 0.8 else _bytes(data, len(data), draw)
        elif name.endswith(".safetensors") and draw.random() < 0.8:
            length = int.from_bytes(data[:8], "little")
            header = _json(data[8 : 8 + length], draw)
            files[name] = struct.pack("<Q", len(header)) + header + data[8 + length :]
        else:
            files[name] = _bytes(data, 2000, draw)
    return files


def _bytes(data: bytes, reach: int, draw: random.Random) -> bytes:
    at = draw.randrange(min(reach, len(data)) + 1)
    noise = draw.randbytes(draw.choice((1, 1, 4, 8)))
    return draw.choice(
        (data[:at], data[:at] + noise + data[at + len(noise) :], data[:at] + noise + data[at:])
    )


def _json(blob: bytes, draw: random.Random) -> bytes:
    try:
        value = json.loads(blob)
    except ValueError:
        return _bytes(blob, len(blob), draw)
    places: list[tuple[Any, Any]] = []
    _walk(value, places)
    if not places:
        return json.dumps(draw.choice(JUNK)).encode()
    holder, key = draw.choice(places)
    match draw.randrange(4):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            _, other = draw.choice([place for place in places if isinstance(place[0], dict)])
            holder[str(other) + draw.choice(("", ".x", "_scale", "s"))] = holder.pop(key)
        case 2 if isinstance(holder[key], int):
            holder[key] += draw.choice((-1, 1, 8, -8, holder[key]))
        case _:
            holder[key] = draw.choice(JUNK)
    return json.dumps(value).encode()


def _walk(value: Any, places: list[tuple[Any, Any]]) -> None:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        places.append((value, key))
        if isinstance(inner, (dict, list)):
            _walk(inner, places)


def read_all(model: Model) -> None:
    """Everything that any term of the model needs."""
    model.embedding_rows(range(min(model.vocab, 4)))
    for index in range(model.layers):
        for term in model.layer_terms(index):
            for _ in term.pairs():
                pass
    with suppress(Unsupported):
        model.layer(model.shape.layers - 1)


def outcome(files: Files, folder: Path) -> str:
    """What becomes of these files: "read", or the type of the error and its exit code."""
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    try:
        read_all(open_model(folder))
    except HurefError as error:
        if "\n" in error.message or not 1 <= error.exit_code <= 4:
            raise
        return f"{type(error).__name__}, exit {error.exit_code}"
    return "read"


def run(count: int, seed: int) -> Counter[str]:
    """Outcomes of `count` mutations."""
    draw, originals, found = random.Random(seed), seeds(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for files in originals:
            if outcome(files, Path(folder)) != "read":
                raise AssertionError("a seed is not read")
        for _ in range(count):
            files = mutate(draw.choice(originals), draw)
            try:
                found[outcome(files, Path(folder))] += 1
            except Exception:
                print({name: data[:3000] for name, data in files.items()})
                raise
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = run(options.count, options.seed)
    result = {"count": options.count, "seed": options.seed, "outcomes": dict(found.most_common())}
    result_json(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
