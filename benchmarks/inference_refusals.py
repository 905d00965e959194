"""How many sequences have no proof because a value leaves its range (docs/inference.md §5), on SmolLM2-135M.

`python -m benchmarks.inference_refusals [--count 120]` runs the integer program, with the facts that `huref commit`
finds, on stretches of this project's documents and on tokens drawn at random, and counts what it refuses, by site.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import store
from huref.circuits.fingerprint.profiles import get_profile
from huref.circuits.inference.compile import compile_inference
from huref.common.errors import ProverError
from huref.prover.canonical.whole import whole_model
from huref.prover.checkpoint.families import open_model
from huref.prover.demo.checkpoints import find
from huref.prover.run.inference.executor import execute_inference
from huref.prover.run.inference.units import plan
from huref.prover.run.inference.weights import integer_weights
from huref.prover.vocabulary.tokens import load_vocabulary

DOCUMENTS = Path(__file__).parent.parent / "docs"
SEED = 20260


def stretches(tokenizer: Any, count: int, length: int) -> list[list[int]]:
    """So many stretches of the documents, from anywhere in them."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(DOCUMENTS.glob("*.md"))]
    ids = [tokenizer.encode(text).ids for text in texts]
    all_of_them = [row[i : i + length] for row in ids for i in range(0, len(row) - length, length)]
    order = np.random.default_rng(SEED).permutation(len(all_of_them))
    return [all_of_them[i] for i in order[:count]]


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=120, help="sequences of each kind")
    parser.add_argument("--length", type=int, default=128, help="tokens of a sequence")
    options = parser.parse_args()
    model = open_model(find("smollm2"))
    vocabulary = load_vocabulary(model.checkpoint)
    assert vocabulary is not None
    weights = integer_weights(whole_model(model))
    facts = plan(model, get_profile("hardened")).facts(weights)
    program = compile_inference(model.shape, facts, options.length)
    drawn = np.random.default_rng(SEED).integers(0, model.vocab, (options.count, options.length)).tolist()
    kinds: dict[str, Sequence[list[int]]] = {
        "documents": stretches(vocabulary.tokenizer, options.count, options.length),
        "random tokens": drawn,
    }
    measured: dict[str, Any] = {"length": options.length}
    for kind, sequences in kinds.items():
        refused: Counter[str] = Counter()
        for ids in sequences:
            try:
                execute_inference(program, weights, ids)
            except ProverError as error:
                refused[error.message] += 1
        measured[kind] = {"sequences": len(sequences), "refused": dict(refused)}
        print(kind, measured[kind], flush=True)
    store("inference_refusals", measured)


if __name__ == "__main__":
    main()
