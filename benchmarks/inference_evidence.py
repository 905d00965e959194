"""What tells a served model from another one: gaps of their answers under one model id, on SmolLM2-135M.

`python -m benchmarks.inference_evidence` commits to the model (its integers and units), lets servers answer greedily,
and measures how far each of their tokens is below the integer program's best. Servers are the committed integers and
the original weights in several number formats, and models that are another: fine-tuned, merged, rounded to 4 bits,
noisy, with layers left out. No other language model of the same vocabulary is at hand, so text that a human wrote
stands for one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from benchmarks.environment import RESULTS, store
from benchmarks.inference_agreement import PROMPTS, ROOT
from huref.circuits.fingerprint.profiles import HARDENED
from huref.circuits.inference.claim import answer_claims, gaps
from huref.circuits.inference.compile import compile_inference
from huref.common.errors import ProverError
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import open_model
from huref.prover.demo.checkpoints import find
from huref.prover.derivatives import derivatives
from huref.prover.derivatives.finetune import fine_tune
from huref.prover.derivatives.store import load_model
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.export import write_checkpoint
from huref.prover.run.inference.settings import read_settings
from huref.prover.run.inference.units import plan
from huref.prover.run.inference.weights import integer_weights
from huref.prover.vocabulary.prompts import draw_prompts
from huref.prover.vocabulary.tokens import load_vocabulary

SEED = bytes(range(32))
SIZES = (32, 128)
DRAWS = 400
"""Random choices of answers that are put together to more tokens."""

SHOWN = {
    "export bfloat16": "the committed model, served as huref export writes it",
    "original bfloat16": "its original weights in bfloat16",
    "fine-tuned": "fine-tuned for 12 steps",
    "merged": "merged with a noisy copy",
    "int4": "rounded to 4 bits",
    "human text": "no model, but text that a human wrote",
}
"""Servers that `huref verify` shows for comparison, with the names that it gives them."""
PACKAGED = ROOT / "verifier" / "data" / "answer_gaps.json"

Gaps = NDArray[np.float64]


def servers(
    original: Any, exported: Callable[[torch.dtype], Any], encode: Any
) -> dict[str, Callable[[], Any]]:
    """Models by name, made when they are asked for."""

    def half() -> Any:
        """Weights in float16, sums in float32: few processors have units for more."""
        return load_model(find("smollm2"), torch.float16).float()

    def noisy(fraction: float) -> Any:
        return derivatives.add_noise(original, 1, fraction)

    return {
        "export bfloat16": lambda: exported(torch.bfloat16),
        "export float32": lambda: exported(torch.float32),
        "original float32": lambda: original,
        "original bfloat16": lambda: load_model(find("smollm2"), torch.bfloat16),
        "original float16": half,
        "int8": lambda: derivatives.quantize_int8(original),
        "int4": lambda: derivatives.quantize_int4(original),
        "merged": lambda: derivatives.merge(original, noisy(0.2)),
        "noise 5 %": lambda: noisy(0.05),
        "one layer less": lambda: derivatives.drop_layers(original, [15]),
        "fine-tuned": lambda: fine_tune(original, encode, 1, steps=12)[0],
    }


def answered(model: Any, prompts: Sequence[list[int]], tokens: int) -> list[list[int]]:
    """Prompts with greedy answers of `tokens` tokens, all at once as a server has them."""
    width = max(map(len, prompts))
    padded = torch.tensor([[0] * (width - len(row)) + row for row in prompts])
    seen = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])
    with torch.no_grad():
        made = model.generate(
            padded, attention_mask=seen, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0
        )[:, width:].tolist()  # fmt: skip
    return [prompt + answer for prompt, answer in zip(prompts, made, strict=True)]


class Program:
    """The committed integer program."""

    def __init__(self) -> None:
        model = open_model(find("smollm2"))
        self.shape, self.settings = model.shape, read_settings(model)
        self.weights = integer_weights(whole_model(model))
        self.facts = plan(model, HARDENED).facts(self.weights)
        self.refused: list[str] = []

    def gaps(self, ids: list[int], first: int) -> Gaps | None:
        """Gaps of the tokens from `first` on, in logits; None where there is no proof."""
        try:
            trace = execute_inference(compile_inference(self.shape, self.facts, len(ids)), self.weights, ids)
        except ProverError as error:
            self.refused.append(error.message)
            return None
        return np.array(gaps(trace.values["head"], answer_claims(ids, first))) / 2.0**self.facts.logits


def summary(rows: list[Gaps]) -> dict[str, float]:
    """Of all tokens of a server."""
    every = np.concatenate(rows)
    return {
        "tokens": int(every.size),
        "argmax": round(float((every == 0).mean()), 4),
        "mean": round(float(every.mean()), 4),
        "median": float(np.median(every)),
        "q99": round(float(np.quantile(every, 0.99)), 3),
        "largest": round(float(every.max()), 3),
        "above_0.25": round(float((every > 0.25).mean()), 4),
        "above_1": round(float((every > 1).mean()), 4),
    }


def shown(measured: dict[str, Any]) -> dict[str, Any]:
    """What the package holds of the results, for `huref verify`."""
    found = measured["gaps"]["huref ask"]
    fields = ("tokens", "argmax", "mean", "largest")
    return {
        "model": "SmolLM2-135M-Instruct",
        "source": "python -m benchmarks.inference_evidence",
        "servers": [
            {"server": name, **{field: found[key][field] for field in fields}} for key, name in SHOWN.items()
        ],
    }


def pooled(rows: list[Gaps], size: int, rng: np.random.Generator) -> dict[str, Gaps]:
    """Scores of random choices of answers with `size` tokens together: mean and largest gap, share of no argmaxes."""
    per = len(rows[0])
    chosen = [
        np.concatenate([rows[i] for i in rng.choice(len(rows), size // per, False)]) for _ in range(DRAWS)
    ]
    together = np.array(chosen)
    return {"mean": together.mean(1), "largest": together.max(1), "no_argmax": (together > 0).mean(1)}


def area(same: Gaps, other: Gaps) -> float:
    """Area under the ROC curve: how often another model scores higher than the same one, ties half."""
    wins = (other[:, None] > same).mean() + 0.5 * (other[:, None] == same).mean()
    return round(float(wins), 4)


def roc(rows: dict[str, list[Gaps]], reference: str) -> dict[str, Any]:
    """Per number of tokens, score and other model: the area, and what is caught where 1 % of honest ones are not."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for size in SIZES:
        scores = {name: pooled(row, size, rng) for name, row in rows.items()}
        for score in ("mean", "largest", "no_argmax"):
            honest = scores[reference][score]
            limit = float(np.quantile(honest, 0.99))
            found[f"{size} tokens, {score}"] = {"limit": round(limit, 4)} | {
                name: {
                    "area": area(honest, one[score]),
                    "caught": round(float((one[score] > limit).mean()), 4),
                }
                for name, one in scores.items()
                if name != reference
            }
    return found


def plot(measured: dict[str, Any], path: Path) -> None:
    """Largest and mean gaps per server."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = list(measured["gaps"])
    figure, axes = pyplot.subplots(1, len(kinds), figsize=(11, 4.6), sharey=True, squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        named = measured["gaps"][kind]
        places = np.arange(len(named))[::-1]
        for field, marker in (("mean", "o"), ("q99", "|"), ("largest", "x")):
            values = [max(one[field], 1e-3) for one in named.values()]
            axis.scatter(values, places, marker=marker, label=field)
        axis.set_xscale("log")
        axis.axvline(0.25, color="0.7", linewidth=1)
        axis.set_yticks(places, list(named))
        axis.set_title(kind)
        axis.set_xlabel("gap in logits (0.001: none)")
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=10, help="of each kind")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of an answer")
    parser.add_argument("--questions", action="store_true", help="ask ordinary questions too")
    options = parser.parse_args()
    path = find("smollm2")
    program = Program()
    vocabulary = load_vocabulary(path)
    assert vocabulary is not None
    encode = vocabulary.tokenizer.encode
    original = load_model(path).eval()
    questions = PROMPTS[: options.prompts] if options.questions else ()
    asked = [prompt.text for prompt in draw_prompts(vocabulary, SEED, options.prompts)]
    chats = {
        kind: [encode(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n").ids for text in texts]
        for kind, texts in (("huref ask", asked), ("ordinary questions", questions))
        if texts
    }
    text = encode((ROOT / "docs/picture.md").read_text(encoding="utf-8")).ids
    pieces = [text[i : i + options.tokens + 8] for i in range(0, options.prompts * 40, 40)]
    human = [one for piece in pieces if (one := program.gaps(piece, 8)) is not None]
    rows: dict[str, dict[str, list[Gaps]]] = {}
    with tempfile.TemporaryDirectory() as place:
        write_checkpoint(program.weights, program.shape, program.settings, Path(place))

        def exported(dtype: torch.dtype) -> Any:
            return transformers.AutoModelForCausalLM.from_pretrained(place, dtype=dtype).eval()

        for kind, prompts in chats.items():
            rows[kind] = {}
            for name, make in servers(original, exported, lambda text: encode(text).ids).items():
                made = answered(make(), prompts, options.tokens)
                found = [program.gaps(ids, len(prompt)) for ids, prompt in zip(made, prompts, strict=True)]
                rows[kind][name] = [one for one in found if one is not None]
                print(f"{kind:18} {name:18} {summary(rows[kind][name])}", flush=True)
                keep(
                    {k: {**named, "human text": human} for k, named in rows.items()}, program, options.tokens
                )


def keep(rows: dict[str, dict[str, list[Gaps]]], program: Program, tokens: int) -> None:
    """Store what was measured so far."""
    measured = {
        "tokens_of_an_answer": tokens,
        "refused": program.refused,
        "gaps": {kind: {name: summary(row) for name, row in named.items()} for kind, named in rows.items()},
        **{
            f"roc_against_{reference}": {
                kind: roc(named, reference) for kind, named in rows.items() if reference in named
            }
            for reference in ("export bfloat16", "original bfloat16")
        },
    }
    store("inference_evidence", measured)
    if all(name in measured["gaps"].get("huref ask", {}) for name in SHOWN):
        PACKAGED.write_text(json.dumps(shown(measured), indent=1) + "\n", encoding="utf-8")
    plot(measured, RESULTS / "inference_evidence.png")


if __name__ == "__main__":
    main()
