"""How the integer program of inference and the committed integers agree with the float32 model, on SmolLM2-135M.

`python -m benchmarks.inference_agreement` lets the float32 model answer prompts greedily, then takes the logits of four
models on these answers and on ordinary text: the float32 model, its committed integers in float32 and in bfloat16 (the
exported checkpoint), and the integer program. Units are calibrated on other text.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from benchmarks.environment import store
from huref.circuits.inference.compile import compile_inference
from huref.circuits.inference.facts import Facts
from huref.common.errors import ProverError
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import open_model
from huref.prover.demo.checkpoints import find
from huref.prover.derivatives.store import load_model
from huref.prover.run.inference.calibrate import calibrate
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.export import write_checkpoint
from huref.prover.run.inference.settings import read_settings
from huref.prover.run.inference.weights import integer_weights
from huref.prover.vocabulary.tokens import load_vocabulary

ROOT = Path(__file__).parent.parent
PROMPTS = (
    "What is the capital of France?",
    "Write a short story about a lighthouse.",
    "Explain how photosynthesis works.",
    "Give me three tips for learning to cook.",
    "Why is the sky blue?",
    "Write a Python function that reverses a string.",
    "Who was Isaac Newton?",
    "Describe a walk in the forest.",
    "What should I pack for a trip to Norway?",
    "How do vaccines work?",
    "Summarize the plot of Romeo and Juliet.",
    "What is the difference between a virus and a bacterium?",
    "Write a poem about rain.",
    "How can I fall asleep faster?",
    "Explain recursion to a child.",
    "List five animals that live in the sea.",
    "What does a carpenter do?",
    "Tell me about the history of bread.",
    "How do I change a bicycle tyre?",
    "What is inflation?",
    "Write an email asking for a day off.",
    "Name some famous rivers in Africa.",
    "What makes a good friend?",
    "How does a refrigerator keep food cold?",
)
CALIBRATION_PROMPT = (
    "<|im_start|>user\nHow do I bake bread at home?<|im_end|>\n<|im_start|>assistant\nBaking bread at home is simple. "
    "Here are the steps you need:\n\n1. Mix 500 grams of flour with salt and yeast.\n2. Add warm water and knead."
)

Floats = NDArray[np.float32]
Logits = Callable[[list[int]], Floats]


@dataclass(frozen=True)
class Text:
    """Token ids, of which those from `first` on are predicted and counted."""

    ids: list[int]
    first: int


def answers(model: Any, tokenizer: Any, prompts: Sequence[str], tokens: int) -> list[Text]:
    """Greedy answers, all prompts at once."""
    chats = [f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n" for prompt in prompts]
    ids = [tokenizer.encode(chat).ids for chat in chats]
    width = max(map(len, ids))
    padded = torch.tensor([[0] * (width - len(row)) + row for row in ids])
    seen = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])
    with torch.no_grad():
        made = model.generate(
            padded,
            attention_mask=seen,
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=2,
            pad_token_id=0,
        )[:, width:].tolist()
    ends = [row.index(2) + 1 if 2 in row else len(row) for row in made]
    return [Text(row + new[:end], len(row)) for row, new, end in zip(ids, made, ends, strict=True)]


def ordinary(tokenizer: Any, count: int, length: int) -> list[Text]:
    """Stretches of this project's prose."""
    files = ("README.md", "docs/picture.md", "docs/security.md", "docs/fidelity.md", "docs/checkpoints.md")
    ids = tokenizer.encode("\n".join((ROOT / name).read_text(encoding="utf-8") for name in files)).ids
    return [Text(ids[i : i + length], 1) for i in range(0, len(ids) - length, length)][:count]


@dataclass
class Tally:
    """Compares models with each other on one kind of text."""

    logits: dict[str, list[Floats]]
    targets: list[NDArray[np.int64]]

    def compare(self, name: str, reference: str) -> dict[str, float]:
        """Argmax agreement, perplexity ratio (and its standard error over tokens), and the gap of the reference's token
        in this model's logits.
        """
        same, gaps, noise = [], [], []
        for ours, theirs in zip(self.logits[name], self.logits[reference], strict=True):
            token = theirs.argmax(1)
            rows = np.arange(len(token))
            same.append(ours.argmax(1) == token)
            gaps.append(ours.max(1) - ours[rows, token])
            second = np.where(np.arange(theirs.shape[1]) == token[:, None], -np.inf, theirs).argmax(1)
            noise.append(
                (ours[rows, token] - ours[rows, second]) - (theirs[rows, token] - theirs[rows, second])
            )
        gap, agree = np.concatenate(gaps), np.concatenate(same)
        worse = self.losses(name) - self.losses(reference)
        return {
            "positions": int(agree.size),
            "argmax_agreement": round(float(agree.mean()), 5),
            "perplexity_ratio": round(float(np.exp(worse.mean())), 5),
            "perplexity_ratio_error": round(float(worse.std() / np.sqrt(len(worse))), 5),
            "largest_gap": round(float(gap.max()), 4),
            "gap_99": round(float(np.quantile(gap, 0.99)), 4),
            "top_two_noise": round(float(np.concatenate(noise).std()), 4),
        }

    def losses(self, name: str) -> NDArray[np.float64]:
        """Negative log-likelihood of every token of the text."""
        found = []
        for logits, target in zip(self.logits[name], self.targets, strict=True):
            wide = logits.astype(np.float64)
            top = wide.max(1)
            mass = top + np.log(np.exp(wide - top[:, None]).sum(1))
            found.append(mass - wide[np.arange(len(target)), target])
        return np.concatenate(found)


def tally(texts: list[Text], models: dict[str, Logits]) -> Tally:
    """Logits of every model at the counted positions."""
    logits = {
        name: [run(text.ids)[text.first - 1 : len(text.ids) - 1] for text in texts]
        for name, run in models.items()
    }
    return Tally(logits, [np.array(text.ids[text.first :]) for text in texts])


def torch_logits(model: Any) -> Logits:
    """Logits of a model of `transformers`."""

    def run(ids: list[int]) -> Floats:
        with torch.no_grad():
            return np.asarray(model(torch.tensor([ids])).logits[0].float().numpy())

    return run


class Program:
    """Logits of the integer program; counts what it refuses and how long it takes."""

    def __init__(self, shape: Any, facts: Facts, weights: Any) -> None:
        self.shape, self.facts, self.weights = shape, facts, weights
        self.seconds, self.tokens, self.refused = 0.0, 0, list[str]()
        self.known: dict[tuple[int, ...], Floats] = {}

    def __call__(self, ids: list[int]) -> Floats:
        if tuple(ids) in self.known:
            return self.known[tuple(ids)]
        start = time.process_time()
        trace = execute_inference(compile_inference(self.shape, self.facts, len(ids)), self.weights, ids)
        self.seconds += time.process_time() - start
        self.tokens += len(ids)
        logits = (trace.values["head"] / 2.0**self.facts.logits).astype(np.float32)
        self.known[tuple(ids)] = logits
        return logits

    def accepts(self, text: Text) -> bool:
        """Whether every value of a run fits; what does not is counted."""
        try:
            self(text.ids)
        except ProverError as error:
            self.refused.append(error.message)
            return False
        return True


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--tokens", type=int, default=64, help="tokens of an answer")
    parser.add_argument("--texts", type=int, default=13, help="stretches of ordinary text")
    parser.add_argument("--length", type=int, default=128, help="tokens of a stretch")
    parser.add_argument("--bfloat16", action="store_true", help="run the exported checkpoint in bfloat16 too")
    options = parser.parse_args()
    path = find("smollm2")
    model = open_model(path)
    vocabulary = load_vocabulary(model.checkpoint)
    assert vocabulary is not None
    tokenizer = vocabulary.tokenizer
    settings, weights = read_settings(model), integer_weights(whole_model(model))
    harbour = (ROOT / "prover/derivatives/data/harbour.txt").read_text(encoding="utf-8")
    calm = tokenizer.encode(harbour).ids
    facts = calibrate(
        model.shape, settings, weights, [calm[:128], calm[128:256], tokenizer.encode(CALIBRATION_PROMPT).ids]
    )
    program = Program(model.shape, facts, weights)
    original = load_model(path).eval()
    with tempfile.TemporaryDirectory() as place:
        write_checkpoint(weights, model.shape, settings, Path(place))
        kinds = {"int8": torch.float32} | ({"bfloat16": torch.bfloat16} if options.bfloat16 else {})
        exported = {
            name: transformers.AutoModelForCausalLM.from_pretrained(place, dtype=dtype).eval()
            for name, dtype in kinds.items()
        }
    models = {"float32": torch_logits(original)} | {n: torch_logits(m) for n, m in exported.items()}
    groups = {
        "own": answers(original, tokenizer, PROMPTS[: options.prompts], options.tokens),
        "text": ordinary(tokenizer, options.texts, options.length),
    }
    measured: dict[str, Any] = {"facts": facts.to_dict()}
    for kind, texts in groups.items():
        found = tally([text for text in texts if program.accepts(text)], {**models, "program": program})
        pairs = [("program", "int8"), ("program", "float32"), ("int8", "float32")]
        pairs += [("program", "bfloat16"), ("bfloat16", "float32")] if options.bfloat16 else []
        measured[kind] = {f"{a} against {b}": found.compare(a, b) for a, b in pairs}
        for pair, numbers in measured[kind].items():
            print(f"{kind:5} {pair:26} {numbers}", flush=True)
    measured["refused"] = program.refused
    measured["program_cpu_seconds_per_token"] = round(program.seconds / program.tokens, 4)
    print(f"refused: {program.refused}; {measured['program_cpu_seconds_per_token']} CPU s a token")
    store("inference_agreement", measured)


if __name__ == "__main__":
    main()
