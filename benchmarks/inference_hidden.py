"""What hiding a prompt costs on SmolLM2-135M, beside the same answer behind a published one.

`python -m benchmarks.inference_hidden` commits to the model once, then proves and verifies a run of 64 tokens behind a
prompt of 8 of them, published and hidden, and likewise one of 256 behind a prompt of 200.
"""

from __future__ import annotations

from benchmarks.environment import store
from benchmarks.inference_proof import Prepared
from huref.common.memory import keep_freed_memory

RUNS = ((64, 8), (256, 200))
"""Tokens of a run, and of its prompt."""


def main() -> None:
    """Measure and store."""
    keep_freed_memory()
    prepared, measured = Prepared.smollm2(), []
    for tokens, prompt in RUNS:
        found = {
            name: prepared.measure((tokens,), prompt=prompt, hide=hide)
            for name, hide in (("published", False), ("hidden", True))
        }
        measured.append({"tokens": tokens, "prompt": prompt, **found})
        print(measured[-1], flush=True)
    store("inference_hidden", {"model": "SmolLM2-135M-Instruct", "runs": measured})


if __name__ == "__main__":
    main()
